package collect

import (
	"context"
	"log/slog"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// metricsEvery is how often the figures of instances are kept, as Cloud Foundry does.
const metricsEvery = 15 * time.Second

// Gauge is the value of a metric.
type Gauge struct {
	Value float64
	Unit  string
}

// Metrics is the loop that keeps what running instances use, for readers of the log cache and of streams. Its fields
// are set before Run and not changed.
type Metrics struct {
	DB     *store.DB
	Engine interface {
		Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error)
	}
	// Keep takes a set of metrics.
	Keep func(src Source, at time.Time, gauges map[string]Gauge)
	// LogRate is how many bytes a second an instance prints.
	LogRate func(id string) int64
	// CoresPerMB is how many processors an instance is entitled to for each MB of its memory.
	CoresPerMB float64
	Log        *slog.Logger

	sums map[string]*cpuSum // of running instances
}

// cpuSum adds up what an instance has used and was entitled to while this process ran.
type cpuSum struct {
	at                 time.Time
	usage, entitlement float64 // seconds of a processor
}

// Run keeps figures until ctx ends. Nothing is asked while nothing runs.
func (m *Metrics) Run(ctx context.Context) error {
	m.sums = map[string]*cpuSum{}
	ticker := time.NewTicker(metricsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := m.step(ctx); err != nil && ctx.Err() == nil {
				m.Log.Warn("figures of instances are missing", "error", err)
			}
		}
	}
}

// measured is a running instance with what it may use.
type measured struct {
	src    Source
	record *store.Instance
}

func (m *Metrics) step(ctx context.Context) error {
	running := map[string]measured{}
	err := m.DB.View(func(tx *store.Tx) error {
		found, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("state", store.InstanceRunning)}})
		for _, i := range found {
			running[i.GUID] = measured{instanceSource(tx, i), i}
		}
		return err
	})
	if err != nil || len(running) == 0 {
		clear(m.sums)
		return err
	}
	ids := make([]string, 0, len(running))
	for id := range running {
		ids = append(ids, id)
	}
	used, err := m.Engine.Usage(ctx, ids...)
	if err != nil {
		return err
	}
	for id := range m.sums {
		if _, still := used[id]; !still {
			delete(m.sums, id)
		}
	}
	for id, u := range used {
		m.keep(id, running[id], u)
	}
	return nil
}

// keep writes the two sets that Cloud Foundry's cells write.
func (m *Metrics) keep(id string, of measured, u node.Usage) {
	const mb = 1 << 20
	entitled := max(0.001, float64(of.record.MemoryMB)*m.CoresPerMB)
	m.Keep(of.src, u.Time, map[string]Gauge{
		"cpu":             {100 * u.CPU, "percentage"},
		"cpu_entitlement": {100 * u.CPU / entitled, "percentage"},
		"memory":          {float64(u.MemoryBytes), "bytes"},
		"memory_quota":    {float64(of.record.MemoryMB) * mb, "bytes"},
		"disk":            {float64(u.DiskBytes), "bytes"},
		"disk_quota":      {float64(of.record.DiskMB) * mb, "bytes"},
		"log_rate":        {float64(m.LogRate(id)), "B/s"},
		"log_rate_limit":  {float64(of.src.LogRate), "B/s"},
	})
	sum := m.sums[id]
	if sum == nil {
		sum = &cpuSum{at: of.record.StartedAt}
		if sum.at.IsZero() || u.Time.Sub(sum.at) > 2*metricsEvery {
			sum.at = u.Time // it ran before this process did
		}
		m.sums[id] = sum
	}
	if passed := u.Time.Sub(sum.at).Seconds(); passed > 0 {
		sum.usage += passed * u.CPU
		sum.entitlement += passed * entitled
		sum.at = u.Time
	}
	m.Keep(of.src, u.Time, map[string]Gauge{
		"absolute_usage":       {float64(int64(sum.usage * 1e9)), "nanoseconds"},
		"absolute_entitlement": {float64(int64(sum.entitlement * 1e9)), "nanoseconds"},
		"container_age":        {float64(max(0, u.Time.Sub(of.record.StartedAt))), "nanoseconds"},
	})
}
