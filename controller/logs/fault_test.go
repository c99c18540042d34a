package logs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func diskUsage(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

func TestRetentionOfASource(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, PerSourceBytes: 40_000})
	appendLines(t, s, app1, 0, 5000)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if n := diskUsage(t, dir); n > 41_000 || n < 20_000 {
		t.Errorf("%d bytes on disk, want about 30,000 to 40,000", n)
	}
	got := read(t, s, Query{SourceID: app1})
	meta, err := s.Meta(app1)
	if err != nil {
		t.Fatal(err)
	}
	want := Meta{Count: uint64(len(got)), Expired: uint64(5000 - len(got)), Oldest: got[0].Time.UnixNano(), Newest: line(app1, 4999).Time.UnixNano()}
	if meta != want {
		t.Errorf("Meta = %+v, want %+v", meta, want)
	}
	if string(got[0].Payload) != fmt.Sprint("line ", meta.Expired) {
		t.Errorf("first kept is %q, want line %d", got[0].Payload, meta.Expired)
	}
}

func TestRetentionOfAll(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, MaxBytes: 30_000})
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("%08d-1111-4111-8111-111111111111", i)
		ids = append(ids, id)
		appendLines(t, s, id, 0, 100)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		for _, f := range must(filepath.Glob(filepath.Join(dir, id, "*"))) { // as if it were written one minute after another
			at := time.Now().Add(time.Duration(i-20) * time.Minute)
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.retain(); err != nil {
		t.Fatal(err)
	}
	if n := diskUsage(t, dir); n > 27_000 || n < 20_000 {
		t.Errorf("%d bytes on disk, want less than 27,000 and not by far", n)
	}
	if _, err := os.Stat(filepath.Join(dir, ids[0])); err == nil {
		t.Error("the oldest source was kept")
	}
	if got := read(t, s, Query{SourceID: ids[9]}); len(got) != 100 {
		t.Errorf("the newest source has %d lines, want 100", len(got))
	}
	appendLines(t, s, ids[0], 100, 101) // one that was expired goes on
	if got := read(t, s, Query{SourceID: ids[0], Descending: true, Limit: 1}); string(got[0].Payload) != "line 100" {
		t.Errorf("last line = %q, want line 100", got[0].Payload)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMemoryIsBounded(t *testing.T) {
	s := openTest(t, Options{})
	s.stop() // what the flusher does is done here
	<-s.stopped
	for i := range 300 {
		id := fmt.Sprintf("%08d-1111-4111-8111-111111111111", i)
		for j := range 5 {
			e := line(id, j)
			e.Payload = make([]byte, 50_000)
			if err := s.Append(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range idleRounds + 1 {
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		if n := s.recentBytes.Load(); n > recentInAll {
			t.Fatalf("%d bytes in memory after a flush, want at most %d", n, recentInAll)
		}
	}
	if n, bytes := s.inMemory(), s.recentBytes.Load(); n != 0 || bytes != 0 {
		t.Errorf("%d sources with %d bytes in memory after idle rounds, want none", n, bytes)
	}
	if got := read(t, s, Query{SourceID: "00000007-1111-4111-8111-111111111111"}); len(got) != 5 {
		t.Errorf("%d lines from disk, want 5", len(got))
	}
}

func TestTornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	appendLines(t, s, app1, 0, 10)
	closeStore(t, s)
	file := must(filepath.Glob(filepath.Join(dir, app1, "*")))[0]
	whole := must(os.ReadFile(file))
	for cut := len(whole); cut >= 0; cut-- {
		if err := os.WriteFile(file, append(whole[:cut:cut], "\x00\x00\x00\x05abc"...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		before := read(t, s, Query{SourceID: app1})
		appendLines(t, s, app1, 10, 11)
		closeStore(t, s)
		s = open(t, Options{Dir: dir})
		after := payloads(read(t, s, Query{SourceID: app1}))
		if want := append(payloads(before), "line 10"); !slices.Equal(after, want) {
			t.Fatalf("cut at %d: after a line more %q, want %q", cut, after, want)
		}
		const recordBytes = recordHeader + envelopeMinimum + len("\x010") + len("line 0")
		if lost := (len(whole) - cut + recordBytes - 1) / recordBytes; len(before) < 10-lost {
			t.Fatalf("cut at %d of %d: only %d of 10 lines are left, want %d", cut, len(whole), len(before), 10-lost)
		}
		closeStore(t, s)
		for _, f := range must(filepath.Glob(filepath.Join(dir, app1, "*"))) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killedDir tells the test binary to be the process that is killed: see TestKill.
const killedDir = "CUPOLA_LOGS_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := appendUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// appendUntilKilled prints how many lines there are after each flush.
func appendUntilKilled(dir string) error {
	s, err := Open(Options{Dir: dir, PerSourceBytes: 1 << 20})
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		e := line(app1, i)
		e.Time = time.Time{}
		if err := s.Append(e); err != nil {
			return err
		}
		if i%100 == 0 {
			if err := s.flush(); err != nil {
				return err
			}
			fmt.Println(i)
		}
	}
}

// TestKill kills a process that appends, and finds all that was flushed.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	flushed := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if flushed = must(strconv.Atoi(lines.Text())); flushed == 2000 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	s := openTest(t, Options{Dir: dir})
	got := payloads(read(t, s, Query{SourceID: app1, Descending: true}))
	slices.Reverse(got)
	if len(got) < flushed {
		t.Errorf("%d lines are left of %d that were flushed", len(got), flushed)
	}
	for i, p := range got {
		if want := fmt.Sprint("line ", i+1); p != want {
			t.Fatalf("line %d is %q, want %q", i, p, want)
		}
	}
}

// TestDiskThatRefuses makes the folder of a source impossible: lines are lost with an error, and go on afterwards.
func TestDiskThatRefuses(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	appendLines(t, s, app1, 0, 3)
	file := must(filepath.Glob(filepath.Join(dir, app1, "*")))[0]
	if err := os.Remove(file); err != nil { // what is pending has no file to go to
		t.Fatal(err)
	}
	if err := s.flush(); err == nil || !strings.Contains(err.Error(), "3 log lines are lost") {
		t.Errorf("flush = %v, want that 3 lines are lost", err)
	}
	appendLines(t, s, app1, 3, 5)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	s.sources[app1].trimLocked(0)
	if got := payloads(read(t, s, Query{SourceID: app1})); !slices.Equal(got, []string{"line 3", "line 4"}) {
		t.Errorf("on disk are %q, want lines 3 and 4", got)
	}
}

func FuzzParseSegment(f *testing.F) {
	e := line(app1, 1)
	e.original = e.Time.UnixNano()
	good := appendRecord(appendSegmentHeader(nil, 7), []byte(encodeTags(e.Tags)))
	good = appendRecord(good, encodeEnvelope(nil, &e, 0))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(appendRecord(good, []byte{recordGauge}))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := parseSegment(data)
		for i := range g.len() {
			if _, err := g.envelope(i, app1); err != nil && !errors.Is(err, errDamaged) {
				t.Errorf("envelope %d: %v", i, err)
			}
		}
	})
}
