package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// follower collects a workload's lines in the background.
type follower struct {
	lines chan node.LogLine
	end   chan error
	stop  context.CancelFunc
}

func (s *suite) follow(t *testing.T, id string, since time.Time) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{lines: make(chan node.LogLine, 10_000), end: make(chan error, 1), stop: cancel}
	go func() { f.end <- s.e.Logs(ctx, id, since, func(l node.LogLine) { f.lines <- l }) }()
	t.Cleanup(cancel)
	return f
}

// until returns the lines up to the one with that text.
func (f *follower) until(t *testing.T, text string) []node.LogLine {
	t.Helper()
	var all []node.LogLine
	give := time.After(patience)
	for {
		select {
		case l := <-f.lines:
			all = append(all, l)
			if string(l.Text) == text {
				return all
			}
		case <-give:
			t.Fatalf("waited in vain for the line %q after %q", text, texts(all))
		}
	}
}

func texts(lines []node.LogLine) []string {
	var all []string
	for _, l := range lines {
		all = append(all, string(l.Text))
	}
	return all
}

func (s *suite) logs(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Env["LINES"] = "100" })
	st := s.untilReady(t, w.ID)
	f := s.follow(t, w.ID, time.Time{})
	first := f.until(t, "listening on :8080")
	if len(first) != 101 {
		t.Fatalf("got %d lines, want 101: %q", len(first), texts(first))
	}
	for n := range 100 {
		if want := fmt.Sprintf("line %d", n); string(first[n].Text) != want {
			t.Fatalf("line %d = %q, want %q", n, first[n].Text, want)
		}
	}
	// Resumed in the middle, there is neither a gap nor a repetition.
	for _, from := range []int{0, 42, 99} {
		rest := s.follow(t, w.ID, first[from].Time).until(t, "listening on :8080")
		if !slices.Equal(texts(rest), texts(first[from+1:])) {
			t.Errorf("after line %d came %q", from, texts(rest))
		}
	}
	// The same call goes on through a restart.
	get(t, st, "/print", url.Values{"text": {"before"}})
	f.until(t, "before")
	exit := url.URL{Scheme: "http", Host: net.JoinHostPort(st.Address, "8080"), Path: "/exit"}
	s.knock(exit.String())
	again := f.until(t, "listening on :8080")
	if len(again) != 101 {
		t.Errorf("after a restart came %d lines, want 101: %q", len(again), texts(again))
	}
	if err := s.e.Stop(testContext(t), w.ID, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-f.end:
		if err != nil {
			t.Errorf("logs ended with %v, want nil", err)
		}
	case <-time.After(patience):
		t.Error("logs did not end with the workload")
	}
}

func (s *suite) longLine(t *testing.T) {
	const long = 150 << 10
	w := s.start(t, func(w *node.Workload) { w.Env["LONG"] = fmt.Sprint(long) })
	lines := s.follow(t, w.ID, time.Time{}).until(t, "listening on :8080")
	pieces := lines[:len(lines)-1]
	if len(pieces) != 3 || len(pieces[0].Text) != 64<<10 || len(pieces[1].Text) != 64<<10 {
		t.Fatalf("a line of %d KiB came in %d pieces", long>>10, len(pieces))
	}
	var whole []byte
	for _, p := range pieces {
		whole = append(whole, p.Text...)
	}
	if want := strings.Repeat("x", long) + "end"; string(whole) != want {
		t.Errorf("joined, it has %d bytes, want %d", len(whole), len(want))
	}
}

func (s *suite) usage(t *testing.T) {
	w := s.start(t, nil)
	st := s.untilReady(t, w.ID)
	get(t, st, "/write", url.Values{"mb": {"3"}})
	all, err := s.e.Usage(testContext(t), w.ID, "no-such-workload")
	if err != nil {
		t.Fatal(err)
	}
	u, ok := all[w.ID]
	if !ok || len(all) != 1 {
		t.Fatalf("usage = %v, want that of the workload", all)
	}
	if u.MemoryBytes <= 0 || u.MemoryBytes > 64<<20 || u.PIDs < 1 || u.CPU < 0 || u.Time.IsZero() {
		t.Errorf("usage = %+v", u)
	}
	if u.DiskBytes < 3<<20 {
		t.Errorf("disk = %d, want the 3 MB that were written", u.DiskBytes)
	}
}

