package docker

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"

	"github.com/cupola-paas/cupola/node"
)

// With Options.Attach a scheduler makes containers that carry AttachLabels, and restarts them. What remains is what a scheduler does not do: see who is healthy and end who is not,
// make the rules of what each container may reach, read logs and usage, run commands inside. A container ends
// and another takes its place under the same workload id; the instance stays, and so do its crashes.

// goneKept is how long an attached workload without a container is remembered: its last words, and why it ended.
const goneKept = 10 * time.Minute

// AttachLabels are what a container must carry for an attached engine of the installation to take it for w.
func AttachLabels(installation string, w node.Workload) (map[string]string, error) {
	d := &Docker{o: Options{Installation: installation}}
	all, err := d.labels(w)
	if err == nil {
		all[labelAttached] = "true"
	}
	return all, err
}

// AttachNetwork is the Docker network that such containers must be on; the attached engine of each machine
// makes it.
func AttachNetwork(installation string) string { return "cupola-" + installation + "-apps" }

// Limits are the parts of a container's configuration that follow from the workload's.
type Limits struct {
	CPUShares int64
	PIDs      int64
	OpenFiles int
}

// LimitsOf are what containers of w get here, so that another who makes them does likewise.
func LimitsOf(w node.Workload) Limits {
	pids := int64(w.PIDs)
	if pids <= 0 {
		pids = defaultPIDs
	}
	return Limits{CPUShares: cpuShares(w), PIDs: pids, OpenFiles: openFiles}
}

// Check says what is wrong with a workload, before anybody is asked to run it.
func Check(w node.Workload) error { return check(w) }

// StartStatus is the shell's exit status for what Docker said when a container could not be started: 126 to
// 128 where the workload is to blame, else zero.
func StartStatus(text string) int { return startStatus(fmt.Errorf("%s", text)) }

// labelAttached is on containers that a scheduler made.
const labelAttached = "cupola.attached"

func (d *Docker) newAttached(w node.Workload, containerID string) *instance {
	i := d.newInstance(w, containerID)
	i.spool, i.status.Own = newSpool(), false
	return i
}

// attached says that a scheduler makes and restarts the containers of the workload.
func (i *instance) attached() bool { return i.spool != nil }

// Attached reports whether a workload is one that a scheduler runs. Others are this engine's own.
func (d *Docker) Attached(id string) bool {
	i := d.find(id)
	return i != nil && i.attached()
}

// Has reports whether this machine has the workload.
func (d *Docker) Has(id string) bool { return d.find(id) != nil }

// dispatchAttached deals with an event that may be about a container not seen before.
func (d *Docker) dispatchAttached(m events.Message) {
	if m.Type == events.NetworkEventType {
		if id := m.Actor.Attributes["container"]; m.Actor.Attributes["name"] == d.nets.apps.name && id != "" {
			d.wg.Go(func() { d.connected(d.ctx, id) })
		}
		return
	}
	if m.Action == events.ActionStart && m.Actor.Attributes[labelAttached] != "" {
		d.attach(m.Actor.ID, m.Actor.Attributes, time.Unix(0, m.TimeNano))
	}
	d.dispatch(m)
}

// attach makes the container known as the one of its workload.
func (d *Docker) attach(containerID string, labels map[string]string, at time.Time) {
	w, err := workloadOf(labels)
	if err != nil {
		d.log.Warn("container with an unreadable workload", "container", containerID, "error", err)
		return
	}
	i := d.find(w.ID)
	if i == nil {
		d.add(d.newAttached(w, containerID))
		i = d.find(w.ID)
	}
	if i == nil {
		return
	}
	i.mu.Lock()
	if i.container != containerID && at.After(i.containerSince) {
		i.container = containerID
	}
	i.containerSince = at
	i.mu.Unlock()
	i.readAttached(containerID)
	i.poke()
}

// connected makes the rules for a container before its process runs: Docker tells of the network first. Neither
// call waits for Docker's lock on a container that is being started.
func (d *Docker) connected(ctx context.Context, containerID string) {
	f := d.filter()
	f.Add("label", labelWorkload)
	f.Add("id", containerID)
	list, err := d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
	if err != nil || len(list) != 1 {
		return // not ours, or gone
	}
	w, err := workloadOf(list[0].Labels)
	if err != nil {
		return
	}
	n, err := d.api.NetworkInspect(ctx, d.nets.apps.name, network.InspectOptions{})
	if err != nil {
		return
	}
	p, err := netip.ParsePrefix(n.Containers[containerID].IPv4Address)
	if err != nil {
		return
	}
	d.joined(w, p.Addr())
}

