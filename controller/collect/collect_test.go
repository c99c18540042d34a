package collect

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/buildpack/launcher/supervise"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// printer is an engine whose one workload has printed lines and then ended.
type printer struct {
	mu     sync.Mutex
	lines  []node.LogLine
	absent int // how often the workload is not there yet
}

func (p *printer) Logs(_ context.Context, _ string, since time.Time, fn func(node.LogLine)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.absent > 0 {
		p.absent--
		return node.ErrNotFound
	}
	for _, l := range p.lines {
		if l.Time.After(since) {
			fn(l)
		}
	}
	return nil
}

// sink keeps lines and says when one came.
type sink struct {
	mu    sync.Mutex
	lines []string
	last  time.Time
	came  chan struct{}
}

func (s *sink) Line(src Source, l node.LogLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%s/%s %s", src.Type, src.Instance, l.Text))
	s.last = l.Time
	select {
	case s.came <- struct{}{}:
	default:
	}
}

func (s *sink) Last(Source) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

func TestFollowsFromWhereItEnded(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *store.Tx) error {
		return store.Instances.Put(tx, &store.Instance{AppGUID: "app", ProcessGUID: "p", ProcessType: "web", Index: 1, State: store.InstanceRunning})
	}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	engine := &printer{absent: 2, lines: []node.LogLine{{Time: now, Text: []byte("one")}, {Time: now.Add(1), Text: []byte(supervise.Mark("config") + "two")}}}
	out := &sink{came: make(chan struct{}, 1)}
	run := func(want int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		l := &Loop{DB: db, Engine: engine, Sink: out, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		go func() { done <- l.Run(ctx) }()
		for out.count() < want {
			<-out.came
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	run(2)
	engine.mu.Lock()
	engine.lines = append(engine.lines, node.LogLine{Time: now.Add(2), Text: []byte("three")})
	engine.mu.Unlock()
	run(3) // the next run of the platform
	want := []string{"APP/PROC/WEB/1 one", "APP/PROC/WEB/SIDECAR/CONFIG/1 two", "APP/PROC/WEB/1 three"}
	if fmt.Sprint(out.lines) != fmt.Sprint(want) {
		t.Errorf("lines = %q, want each once: %q", out.lines, want)
	}
}

func TestATaskObeysItsLogRate(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *store.Tx) error {
		return store.Tasks.Put(tx, &store.Task{AppGUID: "app", SequenceID: 1, Name: "nap", State: "RUNNING", LogRateBytes: 8})
	}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	engine := &printer{lines: []node.LogLine{{Time: now, Text: []byte("12345")}, {Time: now.Add(1), Text: []byte("67890")}}}
	out := &sink{came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l := &Loop{DB: db, Engine: engine, Sink: out, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	go func() { done <- l.Run(ctx) }()
	for out.count() < 2 {
		<-out.came
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := []string{"APP/TASK/nap/0 12345", "APP/TASK/nap/0 app instance exceeded log rate limit (8 bytes/sec)"}
	if fmt.Sprint(out.lines) != fmt.Sprint(want) {
		t.Errorf("lines = %q, want %q", out.lines, want)
	}
}
