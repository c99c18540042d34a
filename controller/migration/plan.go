package migration

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/scheduling"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// Planner says what a migration would move and what stands in its way.
type Planner struct {
	Loop *Loop
	// Machines are the cluster's; Ping says whether it can start something now.
	Machines func(ctx context.Context) ([]node.Machine, error)
	Ping     func(ctx context.Context) error
	// DockerMB is the memory that this machine's Docker may give to workloads.
	DockerMB int
	// Reserve is the part of its memory that an instance reserves in the cluster; zero: all.
	Reserve float64
	Volumes func(ctx context.Context) ([]node.VolumeStatus, error)
	// Image says that an image of the platform's registry is there.
	Image func(ctx context.Context, repository, digest string) error
}

// draft is a plan being made.
type draft struct {
	*capi.Engine
	list  []node.Status
	bound map[string]string
	apps  map[string]*capi.EngineApp
	needs []need
	used  map[string]int // MB on volumes, by workload
	// onDockerMB is the memory of the instances on this machine's Docker.
	onDockerMB int
}

// need is an instance that has to be made at the target.
type need struct {
	app, name string
	mb        int
	pool      string         // empty: the common nodes
	droplet   *store.Droplet // nil: it is gone
}

// Plan looks at everything. An empty target is the engine where instances start now.
func (p *Planner) Plan(ctx context.Context, target string) (*capi.Engine, error) {
	d, m, err := p.begin(target)
	if err != nil {
		return nil, err
	}
	volumes, err := p.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		for _, id := range v.UsedBy {
			d.used[id] += int(max(0, v.UsedBytes) >> 20)
		}
	}
	if err := p.fill(ctx, d, m); err != nil {
		return nil, err
	}
	return d.Engine, p.findProblems(ctx, d)
}

// Migration is how the migration stands that is under way, app by app, or else the last one, without apps. It is cheap enough to be asked
// for every few seconds: no disk and no registry is looked at.
func (p *Planner) Migration(ctx context.Context) (*capi.Engine, error) {
	d, m, err := p.begin("")
	if err != nil || m == nil || m.State != store.MigrationRunning {
		return d.Engine, err
	}
	return d.Engine, p.fill(ctx, d, m)
}

// begin is a plan with nothing in it yet, and the migration; nil: there was none. The draft is never nil.
func (p *Planner) begin(target string) (*draft, *store.Migration, error) {
	d := &draft{used: map[string]int{}, apps: map[string]*capi.EngineApp{}, Engine: &capi.Engine{
		Engine: node.EngineNomad, Apps: capi.Array[capi.EngineApp]{}, Services: capi.Array[capi.EngineService]{}, Problems: capi.Array[capi.EngineProblem]{},
	}}
	m, err := p.Loop.read()
	if m != nil {
		d.Engine.Engine, d.Migration = m.Target, showMigration(m)
	}
	d.Target = cmp.Or(target, d.Engine.Engine)
	return d, m, err
}

// fill looks at what runs, and at whose it is.
func (p *Planner) fill(ctx context.Context, d *draft, m *store.Migration) (err error) {
	l := p.Loop
	if d.list, err = l.Engine.List(ctx); err != nil {
		return err
	}
	if d.bound, err = l.bound(); err != nil {
		return err
	}
	if err = l.DB.View(func(tx *store.Tx) error { return d.read(tx) }); err == nil {
		d.show(l, m)
	}
	return err
}

func showMigration(m *store.Migration) *capi.EngineMigration {
	out := &capi.EngineMigration{Target: m.Target, State: m.State, Parallel: m.Parallel, StartedAt: capi.At(m.BeganAt)}
	if !m.EndedAt.IsZero() {
		at := capi.At(m.EndedAt)
		out.EndedAt = &at
	}
	return out
}

// read finds out of what is where whose it is and what it needs.
func (d *draft) read(tx *store.Tx) error {
	for _, s := range d.list {
		if service := s.Labels[labelService]; service != "" {
			if err := d.service(tx, service, s); err != nil {
				return err
			}
			continue
		}
		if err := d.workload(tx, s); err != nil {
			return err
		}
	}
	for _, a := range d.apps {
		if err := d.explain(tx, a); err != nil {
			return err
		}
	}
	return nil
}

