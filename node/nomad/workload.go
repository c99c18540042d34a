package nomad

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
)

// workload is one job of ours and what became of it. All fields are guarded by Nomad.mu.
type workload struct {
	id, process string
	labels      map[string]string
	once        bool
	memoryMB    int
	jobModify   uint64 // index of the job as we know it to be ours; another one was written by somebody else
	stopping    bool
	mending     bool
	allocs      map[string]*alloc
	placement   string // why there is no node for it; empty: there is, or it is not known yet

	status node.Status
	news   chan struct{} // closed and replaced when something about it changed
}

// alloc is what Nomad says of one attempt to run a workload.
type alloc struct {
	id, nodeID    string
	index, modify uint64 // of its creation, of its last change
	stopWanted    bool
	client        string // Nomad's client status
	restarts      int
	rescheduled   int // how many attempts came before it
	dead, failed  bool
	started       time.Time
	finished      time.Time
	exit          int
	oom           bool
	failure       string // why it could not be started
	ports         map[int]int
	memoryMB      int // reserved
}

func (a *alloc) over() bool {
	switch a.client {
	case api.AllocClientStatusComplete, api.AllocClientStatusFailed, api.AllocClientStatusLost:
		return true
	}
	return false
}

// allocOf reads what matters from Nomad's words.
func allocOf(s *api.AllocationListStub) *alloc {
	a := &alloc{
		id: s.ID, nodeID: s.NodeID, index: s.CreateIndex, modify: s.ModifyIndex, client: s.ClientStatus,
		stopWanted: s.DesiredStatus == api.AllocDesiredStatusStop || s.DesiredStatus == api.AllocDesiredStatusEvict,
		ports:      map[int]int{},
	}
	if s.RescheduleTracker != nil {
		a.rescheduled = len(s.RescheduleTracker.Events)
	}
	if r := s.AllocatedResources; r != nil {
		for _, p := range r.Shared.Ports {
			a.ports[p.To] = p.Value
		}
		if t := r.Tasks[taskName]; t != nil {
			a.memoryMB = int(t.Memory.MemoryMB)
		}
	}
	t := s.TaskStates[taskName]
	if t == nil {
		return a
	}
	a.restarts, a.dead, a.failed = int(t.Restarts), t.State == "dead", t.Failed
	a.started, a.finished = t.StartedAt, t.FinishedAt
	for _, x := range t.Events {
		switch x.Type {
		case api.TaskTerminated:
			a.exit, a.oom, a.failure = x.ExitCode, x.Details["oom_killed"] == "true", ""
		case api.TaskStarted:
			a.failure = ""
		case api.TaskDriverFailure:
			a.failure = first(x.DriverError, x.Details["driver_error"], x.DisplayMessage)
		case api.TaskSetupFailure, api.TaskFailedValidation:
			a.failure = first(x.Message, x.DisplayMessage)
		}
	}
	return a
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// current is the newest attempt; nil while there is none.
func (w *workload) current() *alloc {
	var newest *alloc
	for _, a := range w.allocs {
		if newest == nil || a.index > newest.index || a.index == newest.index && a.modify > newest.modify {
			newest = a
		}
	}
	return newest
}

// crashes in a row, as far as Nomad counts: each attempt before this one had its restarts and failed.
func (a *alloc) crashes() int {
	n := a.rescheduled*(docker.ImmediateRestarts+1) + a.restarts
	if a.client == api.AllocClientStatusFailed {
		n++
	}
	return n
}

// compose puts Nomad's view and the agent's together. seen is the agent's, nil if it has none.
func (w *workload) compose(m *member, seen *node.Status, healthyAfter time.Duration) node.Status {
	s := node.Status{ID: w.id, Labels: w.labels, State: node.Starting, StartedAt: w.status.StartedAt, Generation: w.status.Generation}
	a := w.current()
	if a == nil {
		s.Details = w.placement
		return w.finish(s)
	}
	s.Crashes, s.ExitStatus, s.OOMKilled = a.crashes(), a.exit, a.oom
	s.Leaving = m != nil && !m.eligible && !m.down && !w.once
	switch {
	case w.once && (a.dead || a.over()):
		w.ended(&s, a)
	case a.client == api.AllocClientStatusFailed:
		s.State, s.Details = node.Crashed, w.explain(a)
	case a.client == api.AllocClientStatusLost || a.client == api.AllocClientStatusUnknown || m != nil && m.down:
		s.State, s.Details = node.Starting, fmt.Sprintf("node %s does not answer; another one is looked for", m.name())
		return w.finish(s)
	}
	if a.failure != "" {
		s.State, s.Details, s.ExitStatus = node.Crashed, "could not start: "+a.failure, docker.StartStatus(a.failure)
		s.Crashes = max(s.Crashes, 1)
	}
	if seen != nil && !(w.once && s.State == node.Exited) {
		w.merge(&s, seen, healthyAfter)
	}
	if m != nil && m.address != "" && seen != nil {
		s.Host, s.HostPorts = m.address, a.ports
	}
	if m != nil && seen != nil {
		s.Zone = m.zone
	}
	if w.once && s.State != node.Exited {
		s.Crashes = 0
	}
	return w.finish(s)
}

// merge takes over what the agent knows better: whether the workload is healthy, and why it was ended.
func (w *workload) merge(s, seen *node.Status, healthyAfter time.Duration) {
	if seen.StartedAt.After(s.StartedAt) {
		s.StartedAt = seen.StartedAt
	}
	s.Address = seen.Address
	settled := seen.State == node.Running && !seen.StartedAt.IsZero() && time.Since(seen.StartedAt) > healthyAfter
	switch {
	case settled:
		s.Crashes = seen.Crashes
	default:
		s.Crashes = max(s.Crashes, seen.Crashes)
	}
	if s.State == node.Crashed { // Nomad has given up on this attempt
		s.Details = first(seen.Details, s.Details)
		s.ExitStatus, s.OOMKilled = max(s.ExitStatus, seen.ExitStatus), s.OOMKilled || seen.OOMKilled
		s.Since = seen.Since
		return
	}
	s.State, s.Ready, s.Details = seen.State, seen.Ready, seen.Details
	s.Since = seen.Since
	if seen.State == node.Crashed || seen.State == node.Exited {
		s.ExitStatus, s.OOMKilled = seen.ExitStatus, seen.OOMKilled
	}
}

func (w *workload) ended(s *node.Status, a *alloc) {
	s.State, s.Crashes = node.Exited, 0
	if !a.started.IsZero() {
		s.StartedAt = a.started
	}
	if a.failure != "" {
		s.ExitStatus = docker.StartStatus(a.failure)
	}
	s.Details = w.explain(a)
	if a.exit == 0 && a.failure == "" && a.client == api.AllocClientStatusComplete {
		s.Details = ""
	}
}

// explain says in words how an attempt ended.
func (w *workload) explain(a *alloc) string {
	switch {
	case a.client == api.AllocClientStatusLost:
		return "its node was lost"
	case a.failure != "":
		return "could not start: " + a.failure
	case a.oom:
		return fmt.Sprintf("killed: used more than its memory limit of %d MB", w.memoryMB)
	}
	return fmt.Sprintf("exited with status %d", a.exit)
}

// finish settles what follows from the status before.
func (w *workload) finish(s node.Status) node.Status {
	before := w.status
	if w.stopping {
		s.State, s.Ready = node.Stopping, false
	}
	if s.StartedAt.After(before.StartedAt) {
		s.Generation = before.Generation + 1
	}
	if s.Since.IsZero() || s.State == before.State {
		s.Since = before.Since
	}
	if s.State != before.State && (s.Since.IsZero() || !s.Since.After(before.Since)) {
		s.Since = time.Now()
	}
	return s
}

func sameStatus(a, b node.Status) bool {
	return a.State == b.State && a.Ready == b.Ready && a.Address == b.Address && a.Host == b.Host && a.Zone == b.Zone && a.Leaving == b.Leaving && a.StartedAt.Equal(b.StartedAt) &&
		a.Crashes == b.Crashes && a.ExitStatus == b.ExitStatus && a.OOMKilled == b.OOMKilled &&
		a.Details == b.Details && a.Generation == b.Generation
}

// refreshLocked brings a workload's status up to date and tells who waits.
func (e *Nomad) refreshLocked(w *workload) {
	var m *member
	var seen *node.Status
	if a := w.current(); a != nil {
		if m = e.nodes[a.nodeID]; m != nil {
			if s, ok := m.statuses[w.id]; ok {
				seen = &s
			}
		}
	}
	now := w.compose(m, seen, e.o.HealthyAfter)
	changed := !sameStatus(w.status, now)
	w.status = now
	close(w.news)
	w.news = make(chan struct{})
	if changed {
		e.movedLocked(w)
		e.Note(w.id)
	}
}

// idOf is the workload of a job, if it is a job of ours.
func (e *Nomad) idOf(jobID string) (string, bool) {
	return strings.CutPrefix(jobID, e.build.jobPrefix())
}
