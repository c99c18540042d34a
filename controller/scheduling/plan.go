package scheduling

import (
	"maps"
	"slices"
	"sort"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// wanted is one process that should run now.
type wanted struct {
	app     *store.App
	process *store.Process
	droplet *store.Droplet
}

// plan is what one pass found to do.
type plan struct {
	put    []*store.Instance // records to write: new, changed, stopping
	remove []string          // records whose workload has gone
	start  []startOrder
	stop   []string // ids to drain and stop
	crash  []*store.Instance
}

// startOrder is a workload to start for an instance record.
type startOrder struct {
	instance *store.Instance
	wanted   wanted
}

// readWanted returns the processes in the scope of started apps that have a droplet, by GUID.
func (l *Loop) readWanted(tx *store.Tx, s scope) (map[string]wanted, error) {
	which := []store.Cond{store.By("state", store.AppStarted)}
	if !s.all {
		which = []store.Cond{store.By("guid", s.guids()...), which[0]}
	}
	apps, _, err := store.Apps.List(tx, store.Query[store.App]{Where: which})
	if err != nil {
		return nil, err
	}
	out := map[string]wanted{}
	for _, app := range apps {
		processes, _, err := store.Processes.List(tx, store.Query[store.Process]{
			Where: []store.Cond{store.By("app", app.GUID)},
		})
		if err != nil {
			return nil, err
		}
		for _, p := range processes {
			l.book.records[p.GUID] = app.GUID
			guid := p.DropletGUID
			if guid == "" {
				guid = app.CurrentDropletGUID
			}
			if p.Instances == 0 || guid == "" {
				continue
			}
			d, err := store.Droplets.Get(tx, guid)
			if err != nil {
				continue // deleted; the API will set another
			}
			out[p.GUID] = wanted{app, p, d}
		}
	}
	return out, nil
}

// makePlan compares the wanted processes with the instance records and what the engine has seen.
// newGUID names new instances.
func makePlan(want map[string]wanted, records []*store.Instance, seen map[string]node.Status, tasks map[string]bool, newGUID func() string) *plan {
	p := &plan{}
	have := map[string]map[int]bool{}
	known := map[string]bool{}
	var leaving []*store.Instance
	for _, r := range servingFirst(records) {
		known[r.GUID] = true
		if seen[r.GUID].Leaving {
			leaving = append(leaving, r)
			continue
		}
		w, ok := want[r.ProcessGUID]
		taken := have[r.ProcessGUID][r.Index]
		keep := ok && r.State != store.InstanceStopping && r.Version == w.process.Version && r.Index < w.process.Instances && !taken
		if !keep {
			p.retire(r, seen)
			continue
		}
		if have[r.ProcessGUID] == nil {
			have[r.ProcessGUID] = map[int]bool{}
		}
		have[r.ProcessGUID][r.Index] = true
		p.follow(r, w, seen)
	}
	p.replace(leaving, records, want, seen)
	p.addMissing(want, have, newGUID)
	for id := range seen {
		if !known[id] && !tasks[id] {
			p.stop = append(p.stop, id) // nobody's: a record deleted by the API, or left by a crash
		}
	}
	return p
}

// servingFirst puts those that get requests before the others, so that of two with one index that one stays: they come to be
// when a machine shall be empty, and then shall not.
func servingFirst(records []*store.Instance) []*store.Instance {
	serving := func(r *store.Instance) bool { return r.Routable && r.State == store.InstanceRunning }
	out := make([]*store.Instance, 0, len(records))
	for _, want := range []bool{true, false} {
		for _, r := range records {
			if serving(r) == want {
				out = append(out, r)
			}
		}
	}
	return out
}

// replace deals with instances whose machine shall be empty: each stays until another one with its index gets
// requests. That one is made as if this one were not there. One that has crashed goes when the other one does no better.
func (p *plan) replace(leaving, records []*store.Instance, want map[string]wanted, seen map[string]node.Status) {
	for _, r := range leaving {
		w, ok := want[r.ProcessGUID]
		replaced := slices.ContainsFunc(records, func(o *store.Instance) bool {
			return o.ProcessGUID == r.ProcessGUID && o.Index == r.Index && standsIn(o, r) && !seen[o.GUID].Leaving && ok && o.Version == w.process.Version
		})
		if !ok || replaced || r.State == store.InstanceStopping || r.Version != w.process.Version || r.Index >= w.process.Instances {
			p.retire(r, seen)
			continue
		}
		p.follow(r, w, seen)
	}
}

// standsIn reports whether nothing is lost when o takes the place of r: it gets requests, or both have crashed.
func standsIn(o, r *store.Instance) bool {
	return o.Routable && o.State == store.InstanceRunning || o.State == store.InstanceCrashed && r.State == store.InstanceCrashed
}

// retire marks a record as stopping, or removes it when the engine has no workload for it any more.
func (p *plan) retire(r *store.Instance, seen map[string]node.Status) {
	if r.State != store.InstanceStopping {
		c := *r
		c.State, c.Routable = store.InstanceStopping, false
		p.put = append(p.put, &c)
		p.stop = append(p.stop, r.GUID)
		return
	}
	if _, running := seen[r.GUID]; running {
		p.stop = append(p.stop, r.GUID)
		return
	}
	p.remove = append(p.remove, r.GUID)
}

// follow brings a kept record up to what the engine saw; a workload that is not there is started (again).
func (p *plan) follow(r *store.Instance, w wanted, seen map[string]node.Status) {
	s, ok := seen[r.GUID]
	if !ok {
		p.start = append(p.start, startOrder{r, w})
		return
	}
	c := observed(r, s)
	if c.CrashCount > r.CrashCount || (c.State == store.InstanceCrashed && r.State != store.InstanceCrashed) {
		p.crash = append(p.crash, c)
	}
	if changed(r, c) {
		p.put = append(p.put, c)
	}
}

// addMissing makes records for the indexes that nobody has, in a stable order.
func (p *plan) addMissing(want map[string]wanted, have map[string]map[int]bool, newGUID func() string) {
	guids := make([]string, 0, len(want))
	for guid := range want {
		guids = append(guids, guid)
	}
	sort.Strings(guids)
	for _, guid := range guids {
		w := want[guid]
		for i := range w.process.Instances {
			if have[guid][i] {
				continue
			}
			r := newInstance(w, i, newGUID())
			p.put = append(p.put, r)
			p.start = append(p.start, startOrder{r, w})
		}
	}
}

func newInstance(w wanted, index int, guid string) *store.Instance {
	return &store.Instance{
		Meta:        store.Meta{GUID: guid},
		AppGUID:     w.app.GUID,
		ProcessGUID: w.process.GUID,
		ProcessType: w.process.Type,
		Version:     w.process.Version,
		Index:       index,
		State:       store.InstanceStarting,
		Ports:       appenv.Ports(w.process, w.droplet),
		MemoryMB:    w.process.MemoryMB,
		DiskMB:      w.process.DiskMB,
	}
}

// observed returns a copy of the record with what the engine saw.
func observed(r *store.Instance, s node.Status) *store.Instance {
	c := *r
	c.State = string(s.State)
	if s.State == node.Exited {
		c.State = store.InstanceCrashed
	}
	c.Routable = s.Ready && s.State == node.Running
	c.Address, c.Host, c.HostPorts, c.Zone = s.Address, s.Host, s.HostPorts, s.Zone
	c.Since, c.StartedAt = s.Since, s.StartedAt
	c.CrashCount = s.Crashes
	c.Details = s.Details
	c.ExitStatus = s.ExitStatus
	return &c
}

// changed reports whether b says something new that is worth a write.
func changed(a, b *store.Instance) bool {
	return a.State != b.State || a.Routable != b.Routable || a.Address != b.Address || a.Host != b.Host || a.Zone != b.Zone || !maps.Equal(a.HostPorts, b.HostPorts) ||
		!a.StartedAt.Equal(b.StartedAt) || a.CrashCount != b.CrashCount || a.Details != b.Details || a.ExitStatus != b.ExitStatus
}
