package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"regexp"
	"slices"
	"sort"
)

// Type is a type of envelope, by log-cache's name.
type Type string

// The types.
const (
	Log         Type = "LOG"
	GaugeType   Type = "GAUGE"
	TimerType   Type = "TIMER"
	CounterType Type = "COUNTER"
	EventType   Type = "EVENT"
)

// Query says which envelopes of a source.
type Query struct {
	SourceID string
	// Start and End are nanoseconds since 1970; Start is included, End is not. An End of zero is no end.
	Start, End int64
	// Limit is how many at most; zero means all.
	Limit int
	// Descending gives the newest first, and so the newest when there are more than Limit.
	Descending bool
	// Types are the types wanted; none means all.
	Types []Type
	// Names, when set, leaves only metrics whose name matches, and no log lines.
	Names *regexp.Regexp
}

// Read returns the envelopes that q asks for, oldest first unless Descending. They must not be written to. A source without
// logs has none.
func (s *Store) Read(q Query) ([]*Envelope, error) {
	src, err := s.acquire(q.SourceID)
	if err != nil {
		return nil, fmt.Errorf("read the log of %q: %w", q.SourceID, err)
	}
	defer s.release(src)
	var found []*Envelope
	err = src.walk(q, func(e *Envelope) bool {
		if e = q.filter(e); e != nil {
			found = append(found, e)
		}
		return q.Limit <= 0 || len(found) < q.Limit
	})
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", q.SourceID, err)
	}
	return found, nil
}

// filter returns the envelope, or the part of it that is wanted, or nil.
func (q *Query) filter(e *Envelope) *Envelope {
	is := e.Type()
	if len(q.Types) > 0 && !slices.Contains(q.Types, is) {
		return nil
	}
	if q.Names == nil {
		return e
	}
	switch is {
	case GaugeType:
		return q.filterGauges(e)
	case TimerType:
		return onlyIf(q.Names.MatchString(e.Timer.Name), e)
	case CounterType:
		return onlyIf(q.Names.MatchString(e.Counter.Name), e)
	}
	return nil
}

func onlyIf(ok bool, e *Envelope) *Envelope {
	if !ok {
		return nil
	}
	return e
}

func (q *Query) filterGauges(e *Envelope) *Envelope {
	part := *e
	part.Gauges = map[string]Gauge{}
	for name, g := range e.Gauges {
		if q.Names.MatchString(name) {
			part.Gauges[name] = g
		}
	}
	return onlyIf(len(part.Gauges) > 0, &part)
}

// wants reports whether lines, or else metrics, can be in the answer.
func (q *Query) wants(lines bool) bool {
	if lines && q.Names != nil {
		return false
	}
	return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t Type) bool { return (t == Log) == lines })
}

// walk calls fn with the envelopes between Start and End in the order of the query, until it returns false. It holds
// the source's lock only to see what there is, not while it reads the disk.
func (s *source) walk(q Query, fn func(*Envelope) bool) error {
	if q.End == 0 {
		q.End = math.MaxInt64
	}
	if s.store.maxAge > 0 {
		q.Start = max(q.Start, s.store.clock().Add(-s.store.maxAge).UnixNano())
	}
	s.mu.Lock()
	if err := s.load(); err != nil {
		s.mu.Unlock()
		return err
	}
	lines, metrics := s.viewLocked(), s.metrics.viewLocked()
	s.mu.Unlock()
	switch {
	case !q.wants(true):
		return metrics.walk(q, fn)
	case !q.wants(false):
		return lines.walk(q, fn)
	}
	return walkBoth(lines, metrics, q, fn)
}

// view is what there is of a source's lines, or of its metrics, at a moment. Segments only grow or go.
type view struct {
	id       string
	segments []segmentFile
	paths    []string
	recent   []*Envelope
}

func (s *source) viewLocked() *view {
	v := &view{id: s.id, segments: slices.Clone(s.segments), recent: slices.Clone(s.recent)}
	for _, f := range s.segments {
		v.paths = append(v.paths, s.path(f))
	}
	return v
}

// walkBoth merges two views by time. No two of their envelopes have the same.
func walkBoth(a, b *view, q Query, fn func(*Envelope) bool) error {
	var errs [2]error
	pull := func(v *view, err *error) (func() (*Envelope, bool), func()) {
		return iter.Pull(func(yield func(*Envelope) bool) { *err = v.walk(q, yield) })
	}
	nextA, stopA := pull(a, &errs[0])
	defer stopA()
	nextB, stopB := pull(b, &errs[1])
	defer stopB()
	x, moreX := nextA()
	y, moreY := nextB()
	for moreX || moreY {
		takeX := moreX && (!moreY || x.Time.Before(y.Time) != q.Descending)
		if takeX {
			if !fn(x) {
				break
			}
			x, moreX = nextA()
			continue
		}
		if !fn(y) {
			break
		}
		y, moreY = nextB()
	}
	return errors.Join(errs[0], errs[1])
}

