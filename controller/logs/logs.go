// Package logs keeps what apps and the platform say about them: log lines and metrics, by source (an app's
// GUID), on disk within limits, and serves them: as log-cache does (Handler), as the gateway of the reverse
// log proxy does (Stream), as Doppler's websockets do (Firehose), and to syslog drains (Drains).
//
// Each source is a folder of append-only segments, one for lines and below it one for metrics, which come
// all the time and must not push the lines out. The oldest segment goes when a source or all of them
// together have too many bytes, or when it is too old. What was appended is on disk within a second, without
// a sync: a killed process loses no more than that second, and a follower that asks LastWhere goes on where
// it was. Memory is bounded by what was said lately, not by what is kept.
package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

// Envelope is one log line unless it has Gauges, a Timer, a Counter or an Event.
type Envelope struct {
	SourceID   string // a GUID
	InstanceID string // the instance's index
	// Time is when it was said. The zero time means now, and so does the future. In what Read returns it is unique in
	// its source: see Store.Append.
	Time    time.Time
	Stderr  bool
	Payload []byte // without the line's end
	Tags    map[string]string
	Gauges  map[string]Gauge
	Timer   *Timer
	Counter *Counter
	Event   *Event

	original int64  // Time in nanoseconds before it was made unique
	number   uint64 // in its source, lines and metrics each by themselves
}

// Type is what the envelope carries.
func (e *Envelope) Type() Type {
	switch {
	case e.Gauges != nil:
		return GaugeType
	case e.Timer != nil:
		return TimerType
	case e.Counter != nil:
		return CounterType
	case e.Event != nil:
		return EventType
	}
	return Log
}

// Timer is how long something took, such as an HTTP request.
type Timer struct {
	Name        string
	Start, Stop time.Time
}

// Counter is a count that only grows.
type Counter struct {
	Name         string
	Delta, Total uint64
}

// Event is something that happened.
type Event struct{ Title, Body string }

// Gauge is the value of a metric at a time.
type Gauge struct {
	Unit  string
	Value float64
}

// What callers can tell apart.
var (
	// ErrBadSource says that a source id is not a GUID in lower case.
	ErrBadSource = errors.New("a source id must be a GUID in lower case")
	// ErrTooLarge says that the tags or metrics of an envelope take too many bytes.
	ErrTooLarge = errors.New("an envelope's tags and metrics must have less than 64 KiB")
)

// Options say where logs are kept and how many. Zero fields mean the defaults.
type Options struct {
	Dir string
	// PerSourceBytes is how much of one source's lines is kept on disk; 16 MiB by default, 1 GiB at most. Its metrics
	// have a quarter of that besides.
	PerSourceBytes int64
	// MaxBytes is how much is kept of all sources together; 1 GiB by default.
	MaxBytes int64
	// MaxAge is how long something is kept; zero: as long as there is room.
	MaxAge time.Duration
	// Clock gives the time; nil means time.Now.
	Clock func() time.Time
}

const (
	defaultPerSourceBytes = 16 << 20
	defaultMaxBytes       = 1 << 30
	maxPerSourceBytes     = 1 << 30
	// segmentsPerSource is into how many files a source is split: what goes at once is one of them.
	segmentsPerSource = 8
	// metricsShare is which part of a source's bytes its metrics may have besides.
	metricsShare = 4
	// maxPayloadBytes is where a line is split.
	maxPayloadBytes = 64 << 10
	// flushDelay is how long an envelope may stay in memory alone.
	flushDelay = time.Second
)

// sourceGrammar is strict, because a source id becomes the name of a folder.
var sourceGrammar = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Store keeps the logs. Its methods may be called from any goroutine.
type Store struct {
	dir            string
	perSourceBytes int64
	maxBytes       int64
	maxAge         time.Duration
	hub            hub
	clock          func() time.Time
	opened         time.Time

	// mu is taken before a source's own.
	mu      sync.Mutex
	sources map[string]*source // those in use or said something lately; guarded by mu

	recentBytes atomic.Int64 // of all sources in memory
	written     atomic.Int64 // since retention last looked at the disk

	streams     context.Context // ends when streams are to end
	stopStreams context.CancelFunc

	dirty   chan struct{} // capacity one: something is to be flushed
	stop    context.CancelFunc
	stopped chan struct{} // closed when the flusher has ended
}

// Open opens the logs in o.Dir, which is made when it does not exist.
func Open(o Options) (*Store, error) {
	if o.PerSourceBytes <= 0 {
		o.PerSourceBytes = defaultPerSourceBytes
	}
	o.PerSourceBytes = min(o.PerSourceBytes, maxPerSourceBytes)
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the logs: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		dir: o.Dir, perSourceBytes: o.PerSourceBytes, maxBytes: o.MaxBytes, maxAge: o.MaxAge, clock: o.Clock, opened: o.Clock(),
		sources: map[string]*source{},
		dirty:   make(chan struct{}, 1), stop: stop, stopped: make(chan struct{}),
	}
	s.streams, s.stopStreams = context.WithCancel(context.Background())
	s.written.Store(o.MaxBytes) // so that the first flush looks at the disk
	go s.run(ctx)
	return s, nil
}

