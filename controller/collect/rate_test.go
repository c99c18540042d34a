package collect

import (
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

func TestGate(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	g := NewGate(1024)
	for _, c := range []struct {
		after      time.Duration
		bytes      int
		keep, note bool
	}{
		{0, 1024, true, false}, {time.Millisecond, 1024, false, true}, {2 * time.Millisecond, 1024, false, false}, // told once a second
		{500 * time.Millisecond, 400, true, false}, {1100 * time.Millisecond, 1024, false, true},
		{3 * time.Second, 1024, true, false}, {10 * time.Second, 1025, false, true}, // never: more than fits
		{5 * time.Second, 1024, true, false}, // a clock that goes back gives nothing
	} {
		if keep, note := g.Pass(start.Add(c.after), c.bytes); keep != c.keep || note != c.note {
			t.Errorf("%d bytes at %v: kept %t, told %t; want %t, %t", c.bytes, c.after, keep, note, c.keep, c.note)
		}
	}
	if got := string(g.Note(start).Text); got != "app instance exceeded log rate limit (1024 bytes/sec)" {
		t.Errorf("note %q", got)
	}
	for rate, want := range map[int]bool{-1: true, 0: false} {
		if keep, _ := NewGate(rate).Pass(start, 1<<20); keep != want {
			t.Errorf("rate %d: kept %t", rate, keep)
		}
	}
}

func TestMeter(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	m := &meter{}
	for i := range 10 {
		m.count(start.Add(time.Duration(i)*time.Second), 1000)
	}
	if got := m.rate(start.Add(9 * time.Second)); got < 900 || got > 1200 {
		t.Errorf("rate %d, want about 1000", got)
	}
	if got := m.rate(start.Add(time.Minute)); got != 0 {
		t.Errorf("rate %d after a silence, want 0", got)
	}
}

// TestLife tells an instance's life from one record to the next.
func TestLife(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	feed := db.Follow(t.Context(), store.Instances.Name())
	var said []string
	l := &Life{DB: db, Cell: "here", seen: map[string]*store.Instance{}, Say: func(src Source, kind, text string) {
		said = append(said, kind+"/"+src.Instance+" "+text)
	}}
	p := &store.Process{AppGUID: "app", Type: "web", ReadinessCheck: store.HealthCheck{Type: "http"}}
	i := &store.Instance{AppGUID: "app", ProcessType: "web", Index: 1, State: store.InstanceStarting}
	put := func(change func()) {
		t.Helper()
		change()
		err := db.Update(func(tx *store.Tx) error {
			if err := store.Processes.Put(tx, p); err != nil {
				return err
			}
			i.ProcessGUID = p.GUID
			return store.Instances.Put(tx, i)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.step(false, feed.Take().Of(store.Instances.Name())); err != nil {
			t.Fatal(err)
		}
	}
	put(func() {})
	put(func() { i.State, i.Routable = store.InstanceRunning, true })
	put(func() { i.Routable = false })
	put(func() { i.Routable = true })
	put(func() {
		i.State, i.Routable, i.ExitStatus, i.Details = store.InstanceCrashed, false, 3, "the health check failed"
	})
	if err := db.Update(func(tx *store.Tx) error { return store.Instances.Delete(tx, i.GUID) }); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to tell
		if err := l.step(true, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.ReplaceAll(strings.Join(said, "\n"), i.GUID, "GUID")
	want := strings.Join([]string{
		"CELL/1 Cell here creating container for instance GUID",
		"CELL/1 Container became healthy",
		`CELL/1 Container passed the readiness health check. Container marked "ready" and added to route pool.`,
		`CELL/1 Container failed the readiness health check. Container marked "not ready" and removed from route pool.`,
		`CELL/1 Container passed the readiness health check. Container marked "ready" and added to route pool.`,
		"APP/PROC/WEB/1 Exit status 3",
		"HEALTH/1 Instance became unhealthy: the health check failed",
		"CELL/1 Cell here destroyed container for instance GUID",
	}, "\n")
	if got != want {
		t.Errorf("said\n%s\nwant\n%s", got, want)
	}
}

// TestMetricsOfAnInstance reckons shares, sums and ages.
func TestMetricsOfAnInstance(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var kept []map[string]Gauge
	m := &Metrics{
		CoresPerMB: 1.0 / 1024, LogRate: func(string) int64 { return 7 }, sums: map[string]*cpuSum{},
		Keep: func(_ Source, _ time.Time, g map[string]Gauge) { kept = append(kept, g) },
	}
	of := measured{Source{LogRate: 100}, &store.Instance{MemoryMB: 512, DiskMB: 1, StartedAt: start}}
	m.keep("id", of, node.Usage{Time: start.Add(10 * time.Second), CPU: 0.25, MemoryBytes: 1000, DiskBytes: 2000})
	for name, want := range map[string]Gauge{
		"cpu": {25, "percentage"}, "cpu_entitlement": {50, "percentage"}, "memory": {1000, "bytes"}, "memory_quota": {512 << 20, "bytes"},
		"disk": {2000, "bytes"}, "disk_quota": {1 << 20, "bytes"}, "log_rate": {7, "B/s"}, "log_rate_limit": {100, "B/s"},
	} {
		if kept[0][name] != want {
			t.Errorf("%s = %v, want %v", name, kept[0][name], want)
		}
	}
	m.keep("id", of, node.Usage{Time: start.Add(20 * time.Second), CPU: 1})
	for name, want := range map[string]float64{"absolute_usage": 12.5e9, "absolute_entitlement": 10e9, "container_age": 20e9} {
		if got := kept[3][name]; got.Value != want || got.Unit != "nanoseconds" {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}