func (s *suite) exec(t *testing.T) {
	w := s.start(t, nil)
	s.untilReady(t, w.ID)
	var out, errOut bytes.Buffer
	run := func(e node.Exec) int {
		t.Helper()
		out.Reset()
		errOut.Reset()
		e.Stdout, e.Stderr = &out, &errOut
		status, err := s.e.Exec(testContext(t), w.ID, e)
		if err != nil {
			t.Fatalf("exec %v: %v", e.Command, err)
		}
		return status
	}
	if status := run(node.Exec{Command: []string{"/app", "exit", "7"}}); status != 7 {
		t.Errorf("exit status = %d, want 7", status)
	}
	run(node.Exec{Command: []string{"/app", "env", "SECRET"}})
	if out.String() != "s3cret\n" {
		t.Errorf("the environment's SECRET is %q", &out)
	}
	run(node.Exec{Command: []string{"/app", "env", "EXTRA"}, Env: []string{"EXTRA=1"}})
	if out.String() != "1\n" {
		t.Errorf("EXTRA is %q", &out)
	}
	run(node.Exec{Command: []string{"/app", "cat"}, Stdin: strings.NewReader("through")})
	if out.String() != "through" {
		t.Errorf("cat gave %q", &out)
	}
	run(node.Exec{Command: []string{"/app", "complain", "oh"}})
	if errOut.String() != "oh\n" || out.Len() != 0 {
		t.Errorf("complain gave %q and %q", &out, &errOut)
	}
	sizes := make(chan [2]uint16, 1)
	sizes <- [2]uint16{101, 37}
	run(node.Exec{Command: []string{"/app", "size", "101x37"}, TTY: true, Resize: sizes})
	if !strings.Contains(out.String(), "size 101x37") {
		t.Errorf("the terminal says %q", &out)
	}
	run(node.Exec{Command: []string{"/app", "cat"}, TTY: true, Stdin: strings.NewReader("through a terminal\n")})
	if !strings.Contains(out.String(), "through a terminal\r\nthrough a terminal\r\n") {
		t.Errorf("cat on a terminal gave %q, want the echo and the line", &out)
	}
	s.execCanceled(t, w.ID)
}

// execCanceled: a command ends with its context.
func (s *suite) execCanceled(t *testing.T, id string) {
	ctx, cancel := context.WithCancel(testContext(t))
	in, started := make(chan struct{}), &signalWriter{ch: make(chan struct{})}
	defer close(in)
	go func() {
		<-started.ch
		cancel()
	}()
	_, err := s.e.Exec(ctx, id, node.Exec{Command: []string{"/app", "cat"}, Stdin: &pending{first: "x", end: in}, Stdout: started})
	if err == nil || ctx.Err() == nil {
		t.Errorf("exec = %v, want it canceled", err)
	}
}

// signalWriter closes ch at the first write.
type signalWriter struct{ ch chan struct{} }

func (w *signalWriter) Write(p []byte) (int, error) {
	select {
	case <-w.ch:
	default:
		close(w.ch)
	}
	return len(p), nil
}

// pending gives one text, then blocks until end is closed.
type pending struct {
	first string
	end   chan struct{}
}

func (r *pending) Read(p []byte) (int, error) {
	if n := copy(p, r.first); n > 0 {
		r.first = r.first[n:]
		return n, nil
	}
	<-r.end
	return 0, context.Canceled
}

func (s *suite) security(t *testing.T) {
	w := s.start(t, nil)
	st := s.untilReady(t, w.ID)
	status := procStatus(get(t, st, "/proc", nil))
	for field, want := range map[string]string{
		"CapInh": zeroCaps, "CapPrm": zeroCaps, "CapEff": zeroCaps, "CapBnd": zeroCaps, "CapAmb": zeroCaps,
		"NoNewPrivs": "1", "Seccomp": "2", "Uid": "2000 2000 2000 2000", "Gid": "2000 2000 2000 2000",
	} {
		if status[field] != want {
			t.Errorf("%s = %q, want %q", field, status[field], want)
		}
	}
	other := s.start(t, nil)
	sibling := s.untilReady(t, other.ID)
	for _, to := range s.forbidden(t, sibling) {
		if got := get(t, st, "/dial", url.Values{"to": {to}}); !strings.HasPrefix(got, "failed: ") {
			t.Errorf("an app reaches %s: %s", to, got)
		}
	}
}

const zeroCaps = "0000000000000000"

func procStatus(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.Join(strings.Fields(v), " ")
		}
	}
	return m
}

// forbidden are addresses that do answer, but not to apps: a sibling, and this machine on each of its
// addresses; and the metadata service of a cloud.
func (s *suite) forbidden(t *testing.T, sibling node.Status) []string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, own, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	all := []string{net.JoinHostPort(sibling.Address, "8080"), "169.254.169.254:80"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			all = append(all, net.JoinHostPort(n.IP.String(), own))
		}
	}
	return all
}

// knock makes a request that the app will not live to answer.
func (s *suite) knock(u string) {
	c := httpClient()
	if res, err := c.Get(u); err == nil {
		_ = res.Body.Close()
	}
}

func httpClient() *http.Client { return &http.Client{Timeout: 10 * time.Second} }
