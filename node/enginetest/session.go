package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// dial: what an app serves on its loopback address alone can be dialed; what it may not reach can't.
func (s *suite) dial(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Env["LISTEN"] = "127.0.0.1:8080"; w.Liveness = node.Check{} })
	s.follow(t, w.ID, time.Time{}).until(t, "listening on 127.0.0.1:8080")
	for _, address := range []string{"localhost:8080", "127.0.0.1:8080"} {
		conn, err := s.e.Dial(testContext(t), w.ID, "tcp", address)
		if err != nil {
			t.Fatalf("dial %s: %v", address, err)
		}
		if got := ask(t, conn); got != http.StatusOK {
			t.Errorf("asked through %s, the app answered %d", address, got)
		}
	}
	sibling := s.start(t, nil)
	st := s.untilReady(t, sibling.ID)
	for _, address := range append(s.forbidden(t, st), "localhost:1", "no-such-host.invalid:80", "nonsense") {
		ctx, cancel := context.WithTimeout(testContext(t), 2*time.Second)
		conn, err := s.e.Dial(ctx, w.ID, "tcp", address)
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("dialed %s from inside", address)
		}
	}
	if _, err := s.e.Dial(testContext(t), "no-such-workload", "tcp", "localhost:1"); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("dial in no workload = %v, want ErrNotFound", err)
	}
}

// ask makes one request over a connection that stands.
func ask(t *testing.T, conn net.Conn) int {
	t.Helper()
	defer conn.Close()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	res, err := c.Get("http://app/health")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// program: an executable that the image does not have is run in it, twice, as the workload's user.
func (s *suite) program(t *testing.T) {
	w := s.start(t, nil)
	s.untilReady(t, w.ID)
	p := &node.Program{Name: "guest", Content: s.reg.binary(t)}
	for range 2 {
		var out bytes.Buffer
		status, err := s.e.Exec(testContext(t), w.ID, node.Exec{Program: p, Command: []string{"env", "SECRET"}, Stdout: &out})
		if err != nil || status != 0 || out.String() != "s3cret\n" {
			t.Fatalf("program: %q, status %d, %v", &out, status, err)
		}
	}
	bad := &node.Program{Name: "../x", Content: p.Content}
	if _, err := s.e.Exec(testContext(t), w.ID, node.Exec{Program: bad, Command: []string{"env", "SECRET"}}); err == nil {
		t.Error("a program with a path as its name was run")
	}
}

// signals: a command gets the signals that are sent to it.
func (s *suite) signals(t *testing.T) {
	w := s.start(t, nil)
	s.untilReady(t, w.ID)
	in, started := make(chan struct{}), &signalWriter{ch: make(chan struct{})}
	defer close(in)
	signals := make(chan os.Signal, 1)
	go func() {
		<-started.ch
		signals <- syscall.SIGTERM
	}()
	status, err := s.e.Exec(testContext(t), w.ID, node.Exec{
		Command: []string{"/app", "cat"}, Stdin: &pending{first: "x", end: in}, Stdout: started, Signals: signals,
	})
	if err != nil || status != 128+int(syscall.SIGTERM) {
		t.Errorf("status = %d, %v; want that of a process which SIGTERM has ended", status, err)
	}
}

// binary is the test app itself.
func (r *Registry) binary(t testing.TB) []byte {
	t.Helper()
	for tr := tar.NewReader(bytes.NewReader(r.app)); ; {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimPrefix(h.Name, "/") == "app" {
			content, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
	}
}
