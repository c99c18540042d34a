package scheduling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// Labels of a workload, given back by the engine.
const (
	labelApp     = "app"
	labelProcess = "process"
	labelType    = "process_type"
	labelVersion = "version"
	labelIndex   = "index"
	labelService = "service_instance" // of data services, which package dataservice runs
)

// newInstanceGUID has the shape 8-4-4-4-4 that Cloud Foundry's instance ids have.
func newInstanceGUID() string { return uuid.NewString()[:28] }

// stepInstances compares, writes the records, and starts workers for what is to be started and stopped.
func (l *Loop) stepInstances(ctx context.Context, s scope, seen map[string]node.Status) error {
	var p *plan
	err := l.DB.View(func(tx *store.Tx) (err error) {
		p, err = l.readPlan(tx, s, seen)
		return err
	})
	if err != nil {
		return fmt.Errorf("plan instances: %w", err)
	}
	if err := l.commit(p); err != nil {
		return fmt.Errorf("write instances: %w", err)
	}
	l.reportCrashes(p.crash)
	for _, id := range p.stop {
		l.goStop(ctx, id)
	}
	for _, o := range p.start {
		l.book.later(o.instance.AppGUID, l.goStart(ctx, o))
	}
	return nil
}

func (l *Loop) readPlan(tx *store.Tx, s scope, seen map[string]node.Status) (*plan, error) {
	want, err := l.readWanted(tx, s)
	if err != nil {
		return nil, err
	}
	records, err := l.readInstances(tx, s)
	if err != nil {
		return nil, err
	}
	tasks := map[string]bool{}
	for id, s := range seen {
		if s.Labels[labelProcess] == "" {
			if _, err := store.Tasks.Get(tx, id); err == nil {
				tasks[id] = true
			}
		}
	}
	return makePlan(want, records, seen, tasks, newInstanceGUID), nil
}

func (l *Loop) readInstances(tx *store.Tx, s scope) (records []*store.Instance, err error) {
	if s.all {
		records = slices.Collect(store.Instances.All(tx))
	} else {
		records, _, err = store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", s.guids()...)}})
	}
	for _, r := range records {
		l.book.records[r.GUID] = r.AppGUID
	}
	return records, err
}

