package supervise

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test program stand for the launcher: it is called by a word that says what to do.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "print":
		io.WriteString(os.Stdout, "one\ntwo")
		io.WriteString(os.Stderr, "trouble\n")
		wait()
	case "wait":
		wait()
	case "fail":
		os.Exit(3)
	case "stubborn":
		<-make(chan struct{})
	}
	os.Exit(m.Run())
}

// wait ends well on SIGTERM.
func wait() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	io.WriteString(os.Stdout, "\nready\n")
	<-c
	io.WriteString(os.Stdout, "bye\n")
	os.Exit(0)
}

// watched is a buffer that tells when it has a text.
type watched struct {
	mu   sync.Mutex
	b    bytes.Buffer
	grew chan struct{}
}

func newWatched() *watched { return &watched{grew: make(chan struct{}, 1)} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.grew <- struct{}{}:
	default:
	}
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (w *watched) until(t *testing.T, text string, times int) {
	t.Helper()
	for strings.Count(w.String(), text) < times {
		select {
		case <-w.grew:
		case <-time.After(30 * time.Second):
			t.Fatalf("no %q in %q", text, w.String())
		}
	}
}

func supervisor(t *testing.T) (Supervisor, *watched, *watched) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, errOut := newWatched(), newWatched()
	return Supervisor{Launcher: self, Env: os.Environ(), Stdout: out, Stderr: errOut, Grace: 200 * time.Millisecond}, out, errOut
}

func TestASidecarThatEndsEndsAll(t *testing.T) {
	s, out, errOut := supervisor(t)
	code, err := s.Run(Plan{Main: []string{"web", "wait"}, Sidecars: []Sidecar{{"config", "fail"}}})
	if err != nil || code != 3 {
		t.Fatalf("Run = %d, %v, want the sidecar's status 3", code, err)
	}
	if !strings.Contains(errOut.String(), `Sidecar "config" exited with status 3`) {
		t.Errorf("stderr %q does not say why (stdout %q)", errOut.String(), out.String())
	}
}

func TestAMainProcessThatEndsEndsAll(t *testing.T) {
	s, _, _ := supervisor(t)
	code, err := s.Run(Plan{Main: []string{"web", "fail"}, Sidecars: []Sidecar{{"a", "wait"}, {"b", "stubborn"}}})
	if err != nil || code != 3 {
		t.Fatalf("Run = %d, %v, want 3", code, err)
	}
}

func TestOutputIsMarkedAndSignalsPassOn(t *testing.T) {
	s, out, errOut := supervisor(t)
	done := make(chan int, 1)
	go func() {
		code, _ := s.Run(Plan{Main: []string{"web", "print"}, Sidecars: []Sidecar{{"config", "print"}}})
		done <- code
	}()
	out.until(t, "ready", 2)
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Errorf("Run = %d after SIGTERM, want 0", code)
	}
	marked, plain := Mark("config"), out.String()
	for _, line := range []string{"one", "two", "ready", "bye"} {
		if !strings.Contains(plain, marked+line+"\n") || strings.Count(plain, line+"\n") != 2 {
			t.Errorf("output %q lacks %q of the main process or, marked, of the sidecar", plain, line)
		}
	}
	if !strings.Contains(errOut.String(), marked+"trouble\n") {
		t.Errorf("stderr %q lacks the sidecar's line", errOut.String())
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var b bytes.Buffer
	l := newLines(&sharedWriter{w: &b}, "x")
	l.Write(bytes.Repeat([]byte("a"), lineBytes+5))
	l.Write([]byte("b\nend"))
	l.Close()
	got := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(got) != 3 || len(got[0]) != lineBytes+len(Mark("x")) || got[1] != Mark("x")+"aaaaab" || got[2] != Mark("x")+"end" {
		t.Errorf("%d lines, the last two %q", len(got), got[1:])
	}
}

func TestPlanMustBeWhole(t *testing.T) {
	for _, text := range []string{"", "{}", `{"main":["web"]}`, `{"sidecars":[{"name":"a"}]}`, "["} {
		if _, err := ParsePlan(text); err == nil {
			t.Errorf("ParsePlan(%q) has no error", text)
		}
	}
}
