package migration

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/nomad"
)

// findProblems adds to a plan what stands in its way.
func (p *Planner) findProblems(ctx context.Context, d *draft) error {
	free, err := p.free(ctx, d)
	if err != nil {
		return err
	}
	d.findRoom(free)
	d.findData()
	return d.findImages(ctx, p.Image)
}

// room is what is free on the machines of a pool.
type room struct {
	nodes, freeMB, largestMB int
}

func (r *room) add(mb int) {
	r.nodes++
	r.freeMB += mb
	r.largestMB = max(r.largestMB, mb)
}

func (d *draft) problem(app, detail, remedy string) {
	d.Problems = append(d.Problems, capi.EngineProblem{App: app, Detail: detail, Remedy: remedy})
}

// free is the room at the target, by pool; the common nodes are the pool without a name.
func (p *Planner) free(ctx context.Context, d *draft) (map[string]*room, error) {
	free := map[string]*room{}
	if d.Target == node.EngineDocker {
		r := &room{}
		r.add(max(0, p.DockerMB-d.onDockerMB))
		free[""], d.Nodes, d.FreeMB = r, 1, r.freeMB
		return free, nil
	}
	if err := p.Ping(ctx); err != nil {
		d.problem("", err.Error(), "start Nomad's servers, and see that a node is READY: cupola nodes")
	}
	all, err := p.Machines(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if !m.Up || !m.Eligible || !m.Agent {
			continue
		}
		if m.Version != "" && !nomad.NewEnough(m.Version) {
			d.problem("", fmt.Sprintf("node %s runs Nomad %s, and takes no instances", m.Name, m.Version), "upgrade it to "+nomad.MinVersion+" or later")
			continue
		}
		if free[m.Pool] == nil {
			free[m.Pool] = &room{}
		}
		free[m.Pool].add(m.MemoryMB - m.ReservedMB)
		d.Nodes, d.FreeMB = d.Nodes+1, d.FreeMB+m.MemoryMB-m.ReservedMB
	}
	if d.Nodes == 0 && len(d.Problems) == 0 {
		d.problem("", "no node of the cluster is READY", "join one: cupola node token, then cupola node join")
	}
	if p.Reserve > 0 {
		for i := range d.needs {
			d.needs[i].mb = int(float64(d.needs[i].mb) * p.Reserve)
		}
	}
	return free, nil
}

// findRoom compares what instances need with what there is.
func (d *draft) findRoom(free map[string]*room) {
	needed, told := map[string]int{}, map[string]bool{}
	for _, n := range d.needs {
		pool := n.pool
		if d.Target == node.EngineDocker || belongs(n.app, d.Target, d.bound) == node.EngineDocker {
			continue // this machine is no node: all of it is counted below
		}
		r := free[pool]
		switch {
		case r == nil && d.Nodes == 0: // told for all
		case r == nil && !told[n.app]:
			told[n.app] = true
			d.problem(n.name, fmt.Sprintf("no READY node is in the pool %q of its isolation segment", cmp.Or(pool, "shared")), "join one with --pool, or move the space to another segment")
		case r == nil:
		case n.mb > r.largestMB && !told[n.app]:
			told[n.app] = true
			d.problem(n.name, fmt.Sprintf("an instance needs %d MB, and no node has more than %d MB free", n.mb, r.largestMB), "join a larger node, or give the app less memory")
		}
		needed[pool] += n.mb
	}
	if d.Target == node.EngineDocker {
		needed[""] = d.NeededMB
	}
	for _, pool := range slices.Sorted(maps.Keys(needed)) {
		if r := free[pool]; r != nil && needed[pool] > r.freeMB {
			d.problem("", fmt.Sprintf("too little memory: %d MB are needed, %d MB are free", needed[pool], r.freeMB), "join another node, or scale apps down")
		}
	}
}

// findData names data services whose data is on machines of the cluster that shall be done without.
func (d *draft) findData() {
	for _, s := range d.Services {
		if d.Target == node.EngineDocker && s.Engine != node.EngineDocker {
			d.problem("", fmt.Sprintf("the data service %s has its data on another machine, where it stays", s.Name), "back it up, and restore it into a new service instance once instances start on docker; or go on with the cluster")
		}
	}
}

// findImages asks for each image once.
func (d *draft) findImages(ctx context.Context, there func(ctx context.Context, repository, digest string) error) error {
	asked := map[string]bool{}
	for _, n := range d.needs {
		if n.droplet == nil {
			if !asked[n.app] {
				asked[n.app] = true
				d.problem(n.name, "the droplet that it runs was deleted", "push it again, or set another droplet")
			}
			continue
		}
		image := n.droplet.Repository + "@" + n.droplet.ImageDigest
		if asked[image] {
			continue
		}
		asked[image] = true
		if err := there(ctx, n.droplet.Repository, n.droplet.ImageDigest); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.problem(n.name, "its image is not in the registry: "+err.Error(), "stage the app again: cupola restage "+n.name)
		}
	}
	return nil
}
