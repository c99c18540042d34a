package worker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// written is a buffer that tells how often a text is in it.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *written) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), text)
}

// TestSupervise: a router that ends is started again, until the node ends.
func TestSupervise(t *testing.T) {
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skipf("there is no program that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := &written{}
	done := make(chan error, 1)
	go func() {
		done <- superviseRouter(ctx, program, t.TempDir(), io.Discard, slog.New(slog.NewTextHandler(log, nil)))
	}()
	for end := time.Now().Add(30 * time.Second); log.count("started again") < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the router is not started again")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSetRouter: what a machine that joined is told of its router is there after a restart.
func TestSetRouter(t *testing.T) {
	dir := t.TempDir()
	if err := SetRouter(dir, &Router{}); err == nil {
		t.Error("a machine that has not joined is told of a router")
	}
	if err := Save(dir, &Node{GUID: "n1"}, Secrets{}); err != nil {
		t.Fatal(err)
	}
	want := Router{HTTP: ":80", HTTPS: ":443", Zone: "north"}
	if err := SetRouter(dir, &want); err != nil {
		t.Fatal(err)
	}
	if n, err := Load(dir); err != nil || n.Router == nil || *n.Router != want {
		t.Errorf("the node is %+v, %v", n, err)
	}
}