// explain says why an app stays, or what keeps an instance of it from running.
func (d *draft) explain(tx *store.Tx, a *capi.EngineApp) error {
	if service := d.bound[a.GUID]; service != "" && d.Target != node.EngineDocker {
		s, err := store.DataServices.Get(tx, service)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		a.Detail = "uses the data service " + cmp.Or(s.Name, s.GUID) + ", which other machines do not reach"
		return nil
	}
	all, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", a.GUID)}})
	for _, i := range all {
		if i.State == store.InstanceDown || i.State == store.InstanceCrashed {
			a.Detail = i.Details
		}
	}
	return err
}

func (d *draft) service(tx *store.Tx, guid string, status node.Status) error {
	s, err := store.DataServices.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is going
	}
	if err != nil {
		return err
	}
	d.Services = append(d.Services, capi.EngineService{GUID: guid, Name: cmp.Or(s.Name, guid), Engine: cmp.Or(status.Engine, node.EngineNomad), UsedMB: d.used[status.ID]})
	return nil
}

// workload counts an instance or task.
func (d *draft) workload(tx *store.Tx, s node.Status) error {
	guid := s.Labels[labelApp]
	app, err := store.Apps.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a := d.apps[guid]
	if a == nil {
		a = &capi.EngineApp{GUID: guid, Name: app.Name}
		if space, err := store.Spaces.Get(tx, app.SpaceGUID); err == nil {
			a.Space = space.Name
			if org, err := store.Orgs.Get(tx, space.OrgGUID); err == nil {
				a.Org = org.Name
			}
		}
		d.apps[guid] = a
	}
	if s.Labels[labelProcess] == "" {
		if s.Engine != d.Target && s.State != node.Exited {
			a.Tasks++
		}
		return nil
	}
	if s.Engine == node.EngineDocker {
		a.Docker++
	} else {
		a.Nomad++
	}
	i, err := store.Instances.Get(tx, s.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is being stopped
	}
	if err != nil {
		return err
	}
	if s.Engine == node.EngineDocker {
		d.onDockerMB += i.MemoryMB
	}
	if s.Engine == belongs(guid, d.Target, d.bound) {
		return nil
	}
	return d.need(tx, app, i)
}

// need notes what the successor of an instance takes.
func (d *draft) need(tx *store.Tx, app *store.App, i *store.Instance) (err error) {
	n := need{app: app.GUID, name: app.Name, mb: i.MemoryMB}
	if n.pool, err = scheduling.Pool(tx, app); err != nil {
		return err
	}
	droplet := app.CurrentDropletGUID
	if p, err := store.Processes.Get(tx, i.ProcessGUID); err == nil {
		droplet = cmp.Or(p.DropletGUID, droplet)
	}
	if r, err := store.Droplets.Get(tx, droplet); err == nil {
		n.droplet = r
	}
	d.apps[app.GUID].MemoryMB += n.mb
	d.NeededMB += n.mb
	d.needs = append(d.needs, n)
	return nil
}

// show puts the apps in order, each with how it stands.
func (d *draft) show(l *Loop, m *store.Migration) {
	running := m != nil && m.State == store.MigrationRunning && m.Target == d.Target
	for _, a := range d.apps {
		elsewhere := a.Docker
		if belongs(a.GUID, d.Target, d.bound) == node.EngineDocker {
			elsewhere = a.Nomad
		}
		moves, late := l.state(a.GUID)
		switch {
		case elsewhere > 0 && running && late:
			a.State = capi.MoveDelayed
		case elsewhere > 0 && running && moves:
			a.State = capi.MoveGoesOn
		case elsewhere > 0:
			a.State = capi.MoveWaits
		case a.Tasks > 0:
			a.State = capi.MoveTasks
		case d.bound[a.GUID] != "" && d.Target != node.EngineDocker:
			a.State = capi.MoveNever
		default:
			a.State = capi.MoveDone
		}
		d.Apps = append(d.Apps, *a)
	}
	slices.SortFunc(d.Apps, func(a, b capi.EngineApp) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Space, b.Space), cmp.Compare(a.Name, b.Name), cmp.Compare(a.GUID, b.GUID))
	})
	slices.SortFunc(d.Services, func(a, b capi.EngineService) int { return cmp.Compare(a.Name, b.Name) })
}
