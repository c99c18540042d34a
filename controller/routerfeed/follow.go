package routerfeed

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// follower is what is known of the router on one node.
type follower struct {
	streams  int       // that are open: two while one takes the place of another
	left     time.Time // when the last one ended
	said     time.Time // when it said last what it serves, which it does each second
	version  string    // that it serves
	draining []string
	counts   reported
}

// Status says how the router of a node is.
type Status struct {
	Connected bool
	Current   bool // it serves what the controller's own router does
}

// Routers are the routers that were connected within a day, by the GUID of their node.
func (f *Feed) Routers() map[string]Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]Status{}
	for guid, fo := range f.followers {
		connected := fo.streams > 0 && time.Since(fo.said) < 3*Beat
		out[guid] = Status{Connected: connected, Current: connected && fo.version == f.versionLocked()}
	}
	return out
}

func (f *Feed) followerLocked(node string) *follower {
	fo := f.followers[node]
	if fo == nil {
		for guid, old := range f.followers {
			if old.streams == 0 && time.Since(old.left) > forgetAfter {
				delete(f.followers, guid)
			}
		}
		fo = &follower{left: time.Now()}
		f.followers[node] = fo
	}
	return fo
}

func (f *Feed) enter(node string) *follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	fo := f.followerLocked(node)
	fo.streams++
	fo.said = time.Now()
	return fo
}

func (f *Feed) leave(fo *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fo.streams--
	fo.left = time.Now()
	f.heardLocked()
}

func (f *Feed) heardLocked() {
	close(f.heard)
	f.heard = make(chan struct{})
}

// watch tells a router what it does not have yet, and then what is new, until it leaves.
func (f *Feed) watch(w http.ResponseWriter, r *http.Request, node string) {
	fo := f.enter(node)
	defer f.leave(fo)
	w.Header().Set("Content-Type", "application/x-ndjson")
	s := &stream{f: f, node: node, address: r.URL.Query().Get("address"), w: w, out: http.NewResponseController(w)}
	tick := time.NewTicker(Beat)
	defer tick.Stop()
	for have := r.URL.Query().Get("have"); ; {
		lines, now, news := f.since(have)
		if err := s.send(lines, now); err != nil {
			return // it asks again
		}
		have = now
		select {
		case <-news:
		case <-tick.C:
			if !f.o.Routes(node) {
				return
			}
		case <-r.Context().Done():
			return
		case <-f.closed:
			return
		}
	}
}

// stream is what one router is told.
type stream struct {
	f             *Feed
	node, address string
	w             http.ResponseWriter
	out           *http.ResponseController
	settings      *Settings
	callers       map[netip.Addr]string
}

// send writes lines and, behind them, what else is new; and something in any case. Settings come first: routes are made by them.
func (s *stream) send(lines [][]byte, now string) error {
	// A router that takes nothing for so long is asked to come again: it gets the whole then.
	if err := s.out.SetWriteDeadline(time.Now().Add(4 * Beat)); err != nil {
		return err
	}
	var other Message
	if next := s.f.o.Settings(s.node); s.settings == nil || !reflect.DeepEqual(*s.settings, next) {
		s.settings, other.Settings = &next, &next
	}
	s.f.mu.Lock()
	callers := s.f.callers[s.address]
	s.f.mu.Unlock()
	if callers != nil && !maps.Equal(s.callers, callers) {
		s.callers, other.Callers = callers, callers
	}
	first, err := json.Marshal(other)
	if err != nil {
		return err
	}
	for _, line := range slices.Concat([][]byte{first}, lines) {
		if _, err := s.w.Write(append(slices.Clip(line), '\n')); err != nil {
			return err
		}
	}
	last, err := json.Marshal(Message{Version: now})
	if err == nil {
		_, err = s.w.Write(append(last, '\n'))
	}
	if err != nil {
		return err
	}
	return s.out.Flush()
}

// seen takes what a router serves.
func (f *Feed) seen(w http.ResponseWriter, r *http.Request, node string) {
	var in Seen
	if !read(w, r, 4<<20, &in) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fo := f.followerLocked(node)
	fo.version, fo.draining, fo.said = in.Version, in.Draining, time.Now()
	f.heardLocked()
	w.WriteHeader(http.StatusNoContent)
}

// WaitDrained returns nil once no router's table names the instance and it has nothing in flight anywhere, or the cause of
// ctx's end. Routers that say nothing are waited for no longer than a moment.
func (f *Feed) WaitDrained(ctx context.Context, instanceID string) error {
	if err := f.o.Local.WaitDrained(ctx, instanceID); err != nil {
		return err
	}
	f.mu.Lock()
	gone := f.seq // the table without it is this one, or an older one
	f.mu.Unlock()
	tick := time.NewTicker(awayGrace / 5)
	defer tick.Stop()
	for {
		f.mu.Lock()
		waiting, heard := f.usedLocked(instanceID, gone), f.heard
		f.mu.Unlock()
		if !waiting {
			return nil
		}
		select {
		case <-heard:
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// usedLocked reports whether a router may still send the instance something.
func (f *Feed) usedLocked(instanceID string, gone uint64) bool {
	for _, fo := range f.followers {
		if fo.streams == 0 && time.Since(fo.left) > awayGrace || time.Since(fo.said) > awayGrace {
			continue // its cable may be out, which a connection does not show
		}
		if f.behindLocked(fo.version, gone) || slices.Contains(fo.draining, instanceID) {
			return true
		}
	}
	return false
}

func (f *Feed) behindLocked(have string, wanted uint64) bool {
	epoch, text, _ := strings.Cut(have, ".")
	return epoch != f.epoch || number(text) < wanted
}
