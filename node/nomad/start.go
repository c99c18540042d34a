package nomad

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
)

// placeTime bounds the wait for Nomad's decision; the job stands, so a later Start finds it made.
const placeTime = 30 * time.Second

func newWorkload(id string, once bool) *workload {
	return &workload{
		id: id, once: once, allocs: map[string]*alloc{}, news: make(chan struct{}),
		status: node.Status{ID: id, State: node.Starting, Since: time.Now()},
	}
}

// Start implements node.Engine: it registers a job and returns when Nomad has found a node for it. If there is none,
// the job is taken back.
func (e *Nomad) Start(ctx context.Context, w node.Workload) error {
	if err := docker.Check(w); err != nil {
		return err
	}
	defer e.starting.lock(w.ID)()
	if e.known(w.ID) {
		return nil
	}
	if stays(w) && e.o.Places != nil {
		return e.startThere(ctx, w)
	}
	if len(w.Volumes) > 0 || e.belongs(w.Labels) == node.EngineDocker {
		return e.startHere(ctx, w)
	}
	if err := e.checkImage(ctx, w); err != nil {
		return err
	}
	var x node.Extra
	if w.Finish != nil {
		var err error
		if x, err = w.Finish(""); err != nil { // Nomad has not chosen the node yet
			return fmt.Errorf("workload %s: %w", w.ID, err)
		}
	}
	process := w.Labels["process"]
	if process != "" { // one after another, so that each sees where its siblings are
		defer e.starting.lock("process/" + process)()
	}
	j, err := e.build.job(w, x, e.siblings(process))
	if err != nil {
		return err
	}
	return e.register(ctx, w, j)
}

func (e *Nomad) known(id string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, m := e.keptLocked(id)
	return e.workloads[id] != nil || m != nil || e.isHereLocked(id)
}

// siblings are the nodes and zones where instances of a process run, with how many.
func (e *Nomad) siblings(process string) siblings {
	nodes, zones := map[string]int{}, map[string]int{}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if process == "" {
		return siblings{}
	}
	for _, w := range e.workloads {
		a := w.current()
		if w.process != process || w.stopping || a == nil || a.over() {
			continue
		}
		nodes[a.nodeID]++
		if m := e.nodes[a.nodeID]; m != nil && m.zone != "" {
			zones[m.zone]++
		}
	}
	return siblings{nodes, zones}
}

func (e *Nomad) register(ctx context.Context, w node.Workload, j *api.Job) error {
	r, _, err := e.api.Jobs().EnforceRegister(j, 0, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil && strings.Contains(err.Error(), api.RegisterEnforceIndexErrPrefix) {
		return e.resync(ctx) // a Start that was cut off made it
	}
	if err != nil && strings.Contains(err.Error(), "node pool") {
		return fmt.Errorf("workload %s: %w: no node has joined the pool %q", w.ID, node.ErrInsufficient, w.Pool)
	}
	if err != nil {
		return failed("workload "+w.ID+": register", err)
	}
	mine := e.add(w, r.JobModifyIndex)
	why, err := e.placed(ctx, r.EvalID, w.Pool)
	if err != nil {
		return failed("workload "+w.ID+": place", err)
	}
	if why != "" {
		if err := e.stop(context.WithoutCancel(ctx), w.ID, -1); err != nil {
			return err
		}
		return fmt.Errorf("workload %s: %w: %s", w.ID, node.ErrInsufficient, why)
	}
	e.learnAllocs(ctx, mine)
	return nil
}

func (e *Nomad) add(w node.Workload, index uint64) *workload {
	n := newWorkload(w.ID, w.Once)
	n.labels, n.process, n.memoryMB, n.jobModify = maps.Clone(w.Labels), w.Labels["process"], w.MemoryMB, index
	n.status.Labels = n.labels
	e.mu.Lock()
	defer e.mu.Unlock()
	if have := e.workloads[w.ID]; have != nil { // an event was quicker
		have.jobModify, have.memoryMB = max(have.jobModify, index), w.MemoryMB
		return have
	}
	e.workloads[w.ID] = n
	e.Note(w.ID)
	return n
}

// placed waits for the end of an evaluation and says why there is no node in the pool that will do, if there is none.
func (e *Nomad) placed(ctx context.Context, evalID, pool string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	q := (&api.QueryOptions{WaitTime: 5 * time.Second}).WithContext(ctx)
	for {
		v, meta, err := e.api.Evaluations().Info(evalID, q)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return "", nil // undecided: the job stands and is seen in List
		case err != nil:
			return "", err
		case len(v.FailedTGAllocs) > 0:
			return e.build.explainPlacement(v.FailedTGAllocs, pool), nil
		case v.Status == api.EvalStatusComplete || v.Status == api.EvalStatusFailed || v.Status == api.EvalStatusCancelled:
			return "", nil
		}
		q.WaitIndex = meta.LastIndex
	}
}

// explainPlacement says in words why no node of the pool will do.
func (b *builder) explainPlacement(groups map[string]*api.AllocationMetric, pool string) string {
	for _, m := range groups {
		var parts []string
		switch {
		case m.NodesInPool == 0 && pool != "":
			return fmt.Sprintf("no node of the pool %q takes instances now: see cupola nodes, or join one with cupola node join --pool", pool)
		case m.NodesInPool == 0:
			return "no node takes instances now: see cupola nodes, or join one with cupola node join"
		}
		for _, what := range slices.Sorted(maps.Keys(m.DimensionExhausted)) {
			parts = append(parts, fmt.Sprintf("%s is short on %d", what, m.DimensionExhausted[what]))
		}
		for _, what := range slices.Sorted(maps.Keys(m.ConstraintFiltered)) {
			parts = append(parts, fmt.Sprintf("%d %s", m.ConstraintFiltered[what], b.unmet(what)))
		}
		if len(parts) == 0 {
			return fmt.Sprintf("none of %d nodes will do", m.NodesInPool)
		}
		return fmt.Sprintf("of %d nodes, %s", m.NodesInPool, strings.Join(parts, ", "))
	}
	return "no node will do"
}

// unmet says in words what is wrong with nodes that do not meet a constraint of a job, which Nomad names in its own.
func (b *builder) unmet(constraint string) string {
	for _, c := range []struct{ has, means string }{
		{b.metaKey(metaAgent), "did not join by cupola node join"}, {b.metaKey(metaFull), "have a full disk"},
		{"nomad.version", "run a Nomad before " + MinVersion}, {"missing drivers", "have no Docker that answers"},
	} {
		if strings.Contains(constraint, c.has) {
			return c.means
		}
	}
	return "do not meet " + strings.TrimSpace(constraint)
}

// learnAllocs reads where a workload was placed; the event stream says the same a moment later.
func (e *Nomad) learnAllocs(ctx context.Context, w *workload) {
	list, _, err := e.api.Jobs().Allocations(e.build.jobID(w.id), true, (&api.QueryOptions{Params: map[string]string{"resources": "true"}}).WithContext(ctx))
	if err != nil {
		return
	}
	for _, s := range list {
		e.allocChanged(s)
	}
}

// keyLocks let one caller at a time deal with a name.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	sync.Mutex
	users int
}

func (l *keyLocks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*keyLock{}
	}
	k := l.held[name]
	if k == nil {
		k = &keyLock{}
		l.held[name] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, name)
		}
	}
}
