package dataservice

import (
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestDiskState(t *testing.T) {
	plan := &Plan{DiskMB: 1000}
	for _, c := range []struct {
		name   string
		now    string
		usedMB int64
		plan   *Plan
		want   string
	}{
		{"far from it", "", 500, plan, ""},
		{"just below", "", 999, plan, ""},
		{"at the limit", "", 1000, plan, store.DataFull},
		{"still full", store.DataFull, 950, plan, store.DataFull},
		{"room again", store.DataFull, 899, plan, store.DataRoom},
		{"full once more", store.DataRoom, 1001, plan, store.DataFull},
		{"it goes on", store.DataFull, 1755, plan, store.DataFull},
		{"too far", store.DataFull, 1756, plan, store.DataStopped},
		{"too far at once", "", 2000, plan, store.DataStopped},
		{"stopped", store.DataStopped, 1200, plan, store.DataFull},
		{"no limit", "", 5000, &Plan{}, ""},
		{"no limit any more", store.DataFull, 5000, &Plan{}, store.DataRoom},
	} {
		if got := diskState(c.now, c.usedMB<<20, c.plan); got != c.want {
			t.Errorf("%s: %q with %d MB of %d becomes %q, want %q", c.name, c.now, c.usedMB, c.plan.DiskMB, got, c.want)
		}
	}
}

// TestUntilNext: the nearer the limit and the quicker the growth, the sooner is the next look.
func TestUntilNext(t *testing.T) {
	m, at := &Manager{}, time.Now()
	usage := func(seconds int, usedMB int64) Usage {
		return Usage{At: at.Add(time.Duration(seconds) * time.Second), DiskBytes: usedMB << 20, Plan: &Plan{DiskMB: 10000}}
	}
	for _, c := range []struct {
		name        string
		before, now Usage
		want        time.Duration
	}{
		{"idle", usage(0, 100), usage(30, 100), measureEvery},
		{"near", usage(0, 9600), usage(30, 9600), 10 * time.Second},
		{"quick", usage(0, 100), usage(10, 2000), 10526315789},
		{"full", usage(0, 10000), usage(30, 10000), measureEvery / 10},
		{"not known", Usage{At: at}, Usage{At: at, DiskBytes: -1, Plan: &Plan{DiskMB: 1}}, measureEvery},
	} {
		if got := m.untilNext(c.now, c.before); got.Round(time.Millisecond) != c.want.Round(time.Millisecond) {
			t.Errorf("%s: the next look is in %v, want %v", c.name, got, c.want)
		}
	}
}
