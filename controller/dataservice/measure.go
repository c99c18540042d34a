package dataservice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

const (
	measureEvery = 30 * time.Second // of a server that is far from its limit
	measureLimit = time.Minute      // for one measurement
	// quickGrowth is what a server is at least expected to write, in bytes a second, when the next look is planned.
	quickGrowth = 10 << 20
)

// Usage is what a server used of its plan when it was looked at last. What is not known is negative.
type Usage struct {
	At          time.Time
	CPU         float64 // cores
	MemoryBytes int64
	DiskBytes   int64 // of its volume
	Connections int
	Plan        *Plan // what it may use
}

// watched is what this process knows of an instance.
type watched struct {
	usage   Usage
	next    time.Time // when it is measured again
	applied string    // the DataService.Disk that the server was told; empty: nothing yet
}

// Usage is what an instance used lately; false: it was not looked at yet.
func (m *Manager) Usage(guid string) (Usage, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watched[guid]
	if w == nil || w.usage.At.IsZero() {
		return Usage{}, false
	}
	return w.usage, true
}

// watch gives a function what is known of an instance.
func (m *Manager) watch(guid string, fn func(w *watched)) {
	m.prepare()
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watched[guid]
	if w == nil {
		w = &watched{}
		m.watched[guid] = w
	}
	fn(w)
}

// forgetOthers forgets what was known of instances that are gone.
func (m *Manager) forgetOthers(all []*store.DataService) {
	there := make(map[string]bool, len(all))
	for _, s := range all {
		there[s.GUID] = s.State == store.DataReady
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for guid := range m.watched {
		if !there[guid] {
			delete(m.watched, guid)
		}
	}
}

// stepMeasure begins to measure a server when it is time.
func (m *Manager) stepMeasure(ctx context.Context, s *store.DataService, st node.Status) {
	if s.State != store.DataReady || st.State != node.Running || !st.Ready {
		return
	}
	due := false
	m.watch(s.GUID, func(w *watched) { due = !time.Now().Before(w.next) })
	if due {
		m.beginWork(ctx, measureWork(s.GUID), func() error { m.measure(ctx, s.GUID); return nil })
	}
}

// measureWork is the key of the work of measuring.
func measureWork(guid string) string { return "measure " + guid }

// measure looks at what a server uses, tells it, and sees to it that its disk does not grow beyond its plan.
func (m *Manager) measure(ctx context.Context, guid string) {
	s, err := m.get(guid)
	if err != nil || s.State != store.DataReady {
		return
	}
	o, p, err := m.kind(s)
	if err != nil {
		return
	}
	looking, cancel := context.WithTimeout(ctx, measureLimit)
	u, err := m.look(looking, s, o, p)
	cancel()
	if err != nil && ctx.Err() == nil {
		m.Log.Debug("data service not measured", "service_instance", guid, "error", err)
	}
	m.watch(guid, func(w *watched) {
		w.next = u.At.Add(m.untilNext(u, w.usage))
		w.usage = u
	})
	if m.Logs != nil {
		m.Logs.ServiceUsage(guid, u)
	}
	if u.DiskBytes < 0 {
		return
	}
	if err := m.judgeDisk(ctx, s, u.DiskBytes); err != nil && ctx.Err() == nil {
		m.Log.Warn("data service was not told about its disk; it is tried again", "service_instance", guid, "error", err)
	}
}

// untilNext is the sooner the sooner the volume could be full.
func (m *Manager) untilNext(now, before Usage) time.Duration {
	every := m.MeasureEvery
	if every == 0 {
		every = measureEvery
	}
	limit := now.Plan.diskBytes()
	if limit == 0 || now.DiskBytes < 0 {
		return every
	}
	rate := float64(quickGrowth)
	if span := now.At.Sub(before.At).Seconds(); before.DiskBytes > 0 && span > 0 {
		rate = max(rate, float64(now.DiskBytes-before.DiskBytes)/span)
	}
	soon := time.Duration(float64(limit-now.DiskBytes) / (4 * rate) * float64(time.Second))
	return min(max(soon, every/10), every)
}

// look asks the engine and the keeper in the container.
func (m *Manager) look(ctx context.Context, s *store.DataService, o *Offering, p *Plan) (Usage, error) {
	u := Usage{At: time.Now(), CPU: -1, MemoryBytes: -1, DiskBytes: -1, Connections: -1, Plan: p}
	seen, err := m.Engine.Usage(ctx, s.GUID)
	if err != nil {
		return u, err
	}
	if now, there := seen[s.GUID]; there {
		u.CPU, u.MemoryBytes = now.CPU, now.MemoryBytes
	}
	if !s.Measures {
		return u, nil
	}
	v := newView(s, p, nil, nil)
	folder := o.Volume
	if !o.Used.empty() {
		folder = ""
	}
	command := Command{Run: []string{keeper.Path, "measure", folder}}
	for _, port := range o.Ports {
		command.Run = append(command.Run, strconv.Itoa(port))
	}
	var out bytes.Buffer
	if err := m.runCommand(ctx, s.GUID, v, command, nil, &out); err != nil {
		return u, err
	}
	var found keeper.Measure
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		return u, fmt.Errorf("measure: %w", err)
	}
	u.Connections = found.Connections
	if folder != "" {
		u.DiskBytes = found.DiskBytes
	}
	if o.Used.empty() {
		return u, nil
	}
	out.Reset()
	if err := m.runCommand(ctx, s.GUID, v, o.Used, nil, &out); err != nil {
		return u, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
	if err != nil {
		return u, fmt.Errorf("used: %w", err)
	}
	u.DiskBytes = n
	return u, nil
}
