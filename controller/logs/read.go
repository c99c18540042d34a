package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"sort"
)

// Type is a type of envelope, by log-cache's name. Those that are neither Log nor Gauge are never found here.
type Type string

// The types that are kept.
const (
	Log       Type = "LOG"
	GaugeType Type = "GAUGE"
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
	is := Log
	if e.Gauges != nil {
		is = GaugeType
	}
	if len(q.Types) > 0 && !slices.Contains(q.Types, is) {
		return nil
	}
	if q.Names == nil {
		return e
	}
	part := *e
	part.Gauges = map[string]Gauge{}
	for name, g := range e.Gauges {
		if q.Names.MatchString(name) {
			part.Gauges[name] = g
		}
	}
	if len(part.Gauges) == 0 {
		return nil
	}
	return &part
}

// walk calls fn with the envelopes between Start and End in the order of the query, until it returns false.
func (s *source) walk(q Query, fn func(*Envelope) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return err
	}
	if q.End == 0 {
		q.End = math.MaxInt64
	}
	onDisk := q // what is in memory is not read from the disk
	if len(s.recent) > 0 {
		onDisk.End = min(q.End, s.recent[0].Time.UnixNano())
	}
	if q.Descending {
		if !s.walkRecent(q, fn) {
			return nil
		}
		for i := range slices.Backward(s.segments) {
			if goOn, err := s.walkSegment(i, onDisk, fn); !goOn || err != nil {
				return err
			}
		}
		return nil
	}
	for i := range s.segments {
		if goOn, err := s.walkSegment(i, onDisk, fn); !goOn || err != nil {
			return err
		}
	}
	s.walkRecent(q, fn)
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

func (s *source) walkRecent(q Query, fn func(*Envelope) bool) bool {
	from, to := q.span(len(s.recent), func(i int) int64 { return s.recent[i].Time.UnixNano() })
	return q.inOrder(from, to, func(i int) bool { return fn(s.recent[i]) })
}

// walkSegment reads a segment if it can have envelopes of the query.
func (s *source) walkSegment(i int, q Query, fn func(*Envelope) bool) (goOn bool, err error) {
	end := int64(math.MaxInt64)
	if i+1 < len(s.segments) {
		end = s.segments[i+1].first
	}
	if s.segments[i].first >= q.End || end <= q.Start || q.Start >= q.End {
		return true, nil
	}
	data, err := os.ReadFile(s.path(s.segments[i]))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // somebody made room
	}
	if err != nil {
		return false, err
	}
	g := parseSegment(data)
	from, to := q.span(g.len(), g.time)
	goOn = q.inOrder(from, to, func(i int) bool {
		e, decodeErr := g.envelope(i, s.id)
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
	if len(src.segments) == 0 {
		return Meta{}, nil
	}
	oldest := src.segments[0]
	number, err := readSegmentNumber(src.path(oldest))
	if err != nil {
		return Meta{}, fmt.Errorf("read the log of %s: %w", sourceID, err)
	}
	return Meta{Count: src.next - number, Expired: number, Oldest: oldest.first, Newest: src.last}, nil
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
