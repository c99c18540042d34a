package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// recentPerSource and recentInAll bound the envelopes that are kept in memory, in bytes.
const (
	recentPerSource = 64 << 10
	recentInAll     = 8 << 20
	// pendingPerSource is how much of a source waits for the flusher; then Append writes it itself.
	pendingPerSource = 256 << 10
)

// source is what is known of one source: its lines, and in another one beside it its metrics.
type source struct {
	store   *Store
	id      string
	dir     string
	limit   int64   // bytes on disk
	metrics *source // nil in that of the metrics, which is used under the lock of the other

	users int // guarded by store.mu
	idle  int // flushes since it was used last; guarded by store.mu

	mu       sync.Mutex
	loaded   bool
	last     int64         // time of the newest envelope, metrics too; math.MinInt64 when there is none
	next     uint64        // number of the next envelope
	segments []segmentFile // in order; the last one is written to
	wake     chan struct{} // closed at the next Append

	// recent are the newest envelopes, all that is not on disk among them.
	recent      []*Envelope
	recentBytes int
	// pending are records that are not on disk, of the last of recent.
	pending      []byte
	pendingCount int

	tagSets map[string]tagSet // of the last segment, by encoded tags
}

// tagSet is a tag set's number in the segment, and the map that envelopes in memory share.
type tagSet struct {
	number uint32
	tags   map[string]string
}

// segmentFile is a file of a source; its name is the time of its first envelope.
type segmentFile struct {
	first int64
	size  int64 // without pending
}

func newSource(s *Store, id, dir string) *source {
	src := &source{store: s, id: id, dir: dir, limit: s.perSourceBytes, wake: make(chan struct{})}
	src.metrics = &source{store: s, id: id, dir: filepath.Join(dir, metricsDir), limit: s.perSourceBytes / metricsShare}
	src.resetLocked()
	return src
}

// metricsDir is the folder of a source's metrics in that of its lines.
const metricsDir = "metrics"

// resetLocked forgets everything, as for a source that has just been deleted.
func (s *source) resetLocked() {
	s.store.recentBytes.Add(-int64(s.recentBytes))
	s.loaded, s.last, s.next = false, math.MinInt64, 0
	s.segments, s.recent, s.recentBytes = nil, nil, 0
	s.pending, s.pendingCount, s.tagSets = nil, 0, nil
	if s.metrics != nil {
		s.metrics.resetLocked()
	}
}

func (s *source) path(f segmentFile) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d.log", f.first))
}

// load reads what is on disk: the names of the segments, and the last of them whole. What a crash left unfinished at its
// end is cut off.
func (s *source) load() error {
	if s.loaded {
		return nil
	}
	files, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.segments = nil
	for _, f := range files {
		first, err := strconv.ParseInt(strings.TrimSuffix(f.Name(), ".log"), 10, 64)
		info, infoErr := f.Info()
		if err == nil && infoErr == nil {
			s.segments = append(s.segments, segmentFile{first: first, size: info.Size()})
		}
	}
	slices.SortFunc(s.segments, func(a, b segmentFile) int { return compareTimes(a.first, b.first) })
	for len(s.segments) > 0 {
		usable, err := s.loadLast()
		if err != nil {
			return err
		}
		if usable {
			break
		}
	}
	if s.metrics != nil {
		if err := s.metrics.load(); err != nil {
			return err
		}
		s.last = max(s.last, s.metrics.last)
	}
	s.loaded = true
	return nil
}