// commit writes the plan down, in several transactions if it is long: others get their turn between them, and the
// store's time for one grows faster than what is in it. What is left of a plan after an error is in the next one.
func (l *Loop) commit(p *plan) error {
	crashed := map[string]bool{}
	for _, r := range p.crash {
		crashed[r.GUID] = true
	}
	for part := range slices.Chunk(p.put, writeAtOnce) {
		if err := l.DB.Update(func(tx *store.Tx) error { return putInstances(tx, part, crashed) }); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(p.remove, writeAtOnce) {
		if err := l.DB.Update(func(tx *store.Tx) error { return removeInstances(tx, part) }); err != nil {
			return err
		}
	}
	return nil
}

// putInstances writes records, and the events of those that have crashed. One that the API deleted meanwhile stays
// deleted.
func putInstances(tx *store.Tx, records []*store.Instance, crashed map[string]bool) error {
	for _, r := range records {
		was := &store.Instance{}
		if !r.CreatedAt.IsZero() {
			var err error
			if was, err = store.Instances.Get(tx, r.GUID); errors.Is(err, store.ErrNotFound) {
				continue
			} else if err != nil {
				return err
			}
		}
		if r.Since.IsZero() {
			r.Since = tx.Now
		}
		if err := store.Instances.Put(tx, r); err != nil {
			return err
		}
		if err := putReadinessEvent(tx, was, r); err != nil {
			return err
		}
		if crashed[r.GUID] {
			if err := putCrashEvents(tx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeInstances(tx *store.Tx, guids []string) error {
	for _, guid := range guids {
		if err := store.Instances.Delete(tx, guid); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// putCrashEvents writes the two audit events that clients look for (contract 5.7).
func putCrashEvents(tx *store.Tx, r *store.Instance) error {
	return putInstanceEvents(tx, r, map[string]any{
		"reason": "CRASHED", "exit_description": r.Details,
		"exit_status": r.ExitStatus, "crash_count": r.CrashCount, "crash_timestamp": tx.Now.UnixNano(),
	}, "app.crash", "audit.app.process.crash")
}

// putReadinessEvent writes down that the readiness check of a running instance passes now, or does no more.
func putReadinessEvent(tx *store.Tx, was, is *store.Instance) error {
	ready := was.State == store.InstanceRunning && was.Routable
	if is.State != store.InstanceRunning || ready == is.Routable {
		return nil
	}
	p, err := store.Processes.Get(tx, is.ProcessGUID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !p.ReadinessChecked() {
		return nil
	} else if err != nil {
		return err
	}
	kind := "audit.app.process.ready"
	if !is.Routable {
		kind = "audit.app.process.not-ready"
	}
	return putInstanceEvents(tx, is, map[string]any{}, kind)
}

// putInstanceEvents writes audit events whose actor is a process; data is what they say beside which instance it is.
func putInstanceEvents(tx *store.Tx, r *store.Instance, data map[string]any, kinds ...string) error {
	app, err := store.Apps.Get(tx, r.AppGUID)
	if err != nil {
		return nil // the app is being deleted
	}
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if err != nil {
		return nil
	}
	data["instance"], data["index"] = r.GUID, r.Index
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		e := &store.AuditEvent{
			Type:      kind,
			Actor:     store.Actor{GUID: r.ProcessGUID, Type: "process", Name: r.ProcessType},
			Target:    store.Actor{GUID: app.GUID, Type: "app", Name: app.Name},
			Data:      raw,
			SpaceGUID: space.GUID, OrgGUID: space.OrgGUID,
		}
		if err := store.AuditEvents.Put(tx, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loop) reportCrashes(crashed []*store.Instance) {
	for _, r := range crashed {
		index := strconv.Itoa(r.Index)
		l.Logs.Platform(r.AppGUID, "API", "0", fmt.Sprintf("Process %s instance %s crashed: %s", r.ProcessType, index, r.Details))
		l.Log.Info("instance crashed", "app", r.AppGUID, "process", r.ProcessGUID, "index", r.Index, "details", r.Details)
	}
}

// claim reserves an id for one worker.
func (l *Loop) claim(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[id] {
		return false
	}
	l.busy[id] = true
	return true
}

// release gives it back, and has the app looked at again.
func (l *Loop) release(id, app string) {
	l.mu.Lock()
	delete(l.busy, id)
	l.ended[app] = true
	l.mu.Unlock()
	l.nudge()
}

// goStart starts a workload unless that is under way. After a failed Start it waits: the time left is returned.
func (l *Loop) goStart(ctx context.Context, o startOrder) time.Duration {
	id := o.instance.GUID
	l.mu.Lock()
	left := time.Until(l.failures[id].until)
	l.mu.Unlock()
	if left > 0 {
		return left
	}
	if !l.claim(id) {
		return 0
	}
	l.workers.Go(func() {
		defer l.release(id, o.instance.AppGUID)
		l.starting <- struct{}{}
		defer func() { <-l.starting }()
		if ctx.Err() == nil {
			l.startInstance(ctx, o)
		}
	})
	return 0
}

func (l *Loop) startInstance(ctx context.Context, o startOrder) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	id := o.instance.GUID
	w, err := l.workload(o)
	if err == nil {
		err = l.Engine.Start(ctx, w)
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // we are stopping; the next run takes it up
	}
	count := l.noteStart(id, err)
	if err == nil {
		return
	}
	l.Log.Warn("instance not started", "app", o.instance.AppGUID, "instance", id, "error", err)
	l.recordFailure(id, err, count)
}

// noteStart remembers how a Start ended, and until when to wait after a failure. It returns how many have
// failed in a row.
func (l *Loop) noteStart(id string, err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.failures, id)
		return 0
	}
	f := l.failures[id]
	f.count++
	f.until = time.Now().Add(min(time.Minute, time.Second<<min(f.count, 6)))
	l.failures[id] = f
	return f.count
}

// recordFailure shows in the record why an instance could not be started.
func (l *Loop) recordFailure(id string, cause error, count int) {
	err := l.DB.Update(func(tx *store.Tx) error {
		r, err := store.Instances.Get(tx, id)
		if err != nil {
			return err
		}
		r.Details, r.Routable = cause.Error(), false
		switch {
		case errors.Is(cause, node.ErrUnavailable):
			r.State = store.InstanceStarting
		case errors.Is(cause, node.ErrInsufficient):
			r.State = store.InstanceDown
			if !strings.Contains(r.Details, "insufficient resources") {
				r.Details = "insufficient resources: " + r.Details
			}
		default:
			r.State, r.CrashCount = store.InstanceCrashed, count
		}
		r.Since = tx.Now
		return store.Instances.Put(tx, r)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		l.Log.Error("instance state not written", "instance", id, "error", err)
	}
}

// goStop drains and stops a workload, unless that is under way.
func (l *Loop) goStop(ctx context.Context, id string) {
	if !l.claim(id) {
		return
	}
	app := l.book.workloads[id]
	l.workers.Go(func() {
		defer l.release(id, app)
		drain, cancel := context.WithTimeout(ctx, drainGrace)
		defer cancel()
		if err := l.Router.WaitDrained(drain, id); err != nil && ctx.Err() != nil {
			return
		}
		stop, cancel := context.WithTimeout(ctx, 3*stopGrace)
		defer cancel()
		if err := l.Engine.Stop(stop, id, stopGrace); err != nil && ctx.Err() == nil {
			l.Log.Warn("instance not stopped", "instance", id, "error", err)
			return
		}
		l.mu.Lock()
		delete(l.failures, id)
		l.mu.Unlock()
	})
}