// CloseStreams ends the answers of Stream and Firehose that are under way, which would not end by themselves, and
// lets no new ones begin.
func (s *Store) CloseStreams() { s.stopStreams() }

// Close writes everything to disk. Nothing may be appended after it.
func (s *Store) Close() error {
	s.stopStreams()
	s.stop()
	<-s.stopped
	return s.flush()
}

// Append keeps an envelope and wakes who waits for its source. A line of more than 64 KiB becomes several.
//
// Times in one source strictly increase, since clients go on from the last time they saw: an envelope
// that comes late, or at the very time of another, gets the next free nanosecond. Payload and Tags are copied.
func (s *Store) Append(e Envelope) error {
	src, err := s.acquire(e.SourceID)
	if err != nil {
		return fmt.Errorf("append to the log of %q: %w", e.SourceID, err)
	}
	defer s.release(src)
	now := s.clock()
	if e.Time.Before(time.Unix(0, 0)) || e.Time.After(now) {
		e.Time = now
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	for _, payload := range splitPayload(e.Payload) {
		e.Payload = payload
		kept, err := src.append(e)
		if err != nil {
			return fmt.Errorf("append to the log of %s: %w", e.SourceID, err)
		}
		s.hub.publish(kept) // with the source's lock, so that subscribers see the order
	}
	src.wakeLocked()
	select {
	case s.dirty <- struct{}{}:
	default: // the flusher knows already
	}
	return nil
}

// Wait blocks until the source has an envelope after the given time (in nanoseconds since 1970), or ctx ends; then it returns the
// error of ctx.
func (s *Store) Wait(ctx context.Context, sourceID string, after int64) error {
	src, err := s.acquire(sourceID)
	if err != nil {
		return err
	}
	defer s.release(src)
	for {
		src.mu.Lock()
		if err := src.load(); err != nil {
			src.mu.Unlock()
			return err
		}
		last, wake := src.last, src.wake
		src.mu.Unlock()
		if last > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wake:
		}
	}
}

// Last returns the time of the newest envelope of a source, the zero time when there is none.
func (s *Store) Last(sourceID string) time.Time {
	return s.LastWhere(sourceID, func(*Envelope) bool { return true })
}

// LastWhere returns the time that the newest envelope that matches was appended with, before it was made unique;
// the zero time when there is none. A follower of one instance goes on from there after a restart: what it
// had read is up to that time, whatever came from other instances in between.
func (s *Store) LastWhere(sourceID string, match func(*Envelope) bool) time.Time {
	src, err := s.acquire(sourceID)
	if err != nil {
		return time.Time{}
	}
	defer s.release(src)
	var last time.Time
	err = src.walk(Query{Descending: true, Types: []Type{Log}}, func(e *Envelope) bool {
		if match(e) {
			last = time.Unix(0, e.original).UTC()
		}
		return last.IsZero()
	})
	if err != nil {
		slog.Warn("the log of a source can't be read", "source", sourceID, "error", err)
	}
	return last
}

// Delete deletes what is kept of a source. Deleting one that is not there is no error.
func (s *Store) Delete(sourceID string) error {
	src, err := s.acquire(sourceID)
	if err != nil {
		return fmt.Errorf("delete the log of %q: %w", sourceID, err)
	}
	defer s.release(src)
	src.mu.Lock()
	defer src.mu.Unlock()
	src.resetLocked()
	if err := os.RemoveAll(src.dir); err != nil {
		return fmt.Errorf("delete the log of %s: %w", sourceID, err)
	}
	return nil
}

// acquire returns the source, which stays in memory until it is released.
func (s *Store) acquire(id string) (*source, error) {
	if !sourceGrammar.MatchString(id) {
		return nil, ErrBadSource
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	src, ok := s.sources[id]
	if !ok {
		src = newSource(s, id, filepath.Join(s.dir, id))
		s.sources[id] = src
	}
	src.users++
	src.idle = 0
	return src, nil
}

func (s *Store) release(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src.users--
}

// splitPayload splits a long line, not inside a character if it is UTF-8. An empty line is one part.
func splitPayload(p []byte) [][]byte {
	var parts [][]byte
	for len(p) > maxPayloadBytes {
		end := maxPayloadBytes
		for back := 1; back < 4; back++ {
			if c := p[end]; c&0xc0 != 0x80 { // p[end] begins a character
				break
			}
			end--
		}
		parts = append(parts, p[:end])
		p = p[end:]
	}
	return append(parts, p)
}
