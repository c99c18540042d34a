package logs

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
)

// subscriptionQueue is how many envelopes wait for a subscriber that is slow; then the oldest are dropped and counted.
const subscriptionQueue = 10_000

// hub gives what is appended to who listens now. Its zero value is ready.
type hub struct {
	mu     sync.RWMutex
	single []*Subscription
	shards map[string][]*Subscription // by shard, whose members share what they match
	seed   maphash.Seed
}

// Subscription gets what is appended from its beginning on. Close it when nobody reads it any more.
type Subscription struct {
	hub   *hub
	shard string
	match func(*Envelope) bool

	mu      sync.Mutex
	queue   []*Envelope
	dropped uint64
	closed  bool
	wake    chan struct{} // capacity one
}

// Subscribe begins a subscription to the envelopes that match, which must be quick and may be called from any
// goroutine. Those that name the same shard share them: each envelope goes to one of them, all of one instance to the
// same one while their number stays. An empty shard shares with nobody.
func (s *Store) Subscribe(shard string, match func(*Envelope) bool) *Subscription {
	h := &s.hub
	sub := &Subscription{hub: h, shard: shard, match: match, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if shard == "" {
		h.single = append(slices.Clone(h.single), sub)
		return sub
	}
	if h.shards == nil {
		h.shards, h.seed = map[string][]*Subscription{}, maphash.MakeSeed()
	}
	h.shards[shard] = append(slices.Clone(h.shards[shard]), sub)
	return sub
}

// Close ends the subscription; a Next that waits returns.
func (sub *Subscription) Close() {
	h := sub.hub
	h.mu.Lock()
	is := func(other *Subscription) bool { return other == sub }
	if sub.shard == "" {
		h.single = slices.DeleteFunc(slices.Clone(h.single), is)
	} else if left := slices.DeleteFunc(slices.Clone(h.shards[sub.shard]), is); len(left) > 0 {
		h.shards[sub.shard] = left
	} else {
		delete(h.shards, sub.shard)
	}
	h.mu.Unlock()
	sub.mu.Lock()
	sub.closed, sub.queue = true, nil
	sub.mu.Unlock()
	sub.signal()
}

// Next returns what has come, at most limit envelopes in the order of their sources, and how many were dropped before
// them because they were not fetched in time. It waits until there is something, and returns none when ctx
// ends or the subscription was closed.
func (sub *Subscription) Next(ctx context.Context, limit int) (batch []*Envelope, dropped uint64) {
	for {
		sub.mu.Lock()
		n := min(limit, len(sub.queue))
		batch, sub.queue = sub.queue[:n:n], sub.queue[n:]
		dropped, sub.dropped = sub.dropped, 0
		closed := sub.closed
		sub.mu.Unlock()
		if n > 0 || closed {
			return batch, dropped
		}
		select {
		case <-ctx.Done():
			return nil, dropped
		case <-sub.wake:
		}
	}
}

func (sub *Subscription) signal() {
	select {
	case sub.wake <- struct{}{}:
	default: // it will look already
	}
}

func (sub *Subscription) put(e *Envelope) {
	sub.mu.Lock()
	if len(sub.queue) >= subscriptionQueue {
		sub.queue = sub.queue[1:]
		sub.dropped++
	}
	if !sub.closed {
		sub.queue = append(sub.queue, e)
	}
	sub.mu.Unlock()
	sub.signal()
}

func (h *hub) publish(e *Envelope) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, sub := range h.single {
		if sub.match(e) {
			sub.put(e)
		}
	}
	for _, members := range h.shards {
		if sub := h.choose(members, e); sub.match(e) {
			sub.put(e)
		}
	}
}

// choose picks the member of a shard by the instance.
func (h *hub) choose(members []*Subscription, e *Envelope) *Subscription {
	if len(members) == 1 {
		return members[0]
	}
	var sum maphash.Hash
	sum.SetSeed(h.seed)
	sum.WriteString(e.SourceID)
	sum.WriteByte('/')
	sum.WriteString(e.InstanceID)
	return members[sum.Sum64()%uint64(len(members))]
}
