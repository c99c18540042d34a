package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	app1 = "11111111-1111-4111-8111-111111111111"
	app2 = "22222222-2222-4222-8222-222222222222"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Clock == nil {
		o.Clock = func() time.Time { return start.Add(time.Hour) }
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s := open(t, o)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func tags(i int) map[string]string {
	return map[string]string{"source_type": "APP/PROC/WEB", "app_name": "dora", "process_instance_id": fmt.Sprint("p", i%3)}
}

// line is the i-th line of a source, a millisecond after the one before.
func line(source string, i int) Envelope {
	return Envelope{
		SourceID: source, InstanceID: fmt.Sprint(i % 3), Time: start.Add(time.Duration(i) * time.Millisecond),
		Stderr: i%2 == 1, Payload: fmt.Appendf(nil, "line %d", i), Tags: tags(i),
	}
}

func appendLines(t testing.TB, s *Store, source string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Append(line(source, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, s *Store, q Query) []*Envelope {
	t.Helper()
	found, err := s.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func payloads(envelopes []*Envelope) []string {
	var all []string
	for _, e := range envelopes {
		all = append(all, string(e.Payload))
	}
	return all
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	gauge := Envelope{SourceID: app1, InstanceID: "0", Time: start.Add(time.Second), Tags: tags(0),
		Gauges: map[string]Gauge{"cpu": {"percentage", 1.5}, "memory": {"bytes", 1 << 30}}}
	appendLines(t, s, app1, 0, 3)
	if err := s.Append(gauge); err != nil {
		t.Fatal(err)
	}
	appendLines(t, s, app2, 0, 1)
	check := func(when string) {
		got := read(t, s, Query{SourceID: app1})
		want := []Envelope{line(app1, 0), line(app1, 1), line(app1, 2), gauge}
		if len(got) != len(want) {
			t.Fatalf("%s: %d envelopes, want %d", when, len(got), len(want))
		}
		for i := range want {
			want[i].original = want[i].Time.UnixNano()
			if want[i].Gauges == nil {
				want[i].number = uint64(i)
			}
			if len(got[i].Payload) == 0 {
				got[i].Payload = nil
			}
			if !reflect.DeepEqual(*got[i], want[i]) {
				t.Errorf("%s: envelope %d = %+v, want %+v", when, i, *got[i], want[i])
			}
		}
	}
	check("from memory")
	closeStore(t, s)
	s = openTest(t, Options{Dir: dir})
	check("after reopening")
}

func TestTimesStrictlyIncrease(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	for i, at := range []time.Time{start, start, start.Add(-time.Hour), {}, start.Add(24 * time.Hour), start.Add(time.Second)} {
		e := line(app1, i)
		e.Time = at
		if err := s.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		now := start.Add(time.Hour)
		want := []time.Time{start, start.Add(1), start.Add(2), now, now.Add(1), now.Add(2)}
		for i, e := range read(t, s, Query{SourceID: app1}) {
			if !e.Time.Equal(want[i]) {
				t.Errorf("time %d = %v, want %v", i, e.Time, want[i])
			}
		}
	}
	check()
	if got := s.LastWhere(app1, func(e *Envelope) bool { return e.InstanceID == "2" }); !got.Equal(start.Add(time.Second)) {
		t.Errorf("LastWhere(instance 2) = %v, want the time it was appended with, %v", got, start.Add(time.Second))
	}
	closeStore(t, s)
	s = openTest(t, Options{Dir: dir})
	check()
	if err := s.Append(line(app1, 6)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, Query{SourceID: app1, Descending: true, Limit: 1}); !got[0].Time.Equal(start.Add(time.Hour + 3)) {
		t.Errorf("time of a late line after reopening = %v, want the next free one", got[0].Time)
	}
}

func TestQuery(t *testing.T) {
	s := openTest(t, Options{PerSourceBytes: 64 << 10})
	appendLines(t, s, app1, 0, 500) // several segments
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	s.sources[app1].trimLocked(3000) // some in memory, the rest on disk
	ns := func(i int) int64 { return line(app1, i).Time.UnixNano() }
	tests := []struct {
		name        string
		q           Query
		first, last int // line numbers
	}{
		{"all", Query{}, 0, 499},
		{"limit", Query{Limit: 10}, 0, 9},
		{"newest", Query{Limit: 10, Descending: true}, 499, 490},
		{"newest, from the disk too", Query{Limit: 300, Descending: true}, 499, 200},
		{"start", Query{Start: ns(100), Limit: 5}, 100, 104},
		{"between", Query{Start: ns(100) + 1, End: ns(200)}, 101, 199},
		{"between, newest first", Query{Start: ns(100), End: ns(200) + 1, Descending: true}, 200, 100},
		{"hugely negative start", Query{Start: -1 << 63, Limit: 1}, 0, 0},
		{"at the end", Query{Start: ns(499)}, 499, 499},
		{"after the end", Query{Start: ns(499) + 1}, -1, -1},
		{"before the beginning", Query{End: ns(0)}, -1, -1},
		{"other types", Query{Types: []Type{GaugeType, "TIMER"}}, -1, -1},
		{"log lines", Query{Types: []Type{Log}, Start: ns(497)}, 497, 499},
	}
	for _, test := range tests {
		test.q.SourceID = app1
		got := payloads(read(t, s, test.q))
		var want []string
		if test.first >= 0 {
			step := 1
			if test.last < test.first {
				step = -1
			}
			for i := test.first; i != test.last+step; i += step {
				want = append(want, fmt.Sprint("line ", i))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d lines %.60q..., want %d lines %.60q...", test.name, len(got), got, len(want), want)
		}
	}
}

func TestBadSources(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	for _, id := range []string{"", ".", "..", "../x", "gorouter", strings.ToUpper("aaaaaaaa-1111-4111-8111-111111111111"), app1 + "/..", app1 + "\n"} {
		if err := s.Append(Envelope{SourceID: id}); !errors.Is(err, ErrBadSource) {
			t.Errorf("Append to %q = %v, want ErrBadSource", id, err)
		}
		if err := s.Delete(id); !errors.Is(err, ErrBadSource) {
			t.Errorf("Delete of %q = %v, want ErrBadSource", id, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%d files were made for bad sources", len(files))
	}
}

func TestLongLinesAreSplit(t *testing.T) {
	s := openTest(t, Options{})
	long := strings.Repeat("ä", 100_000) // 200,000 bytes; 64 KiB is in the middle of none
	e := line(app1, 0)
	e.Payload = []byte("x" + long)
	if err := s.Append(e); err != nil {
		t.Fatal(err)
	}
	parts := payloads(read(t, s, Query{SourceID: app1}))
	if len(parts) != 4 || strings.Join(parts, "") != "x"+long {
		t.Errorf("%d parts that are not the line again, want 4", len(parts))
	}
	for i, p := range parts {
		if len(p) > maxPayloadBytes || !utf8.ValidString(p) {
			t.Errorf("part %d has %d bytes, valid %v", i, len(p), utf8.ValidString(p))
		}
	}
	e.Payload = bytes.Repeat([]byte{0x80}, 3*maxPayloadBytes) // no characters at all
	if err := s.Append(e); err != nil {
		t.Error(err)
	}
}

func TestTagsAreBounded(t *testing.T) {
	s := openTest(t, Options{})
	err := s.Append(Envelope{SourceID: app1, Tags: map[string]string{"x": strings.Repeat("x", maxMetaBytes)}})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append = %v, want ErrTooLarge", err)
	}
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	appendLines(t, s, app1, 0, 10)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Delete(app1); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s, Query{SourceID: app1}); len(got) != 0 {
		t.Errorf("%d lines after Delete", len(got))
	}
	if !s.Last(app1).IsZero() {
		t.Errorf("Last = %v after Delete", s.Last(app1))
	}
	if _, err := os.Stat(filepath.Join(dir, app1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestWait(t *testing.T) {
	s := openTest(t, Options{})
	woken := make(chan error, 1)
	go func() { woken <- s.Wait(t.Context(), app1, start.UnixNano()) }()
	if err := s.Append(line(app1, 0)); err != nil { // not after start
		t.Fatal(err)
	}
	if err := s.Append(line(app1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, app1, start.Add(time.Hour).UnixNano()); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v after its context ended, want Canceled", err)
	}
}

// TestFollow appends from several goroutines while readers go on from the last time they saw, as clients do: each sees
// every line once.
func TestFollow(t *testing.T) {
	s := openTest(t, Options{PerSourceBytes: 4 << 20})
	const writers, lines, readers = 3, 1000, 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range lines {
				e := line(app1, i)
				e.Payload = fmt.Appendf(nil, "%d/%d", w, i)
				if err := s.Append(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range readers {
		all.Go(func() {
			seen := map[string]bool{}
			from := int64(0)
			for len(seen) < writers*lines {
				if err := s.Wait(ctx, app1, from-1); err != nil {
					t.Errorf("Wait: %v after %d lines", err, len(seen))
					return
				}
				found, err := s.Read(Query{SourceID: app1, Start: from, Limit: 100})
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range found {
					if seen[string(e.Payload)] {
						t.Errorf("line %s came twice", e.Payload)
					}
					seen[string(e.Payload)] = true
					from = e.Time.UnixNano() + 1
				}
			}
		})
	}
	all.Wait()
}
