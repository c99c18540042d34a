package nomad

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"
)

// stream is one subscription to Nomad's events.
type stream struct {
	events <-chan *api.Events
	cancel context.CancelFunc
}

func (e *Nomad) subscribe(ctx context.Context) (stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	topics := map[api.Topic][]string{api.TopicJob: {"*"}, api.TopicAllocation: {"*"}, api.TopicNode: {"*"}}
	events, err := e.api.EventStream().Stream(ctx, topics, 0, &api.QueryOptions{})
	if err != nil {
		cancel()
		return stream{}, failed("follow Nomad's events", err)
	}
	return stream{events, cancel}, nil
}

// follow hands on events until the engine closes, and compares everything after each interruption: Nomad keeps
// only its last events, so a stream that broke may have a gap.
func (e *Nomad) follow(s stream) {
	defer func() { s.cancel() }()
	for {
		select {
		case <-e.ctx.Done():
			return
		case batch, ok := <-s.events:
			if ok && batch.Err == nil {
				for n := range batch.Events {
					e.dispatch(&batch.Events[n])
				}
				continue
			}
			s.cancel()
			if e.ctx.Err() != nil {
				return
			}
			err := fmt.Errorf("the event stream ended")
			if ok {
				err = batch.Err
			}
			e.setDown(err)
			if s, ok = e.reconnect(); !ok {
				return
			}
		}
	}
}

// reconnect waits for Nomad to be back and looks at everything again.
func (e *Nomad) reconnect() (stream, bool) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		select {
		case <-e.ctx.Done():
			return stream{cancel: func() {}}, false
		case <-time.After(pause):
		}
		s, err := e.subscribe(e.ctx)
		if err == nil {
			if err = e.resync(e.ctx); err == nil {
				e.setDown(nil)
				return s, true
			}
			s.cancel()
		}
		e.setDown(err)
	}
}

func (e *Nomad) setDown(err error) {
	e.mu.Lock()
	was := e.down
	e.down = err
	e.mu.Unlock()
	switch {
	case err != nil && was == nil:
		e.log.Warn("Nomad cannot be followed; what runs goes on, and is looked at again when it is back", "error", err)
	case err == nil && was != nil:
		e.log.Info("Nomad is back")
		e.Note()
	}
}

// rounds compares everything, slowly, all the time.
func (e *Nomad) rounds() {
	tick := time.NewTicker(e.o.Resync)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			if e.localNode != "" && time.Since(e.pullMade) > pullRenewal {
				if err := e.tellLocal(e.ctx); err != nil && e.ctx.Err() == nil {
					e.log.Warn("the node on this machine keeps its old password for images for now", "error", err)
				}
			}
			if err := e.resync(e.ctx); err != nil && e.ctx.Err() == nil {
				e.log.Warn("compare with Nomad", "error", err)
			}
			e.hurry(e.ctx, time.Now())
		}
	}
}

func (e *Nomad) dispatch(x *api.Event) {
	switch x.Topic {
	case api.TopicAllocation:
		if a, err := x.Allocation(); err == nil && a != nil {
			s := a.Stub()
			s.AllocatedResources = a.AllocatedResources
			e.allocChanged(s)
		}
	case api.TopicJob:
		if _, ours := e.idOf(x.Key); ours {
			e.jobChanged(x)
		}
	case api.TopicNode:
		if err := e.learnNode(e.ctx, x.Key); err != nil && e.ctx.Err() == nil {
			e.log.Warn("read a node of Nomad", "node", x.Key, "error", err)
		}
	}
}

// allocChanged notes one attempt of a workload that we know.
func (e *Nomad) allocChanged(s *api.AllocationListStub) {
	id, ours := e.idOf(s.JobID)
	if !ours {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.workloads[id]
	if w == nil {
		return
	}
	if have := w.allocs[s.ID]; have != nil && have.modify > s.ModifyIndex {
		return
	}
	now := allocOf(s)
	if have := w.allocs[s.ID]; have != nil && s.AllocatedResources == nil { // not every list has them
		now.ports, now.memoryMB = have.ports, have.memoryMB
	}
	w.allocs[s.ID] = now
	e.refreshLocked(w)
}

// jobChanged deals with a job of ours that somebody wrote, stopped or removed.
func (e *Nomad) jobChanged(x *api.Event) {
	id, _ := e.idOf(x.Key)
	e.mu.RLock()
	w := e.workloads[id]
	other := w != nil && !w.stopping && w.jobModify != 0 && x.Index > w.jobModify
	e.mu.RUnlock()
	if other {
		e.wg.Go(func() { e.mend(e.ctx, id) })
	}
}

func (e *Nomad) dropLocked(w *workload) {
	delete(e.workloads, w.id)
	w.stopping = true
	close(w.news)
	w.news = make(chan struct{})
	e.movedLocked(w)
	e.Note(w.id)
}

// resync compares Nomad's jobs, allocations and nodes with what is in memory.
func (e *Nomad) resync(ctx context.Context) error {
	e.taking.Lock()
	defer e.taking.Unlock()
	if err := e.learnNodes(ctx); err != nil {
		return err
	}
	prefix := e.build.jobPrefix()
	q := (&api.QueryOptions{Prefix: prefix}).WithContext(ctx)
	e.mu.RLock()
	before := make(map[string]bool, len(e.workloads))
	for id := range e.workloads {
		before[id] = true
	}
	e.mu.RUnlock()
	strays := e.strays()
	jobs, _, err := e.api.Jobs().ListOptions(&api.JobListOptions{Fields: &api.JobListFields{Meta: true}}, q)
	if err != nil {
		return failed("list the jobs of Nomad", err)
	}
	q = (&api.QueryOptions{Filter: fmt.Sprintf("JobID matches %q", "^"+prefix), Params: map[string]string{"resources": "true"}}).WithContext(ctx)
	allocs, _, err := e.api.Allocations().List(q)
	if err != nil {
		return failed("list the allocations of Nomad", err)
	}
	e.takeJobs(jobs, before)
	for _, s := range allocs {
		e.allocChanged(s)
	}
	e.endOrphans(strays)
	return nil
}

// takeJobs makes the workloads in memory those of the list. before are those that were known when it was asked for.
func (e *Nomad) takeJobs(jobs []*api.JobListStub, before map[string]bool) {
	seen := map[string]bool{}
	for _, j := range jobs {
		id, _ := e.idOf(j.ID)
		seen[id] = true
		e.mu.Lock()
		w := e.workloads[id]
		if w == nil && !before[id] {
			w = newWorkload(id, j.Type == api.JobTypeBatch)
			if err := json.Unmarshal([]byte(j.Meta[metaLabels]), &w.labels); err != nil {
				e.log.Warn("a job of ours without labels", "job", j.ID, "error", err)
			}
			w.process = w.labels["process"]
			w.status.Labels = w.labels
			e.workloads[id] = w
			if j.Stop { // by a Stop that was cut off, or by hand while nobody watched
				w.stopping = true
				e.wg.Go(func() { e.endStopped(id) })
			}
			e.refreshLocked(w)
			e.Note(id)
		}
		edited := w != nil && !w.stopping && (w.jobModify != j.JobModifyIndex)
		e.mu.Unlock()
		if edited {
			e.wg.Go(func() { e.mend(e.ctx, id) })
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, w := range e.workloads {
		if before[id] && !seen[id] && !w.stopping {
			e.dropLocked(w)
		}
	}
}
