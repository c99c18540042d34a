package router

import (
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// pool is the endpoints of a route and how to choose among them.
type pool struct {
	endpoints  []*endpoint
	weights    []int // of the endpoints; nil when all are the same
	slots      []int // nil like weights: endpoint of each slot, spread evenly
	mode       string
	hashHeader string
	balance    float64
	next       atomic.Uint64
	zones      *zones // nil: the zone makes no difference
}

// choice says what one pick must heed.
type choice struct {
	tried []*endpoint // have failed already for this request
	only  func(*endpoint) bool
	id    string // of the instance that a session sticks to, if it lives
}

func (c *choice) allows(e *endpoint) bool {
	return !slices.Contains(c.tried, e) && (c.only == nil || c.only(e))
}

// setWeights lays the slots out so that an endpoint of weight 3 has three of them, as far apart as can be.
func (p *pool) setWeights(weights []int) {
	if len(weights) == 0 || slices.Max(weights) == slices.Min(weights) {
		return
	}
	p.weights = weights
	total, divisor := 0, 0
	for _, w := range weights {
		total += w
		divisor = gcd(divisor, w)
	}
	total /= divisor
	if total > maxSlots {
		weights, total = roughly(weights, total*divisor)
		divisor = 1
	}
	credit := make([]int, len(weights)) // smooth weighted round robin, played once from start to end
	for range total {
		best := 0
		for i, w := range weights {
			credit[i] += w / divisor
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		p.slots = append(p.slots, best)
	}
}

// maxSlots bounds the slots of one pool. Weights that need more are rounded, by a four thousandth at most.
const maxSlots = 4096

func roughly(weights []int, sum int) (rounded []int, total int) {
	for _, w := range weights {
		w = max(1, (w*maxSlots+sum/2)/sum)
		rounded, total = append(rounded, w), total+w
	}
	return rounded, total
}

// seed starts each pool elsewhere: tables are replaced often, and the first endpoint would get more than its share.
func (p *pool) seed() { p.next.Store(rand.Uint64() >> 1) }

// pick chooses an endpoint, or nil if c allows none. Endpoints that refused connections a moment ago are
// chosen only when there is no other.
func (p *pool) pick(r *http.Request, c *choice) *endpoint {
	if len(p.endpoints) == 0 {
		return nil
	}
	now := time.Now().UnixNano()
	if e := p.sticky(c, now); e != nil {
		return e
	}
	if p.mode == Hash {
		if value := r.Header.Get(p.hashHeader); value != "" {
			return p.hashed(value, c, now)
		}
	}
	if p.zones != nil {
		return p.pickZoned(c, now)
	}
	return p.byTurn(c, now)
}

func (p *pool) byTurn(c *choice, now int64) *endpoint {
	if p.mode == LeastConnection {
		return p.least(c, now)
	}
	return p.roundRobin(c, now)
}

func (p *pool) sticky(c *choice, now int64) *endpoint {
	if c.id == "" {
		return nil
	}
	for _, e := range p.endpoints {
		if e.InstanceID == c.id && !e.ejected(now) && c.allows(e) {
			return e
		}
	}
	return nil
}

func (p *pool) roundRobin(c *choice, now int64) *endpoint {
	turn := p.next.Add(1)
	n := uint64(len(p.endpoints))
	start := turn % n
	if p.slots != nil {
		start = uint64(p.slots[turn%uint64(len(p.slots))])
	}
	var last *endpoint
	for i := range n {
		e := p.endpoints[(start+i)%n]
		if !c.allows(e) {
			continue
		}
		if !e.ejected(now) {
			return e
		}
		if last == nil {
			last = e
		}
	}
	return last
}

func (p *pool) least(c *choice, now int64) *endpoint {
	start := int(p.next.Add(1) % uint64(len(p.endpoints))) // ties go round
	return p.best(c, now, func(i int) (float64, bool) {
		i = (start + i) % len(p.endpoints)
		return -float64(p.endpoints[i].inFlight.Load()) / float64(p.weight(i)), true
	}, start)
}

// hashed is rendezvous hashing: an endpoint that comes or goes moves only its own share of the values.
func (p *pool) hashed(value string, c *choice, now int64) *endpoint {
	key := hashString(value)
	limit := p.loadLimit()
	e := p.best(c, now, func(i int) (float64, bool) {
		ep := p.endpoints[i]
		u := (float64(mix(key^ep.hash)>>11) + 0.5) / (1 << 53) // in (0, 1)
		return float64(p.weight(i)) / -math.Log(u), ep.inFlight.Load() < limit
	}, 0)
	if e == nil && limit != math.MaxInt64 {
		return p.roundRobin(c, now)
	}
	return e
}

// loadLimit is how many requests an endpoint may have in flight and still get one more.
func (p *pool) loadLimit() int64 {
	if p.balance == 0 {
		return math.MaxInt64
	}
	total := int64(1) // the one to be placed
	for _, e := range p.endpoints {
		total += e.inFlight.Load()
	}
	return int64(math.Ceil(p.balance * float64(total) / float64(len(p.endpoints))))
}

// best returns the endpoint with the highest score, first among those that are not ejected. score is asked
// for 0, 1, ... and answers for the endpoint at that place counted from start.
func (p *pool) best(c *choice, now int64, score func(i int) (float64, bool), start int) *endpoint {
	var best *endpoint
	var bestScore float64
	var bestEjected bool
	for i := range p.endpoints {
		e := p.endpoints[(start+i)%len(p.endpoints)]
		if !c.allows(e) {
			continue
		}
		s, ok := score(i)
		if !ok {
			continue
		}
		ejected := e.ejected(now)
		if best == nil || bestEjected && !ejected || bestEjected == ejected && s > bestScore {
			best, bestScore, bestEjected = e, s, ejected
		}
	}
	return best
}

func (p *pool) weight(i int) int {
	if p.weights == nil {
		return 1
	}
	return p.weights[i]
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// hashString is FNV-1a: the same in every process, so that all routers choose alike.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finaliser of splitmix64: every bit of x reaches every bit of the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