func (v *view) walk(q Query, fn func(*Envelope) bool) error {
	onDisk := q // what is in memory is not read from the disk
	if len(v.recent) > 0 {
		onDisk.End = min(q.End, v.recent[0].Time.UnixNano())
	}
	if q.Descending {
		if !v.walkRecent(q, fn) {
			return nil
		}
		for i := range slices.Backward(v.segments) {
			if goOn, err := v.walkSegment(i, onDisk, fn); !goOn || err != nil {
				return err
			}
		}
		return nil
	}
	for i := range v.segments {
		if goOn, err := v.walkSegment(i, onDisk, fn); !goOn || err != nil {
			return err
		}
	}
	v.walkRecent(q, fn)
	return nil
}

// span returns the first and the end index, of n envelopes in order, between Start and End.
func (q *Query) span(n int, time func(int) int64) (from, to int) {
	from = sort.Search(n, func(i int) bool { return time(i) >= q.Start })
	to = sort.Search(n, func(i int) bool { return time(i) >= q.End })
	return from, max(from, to)
}

// inOrder calls fn with the indexes of a span in the order of the query, and reports whether to go on.
func (q *Query) inOrder(from, to int, fn func(int) bool) bool {
	for i := range to - from {
		at := from + i
		if q.Descending {
			at = to - 1 - i
		}
		if !fn(at) {
			return false
		}
	}
	return true
}

func (v *view) walkRecent(q Query, fn func(*Envelope) bool) bool {
	from, to := q.span(len(v.recent), func(i int) int64 { return v.recent[i].Time.UnixNano() })
	return q.inOrder(from, to, func(i int) bool { return fn(v.recent[i]) })
}

// walkSegment reads a segment if it can have envelopes of the query.
func (v *view) walkSegment(i int, q Query, fn func(*Envelope) bool) (goOn bool, err error) {
	end := int64(math.MaxInt64)
	if i+1 < len(v.segments) {
		end = v.segments[i+1].first
	}
	if v.segments[i].first >= q.End || end <= q.Start || q.Start >= q.End {
		return true, nil
	}
	data, err := os.ReadFile(v.paths[i])
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // somebody made room
	}
	if err != nil {
		return false, err
	}
	g := parseSegment(data)
	from, to := q.span(g.len(), g.time)
	goOn = q.inOrder(from, to, func(i int) bool {
		e, decodeErr := g.envelope(i, v.id)
		if decodeErr != nil {
			err = decodeErr
			return false
		}
		return fn(e)
	})
	return goOn, err
}

// Meta is how much of a source there is.
type Meta struct {
	Count   uint64 // kept
	Expired uint64 // had and not kept any more
	Oldest  int64  // times in nanoseconds; zero when nothing is kept
	Newest  int64
}

// Meta returns how much of a source there is.
func (s *Store) Meta(sourceID string) (Meta, error) {
	src, err := s.acquire(sourceID)
	if err != nil {
		return Meta{}, fmt.Errorf("read the log of %q: %w", sourceID, err)
	}
	defer s.release(src)
	src.mu.Lock()
	defer src.mu.Unlock()
	if err := src.load(); err != nil {
		return Meta{}, fmt.Errorf("read the log of %s: %w", sourceID, err)
	}
	m := Meta{}
	for _, stream := range []*source{src, src.metrics} {
		if err := stream.addMeta(&m); err != nil {
			return Meta{}, fmt.Errorf("read the log of %s: %w", sourceID, err)
		}
	}
	return m, nil
}

// addMeta adds what there is of lines, or of metrics.
func (s *source) addMeta(m *Meta) error {
	if len(s.segments) == 0 {
		return nil
	}
	oldest := s.segments[0]
	number, err := readSegmentNumber(s.path(oldest))
	if err != nil {
		return err
	}
	if m.Count == 0 || oldest.first < m.Oldest {
		m.Oldest = oldest.first
	}
	m.Count += s.next - number
	m.Expired += number
	m.Newest = max(m.Newest, s.last)
	return nil
}

// readSegmentNumber reads the header alone.
func readSegmentNumber(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	header := make([]byte, segmentHeader)
	if _, err := f.ReadAt(header, 0); err != nil {
		return 0, err
	}
	return parseSegment(header).number, nil
}

// Sources returns the ids of all sources of which something is kept on disk or in memory.
func (s *Store) Sources() ([]string, error) {
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list the logs: %w", err)
	}
	var ids []string
	for _, f := range folders {
		if sourceGrammar.MatchString(f.Name()) {
			ids = append(ids, f.Name())
		}
	}
	return ids, nil
}
