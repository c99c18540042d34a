package collect

import (
	"fmt"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// Gate lets so many bytes a second pass, and as many at once: a bucket that is filled all the time. It goes by the time of
// the lines, not by the clock, so that lines which were printed while nobody read are treated alike.
type Gate struct {
	rate   int // negative: everything passes
	tokens float64
	at     time.Time // of the line before
	noted  time.Time // of the last note
}

// NewGate returns a Gate for bytes a second; negative: everything passes. A Gate is used by one goroutine at a time.
func NewGate(rate int) *Gate { return &Gate{rate: rate, tokens: float64(rate)} }

// noteEvery is how often it is told that lines are dropped.
const noteEvery = time.Second

// Pass reports whether a line is kept, and whether it should be told now that one was not.
func (g *Gate) Pass(at time.Time, bytes int) (keep, note bool) {
	if g.rate < 0 {
		return true, false
	}
	if !g.at.IsZero() && at.After(g.at) {
		g.tokens = min(float64(g.rate), g.tokens+at.Sub(g.at).Seconds()*float64(g.rate))
	}
	g.at = at
	if float64(bytes) <= g.tokens {
		g.tokens -= float64(bytes)
		return true, false
	}
	if at.Sub(g.noted) < noteEvery {
		return false, false
	}
	g.noted = at
	return false, true
}

// Note is the line that tells it, in the words that clients look for (contract, 5.7).
func (g *Gate) Note(at time.Time) node.LogLine {
	return node.LogLine{Time: at, Text: fmt.Appendf(nil, "app instance exceeded log rate limit (%d bytes/sec)", g.rate)}
}

// rates knows how much workloads print.
type rates struct {
	mu     sync.Mutex
	meters map[string]*meter
}

func (r *rates) add(id string) *meter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.meters == nil {
		r.meters = map[string]*meter{}
	}
	m := &meter{}
	r.meters[id] = m
	return m
}

func (r *rates) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.meters, id)
}

// LogRate is how many bytes a second a workload has printed in the last seconds.
func (l *Loop) LogRate(id string) int64 {
	l.rates.mu.Lock()
	m := l.rates.meters[id]
	l.rates.mu.Unlock()
	if m == nil {
		return 0
	}
	return m.rate(time.Now())
}

// meter counts bytes in the current and the previous window.
type meter struct {
	mu                sync.Mutex
	begun             time.Time
	current, previous int64
}

const window = 5 * time.Second

func (m *meter) count(at time.Time, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(at)
	m.current += int64(bytes)
}

// turn begins a new window when the current one is over.
func (m *meter) turn(at time.Time) {
	switch passed := at.Sub(m.begun); {
	case passed >= 2*window:
		m.begun, m.previous, m.current = at, 0, 0
	case passed >= window:
		m.begun, m.previous, m.current = m.begun.Add(window), m.current, 0
	}
}

func (m *meter) rate(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	span := window + max(0, now.Sub(m.begun))
	return int64(float64(m.previous+m.current) / span.Seconds())
}