// joined makes the rules of a workload at its address.
func (d *Docker) joined(w node.Workload, address netip.Addr) {
	d.nets.apps.addresses.note(w.ID, address)
	if err := d.fw.join(w.ID, member{address, w.Egress, w.Peer}); err != nil && d.fw.err == nil {
		d.log.Warn("rules of what an instance may reach not made", "instance", w.ID, "error", err)
	}
}

// takeBackAttached compares the scheduler's containers with what is in memory. Where a workload has several,
// the newest counts.
func (d *Docker) takeBackAttached(list []container.Summary) []container.Summary {
	newest := map[string]container.Summary{}
	for _, c := range list {
		id := c.Labels[labelID]
		if have, ok := newest[id]; !ok || c.Created > have.Created {
			newest[id] = c
		}
	}
	var all []container.Summary
	for id, c := range newest {
		i := d.find(id)
		if i != nil && i.attached() && i.containerID() != c.ID && c.Labels[labelAttached] != "" {
			d.attach(c.ID, c.Labels, time.Unix(c.Created, 0))
		}
		all = append(all, c)
	}
	d.forgetGone()
	return all
}

// forgetGone drops what has had no container for long.
func (d *Docker) forgetGone() {
	d.mu.RLock()
	var old []*instance
	for _, i := range d.instances {
		i.mu.Lock()
		if !i.goneAt.IsZero() && time.Since(i.goneAt) > goneKept {
			old = append(old, i)
		}
		i.mu.Unlock()
	}
	d.mu.RUnlock()
	for _, i := range old {
		d.forget(i)
	}
}

// gone is the end of an attached workload's container. It returns false if the workload was to be stopped.
func (i *instance) gone() bool {
	if i.isStopping() {
		return false
	}
	deaths, _ := i.takeDeaths(container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{State: &container.State{}}})
	i.mu.Lock()
	known := !i.goneAt.IsZero()
	if !known {
		i.goneAt = time.Now()
	}
	i.mu.Unlock()
	if known && len(deaths) == 0 {
		return true
	}
	i.left(deaths)
	return true
}

// left notes how the container of an attached workload ended.
func (i *instance) left(deaths []death) {
	wasUp, mine := !i.startedAt.IsZero(), i.forget
	at := i.startedAt
	i.startedAt, i.forget = time.Time{}, false
	i.stopProbes()
	i.d.unplace(i.id)
	i.d.applyRules()
	switch {
	case mine: // it was ended by us, and counted
	case i.w.Once && (wasUp || len(deaths) > 0):
		x := death{}
		if len(deaths) > 0 {
			x = deaths[len(deaths)-1]
		}
		i.set(func(s *node.Status) {
			s.State, s.Ready, s.ExitStatus, s.OOMKilled = node.Exited, false, x.status, x.oom
			s.Generation = max(s.Generation, 1)
			if !at.IsZero() {
				s.StartedAt = at
			}
			s.Details = i.explainEnd(x, "")
		})
	default:
		for _, x := range deaths {
			i.died(x)
		}
	}
}

// endAttached ends the process of a workload that must not go on; the scheduler starts it again.
func (i *instance) endAttached(ctx context.Context) {
	grace := stopGrace
	if err := i.d.api.ContainerStop(ctx, i.containerID(), container.StopOptions{Timeout: &grace}); err != nil && !notFound(err) {
		i.d.log.Warn("end an instance", "instance", i.id, "error", err)
	}
	i.poke()
}

// downAttached deals with an attached container that is there but does not run.
func (i *instance) downAttached(c container.InspectResponse, died bool) {
	switch {
	case c.State.Status == container.StateCreated && c.State.ExitCode == 0: // it will be started
	case c.State.Status == container.StateCreated && i.snapshot().State != node.Crashed:
		i.crashed(i.explainEnd(death{status: c.State.ExitCode}, c.State.Error), c.State.ExitCode, false)
	case died || i.startedAt.IsZero() && !i.forget: // counted
		i.left(nil)
	default:
		i.left([]death{{at: finished(c), status: c.State.ExitCode, oom: c.State.OOMKilled}})
	}
}