func compareTimes(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// loadLast makes the last segment ready to be written to. One without any envelope is deleted.
func (s *source) loadLast() (usable bool, err error) {
	last := &s.segments[len(s.segments)-1]
	data, err := os.ReadFile(s.path(*last))
	if err != nil {
		return false, err
	}
	g := parseSegment(data)
	if g.len() == 0 {
		err := os.Remove(s.path(*last))
		s.segments = s.segments[:len(s.segments)-1]
		return false, err
	}
	if len(g.data) < len(data) {
		if err := os.Truncate(s.path(*last), int64(len(g.data))); err != nil {
			return false, err
		}
	}
	last.size = int64(len(g.data))
	s.last = max(s.last, g.time(g.len()-1))
	s.next = max(s.next, g.number+uint64(g.len()))
	s.tagSets = make(map[string]tagSet, len(g.tagSets))
	for i, body := range g.tagSets {
		tags, err := decodeTags(body)
		if err != nil {
			return false, err
		}
		s.tagSets[string(body)] = tagSet{uint32(i), tags}
	}
	return true, nil
}

// append adds an envelope in memory and returns it as it is kept.
func (s *source) append(e Envelope) (*Envelope, error) {
	if err := s.load(); err != nil {
		return nil, err
	}
	encoded := encodeTags(e.Tags)
	if metaBytes(&e)+len(encoded) > maxMetaBytes {
		return nil, ErrTooLarge
	}
	e.Gauges = finite(e.Gauges)
	e.original = e.Time.UnixNano()
	at := max(e.original, s.last+1)
	if s.last == math.MinInt64 {
		at = e.original
	}
	e.Time = time.Unix(0, at).UTC()
	into := s
	if e.Type() != Log {
		into = s.metrics
	}
	if err := into.keep(&e, encoded); err != nil {
		return nil, err
	}
	s.last, into.last = at, at
	if len(into.pending) >= pendingPerSource {
		return &e, into.writeLocked()
	}
	return &e, nil
}

// keep adds an envelope with its final time.
func (s *source) keep(e *Envelope, encoded string) error {
	if err := s.rotateLocked(e.Time.UnixNano()); err != nil {
		return err
	}
	set, known := s.tagSets[encoded]
	if !known {
		tags, err := decodeTags([]byte(encoded)) // a copy, shared by all envelopes that have it
		if err != nil {
			return err
		}
		set = tagSet{uint32(len(s.tagSets)), tags}
		s.tagSets[encoded] = set
		s.pending = appendRecord(s.pending, []byte(encoded))
	}
	e.Tags = set.tags
	e.Payload = slices.Clone(e.Payload)
	e.number = s.next
	s.pending = appendRecord(s.pending, encodeEnvelope(nil, e, set.number))
	s.pendingCount++
	s.next++
	s.remember(e)
	return nil
}

// finite leaves out what JSON has no number for.
func finite(gauges map[string]Gauge) map[string]Gauge {
	if gauges == nil {
		return nil
	}
	kept := make(map[string]Gauge, len(gauges))
	for name, g := range gauges {
		if !math.IsNaN(g.Value) && !math.IsInf(g.Value, 0) {
			kept[name] = g
		}
	}
	return kept
}

// metaBytes is about how long the parts of an envelope are that are not split.
func metaBytes(e *Envelope) int {
	n := len(e.InstanceID)
	switch {
	case e.Timer != nil:
		n += len(e.Timer.Name) + 16
	case e.Counter != nil:
		n += len(e.Counter.Name) + 16
	case e.Event != nil:
		n += len(e.Event.Title) + len(e.Event.Body)
	}
	for name, g := range e.Gauges {
		n += len(name) + len(g.Unit) + 16
	}
	return n
}

// rotateLocked begins a segment when there is none, or when the last one is full, and deletes the oldest.
func (s *source) rotateLocked(first int64) error {
	limit := max(s.limit/segmentsPerSource, int64(segmentHeader))
	if n := len(s.segments); n > 0 && s.segments[n-1].size+int64(len(s.pending)) < limit && !s.store.fillsTooLong(s.segments[n-1].first, first) {
		return nil
	}
	if err := s.writeLocked(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f := segmentFile{first: first}
	header := appendSegmentHeader(nil, s.next)
	if err := os.WriteFile(s.path(f), header, 0o600); err != nil {
		return errors.Join(err, os.Remove(s.path(f)))
	}
	f.size = int64(len(header))
	s.segments = append(s.segments, f)
	s.tagSets = map[string]tagSet{}
	for len(s.segments) > segmentsPerSource {
		if err := os.Remove(s.path(s.segments[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.segments = s.segments[1:]
	}
	return nil
}

// remember keeps an envelope in memory and forgets the oldest that are on disk.
func (s *source) remember(e *Envelope) {
	s.recent = append(s.recent, e)
	s.countRecent(envelopeBytes(e))
	if s.recentBytes > recentPerSource {
		s.trimLocked(recentPerSource / 2)
	}
}

// trimLocked forgets the oldest envelopes that are on disk until no more than limit bytes are left. It goes down to half of what is
// allowed at a time, so that moving the rest costs little.
func (s *source) trimLocked(limit int) {
	n, freed := 0, 0
	for n < len(s.recent)-s.pendingCount && s.recentBytes-freed > limit {
		freed += envelopeBytes(s.recent[n])
		n++
	}
	if n > 0 {
		s.recent = slices.Delete(s.recent, 0, n)
		s.countRecent(-freed)
	}
}

func (s *source) countRecent(bytes int) {
	s.recentBytes += bytes
	s.store.recentBytes.Add(int64(bytes))
}

func envelopeBytes(e *Envelope) int { return 200 + len(e.Payload) + metaBytes(e) }

// wakeLocked wakes who waits.
func (s *source) wakeLocked() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// flushLocked writes what is pending, of metrics too.
func (s *source) flushLocked() error {
	return errors.Join(s.writeLocked(), s.metrics.writeLocked())
}

// writeLocked writes pending to the last segment. If the disk does not take it, it is given up: logs must not fill the
// memory. Then the next append loads the source again, as the segment has not all tag sets that were in pending.
func (s *source) writeLocked() error {
	if len(s.pending) == 0 {
		return nil
	}
	f := &s.segments[len(s.segments)-1]
	err := appendFile(s.path(*f), f.size, s.pending)
	if err != nil {
		err = fmt.Errorf("%d log lines are lost: %w", s.pendingCount, err)
		s.loaded = false
	} else {
		f.size += int64(len(s.pending))
		s.store.written.Add(int64(len(s.pending)))
	}
	s.pending, s.pendingCount = s.pending[:0], 0
	if cap(s.pending) > pendingPerSource/4 {
		s.pending = nil
	}
	return err
}

// appendFile writes at the end of a file, or undoes it.
func appendFile(path string, size int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, size); err != nil {
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	return f.Close()
}
