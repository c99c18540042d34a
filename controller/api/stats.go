package api

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	// statsHold bounds how long stats of a process that is just starting are held; people who look at an app by
	// hand should not wait longer (contract, 2.6).
	statsHold = 5 * time.Second
	// justStarted is how long after its last change a process counts as being waited for.
	justStarted = 2 * time.Minute
)

// snapshot is a process with what was last seen of its instances, by index.
type snapshot struct {
	process *store.Process
	app     *store.App
	byIndex map[int]*store.Instance
	droplet int64 // bytes that the app itself has on disk, without the stack
	at      time.Time
}

func takeSnapshot(tx *store.Tx, p *store.Process) (*snapshot, error) {
	app, err := store.Apps.Get(tx, p.AppGUID)
	if err != nil {
		return nil, err
	}
	all, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("process", p.GUID)}})
	if err != nil {
		return nil, err
	}
	s := &snapshot{process: p, app: app, byIndex: map[int]*store.Instance{}, at: tx.Now}
	if d, err := store.Droplets.Get(tx, cmp.Or(p.DropletGUID, app.CurrentDropletGUID)); err == nil {
		s.droplet = d.SizeBytes
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	for _, i := range all {
		if app.State == store.AppStarted && i.Version == p.Version && i.Index < p.Instances && i.State != store.InstanceStopping {
			s.byIndex[i.Index] = i
		}
	}
	return s, nil
}

// settled reports whether a client that waits for the start has something to learn: an instance runs, all have
// crashed, one cannot be placed, or nothing is starting at all.
func (s *snapshot) settled() bool {
	if s.app.State != store.AppStarted || s.process.Instances == 0 || s.at.Sub(s.process.UpdatedAt) > justStarted {
		return true
	}
	crashed := 0
	for _, i := range s.byIndex {
		switch {
		case i.State == store.InstanceRunning, i.State == store.InstanceDown, i.State == store.InstanceStarting && i.Details != "":
			return true
		case i.State == store.InstanceCrashed:
			crashed++
		}
	}
	return crashed == s.process.Instances
}

func (s *Server) getStats(c *Ctx) error {
	var seen *snapshot
	_, err := c.hold(statsHold, func(tx *store.Tx) (bool, error) {
		p, err := theProcess(tx, c)
		if err != nil {
			return false, err
		}
		if seen, err = takeSnapshot(tx, p); err != nil {
			return false, err
		}
		return seen.settled(), nil
	}, store.Instances.Name(), store.Processes.Name(), store.Apps.Name())
	if err != nil {
		return notFound(err, "Process")
	}
	return c.JSON(http.StatusOK, capi.Items[capi.Stats]{Resources: s.presentStats(c, seen)})
}

// presentStats has one entry for each wanted index, DOWN where nothing was seen.
func (s *Server) presentStats(c *Ctx, seen *snapshot) []capi.Stats {
	var guids []string
	for _, i := range seen.byIndex {
		guids = append(guids, i.GUID)
	}
	usage, err := s.stats.Usage(c.Context(), guids...)
	if err != nil && c.Context().Err() == nil {
		s.log.Warn("usage of instances not known", "process", seen.process.GUID, "error", err)
	}
	out := make([]capi.Stats, 0, seen.process.Instances)
	for index := range seen.process.Instances {
		i := seen.byIndex[index]
		if i == nil || i.State == store.InstanceDown {
			out = append(out, downStats(seen.process, index, i))
			continue
		}
		u, known := usage[i.GUID]
		out = append(out, instanceStats(seen, i, u, known))
	}
	return out
}

func downStats(p *store.Process, index int, i *store.Instance) capi.Stats {
	down := capi.Stats{Type: p.Type, Index: index, State: store.InstanceDown}
	if i != nil {
		down.Details = nullable(i.Details)
	}
	return down
}

func instanceStats(seen *snapshot, i *store.Instance, u Usage, known bool) capi.Stats {
	p := seen.process
	out := capi.Stats{
		Type: p.Type, Index: i.Index, InstanceGUID: i.GUID, State: i.State, Routable: i.Routable,
		Host: cmp.Or(i.Host, i.Address), InternalIP: i.Address, MemQuota: int64(i.MemoryMB) << 20, DiskQuota: int64(i.DiskMB) << 20,
		LogRateLimit: int64(p.LogRateBytes), FDsQuota: appenv.FileLimit, Details: nullable(i.Details),
	}
	if !i.Since.IsZero() {
		out.Uptime = max(0, int64(seen.at.Sub(i.Since)/time.Second))
	}
	for _, port := range i.Ports {
		out.Ports = append(out.Ports, capi.InstancePort{External: cmp.Or(i.HostPorts[port], port), Internal: port})
	}
	if !known && i.State != store.InstanceRunning {
		return out
	}
	if u.Time.IsZero() {
		u.Time = seen.at
	}
	out.Usage = &capi.Usage{
		Time: capi.At(u.Time), CPU: u.CPU, CPUEntitlement: u.CPUEntitlement,
		Mem: max(0, u.MemoryBytes), Disk: seen.droplet + max(0, u.DiskBytes), LogRate: max(0, u.LogRate),
	}
	return out
}

// instanceStates is the short form that lists embed.
func (s *snapshot) instanceStates() []capi.InstanceState {
	out := make([]capi.InstanceState, 0, s.process.Instances)
	for index := range s.process.Instances {
		state := capi.InstanceState{Index: index, State: store.InstanceDown, Since: 1}
		since := s.process.UpdatedAt
		if i := s.byIndex[index]; i != nil {
			state.State, since = i.State, i.Since
		}
		if !since.IsZero() {
			state.Since = max(1, int64(s.at.Sub(since)/time.Second))
		}
		out = append(out, state)
	}
	return out
}

func (s *Server) presentProcessEmbedded(tx *store.Tx, p *store.Process) (capi.Process, error) {
	shown, err := s.presentProcess(tx, p)
	if err != nil {
		return shown, err
	}
	seen, err := takeSnapshot(tx, p)
	if err != nil {
		return shown, err
	}
	embedded := capi.Array[capi.InstanceState](seen.instanceStates())
	shown.Embedded = &embedded
	return shown, nil
}

func (s *Server) listProcessInstances(c *Ctx) error {
	var out capi.Items[capi.InstanceState]
	err := c.View(func(tx *store.Tx) error {
		p, err := theProcess(tx, c)
		if err != nil {
			return err
		}
		seen, err := takeSnapshot(tx, p)
		if err != nil {
			return err
		}
		out.Resources = seen.instanceStates()
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// terminateInstance deletes the record of an instance; the scheduling loop stops its workload and starts another
// in its place.
func (s *Server) terminateInstance(c *Ctx) error {
	index, bad := strconv.Atoi(c.Path("index"))
	err := c.Update(func(tx *store.Tx) error {
		p, err := theProcess(tx, c)
		if err != nil {
			return err
		}
		seen, err := takeSnapshot(tx, p)
		if err != nil {
			return err
		}
		if bad != nil || index < 0 || index >= p.Instances {
			return capi.NotFound("Instance")
		}
		if i := seen.byIndex[index]; i != nil {
			if err := store.Instances.Delete(tx, i.GUID); err != nil {
				return err
			}
		}
		data := map[string]any{"process_guid": p.GUID, "process_type": p.Type, "process_index": index}
		return c.audit(tx, Event{Type: "audit.app.process.terminate_instance", Target: appTarget(seen.app), Place: c.place, Data: data})
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
