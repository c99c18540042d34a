package nomad

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// TestOverdue: only what crashed where the clock is ahead, and only when its wait is over, is started by us.
func TestOverdue(t *testing.T) {
	now := time.Now()
	const ahead = 2 * time.Hour
	ended := func(ago time.Duration, node string, more ...func(*workload, *alloc)) *workload {
		w := newWorkload("w", false)
		a := &alloc{id: "a", nodeID: node, client: api.AllocClientStatusFailed, finished: now.Add(ahead - ago)}
		w.allocs = map[string]*alloc{"a": a}
		for _, do := range more {
			do(w, a)
		}
		return w
	}
	e := &Nomad{
		build: builder{backoff: 30 * time.Second, backoffMax: 16 * time.Minute},
		nodes: map[string]*member{"ahead": {host: node.Host{Skew: ahead}}, "right": {}, "behind": {host: node.Host{Skew: -ahead}}},
		workloads: map[string]*workload{
			"over":      ended(31*time.Second, "ahead"),
			"waits":     ended(29*time.Second, "ahead"),
			"right":     ended(3*time.Hour, "right"),
			"behind":    ended(3*time.Hour, "behind"),
			"gone":      ended(3*time.Hour, "nowhere"),
			"third":     ended(3*time.Minute, "ahead", func(_ *workload, a *alloc) { a.rescheduled = 2 }),
			"third two": ended(90*time.Second, "ahead", func(_ *workload, a *alloc) { a.rescheduled = 2 }),
			"often":     ended(17*time.Minute, "ahead", func(_ *workload, a *alloc) { a.rescheduled = 40 }),
			"task":      ended(time.Hour, "ahead", func(w *workload, _ *alloc) { w.once = true }),
			"stopping":  ended(time.Hour, "ahead", func(w *workload, _ *alloc) { w.stopping = true }),
			"runs":      ended(time.Hour, "ahead", func(_ *workload, a *alloc) { a.client = api.AllocClientStatusRunning }),
			"none":      newWorkload("none", false),
		},
	}
	got := e.overdue(now)
	slices.Sort(got)
	if want := []string{"often", "over", "third"}; !slices.Equal(got, want) {
		t.Errorf("overdue = %q, want %q", got, want)
	}
}

// TestHurry: Nomad starts again at once what it would leave for an hour.
func TestHurry(t *testing.T) {
	c := startCluster(t)
	e := opener(t, c.address, "t"+uuid.NewString()[:7], func(o *Options) { o.Backoff, o.BackoffMax = time.Hour, time.Hour })(t, "")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	image := enginetest.NewRegistry(t).Image(t, "2000:2000")
	w := node.Workload{ID: uuid.NewString(), Image: image, MemoryMB: 64, DiskMB: 64, Command: []string{"exit", "5"}, Labels: map[string]string{"process": "p1"}}
	if err := e.Start(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background(), w.ID, -1); err != nil {
			t.Error(err)
		}
	})
	held := until(t, e, w.ID, "it is held back", func(s node.Status) bool { return s.State == node.Crashed && s.Crashes >= 4 })
	late := func() bool {
		e.mu.Lock()
		for _, m := range e.nodes {
			m.host.Skew = 2 * MaxSkew // until it is looked at again
		}
		e.mu.Unlock()
		return len(e.overdue(time.Now().Add(2*time.Hour))) == 1
	}
	for give := time.Now().Add(patience); !late(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatal("Nomad does not give up on it")
		}
	}
	e.hurry(context.Background(), time.Now().Add(2*time.Hour))
	until(t, e, w.ID, "it was started again", func(s node.Status) bool { return s.StartedAt.After(held.StartedAt) })
}
