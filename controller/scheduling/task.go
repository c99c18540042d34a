package scheduling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// States of a task (CAPI v3).
const (
	taskPending   = "PENDING"
	taskRunning   = "RUNNING"
	taskCanceling = "CANCELING"
	taskSucceeded = "SUCCEEDED"
	taskFailed    = "FAILED"
)

// lastWords is how long the workload of an ended task stays, because its log goes with it: a task that lives for some
// milliseconds has ended before package collect, which asks again 200 ms after it asked too early, reads what it said.
const lastWords = 2 * time.Second

// stepTasks starts pending tasks, stops cancelled ones, writes down how finished ones ended and removes their
// workloads.
func (l *Loop) stepTasks(ctx context.Context, s scope, seen map[string]node.Status) error {
	which := []store.Cond{store.By("state", taskPending, taskRunning, taskCanceling)}
	if !s.all {
		which = []store.Cond{store.By("app", s.guids()...), which[0]}
	}
	var open []*store.Task
	left := map[string]time.Duration{} // how long an ended task's workload stays, by id
	err := l.DB.View(func(tx *store.Tx) (err error) {
		for id, w := range seen {
			if w.State != node.Exited {
				continue
			}
			if t, err := store.Tasks.Get(tx, id); err == nil {
				left[id] = lastWords - tx.Now.Sub(t.UpdatedAt)
			}
		}
		open, _, err = store.Tasks.List(tx, store.Query[store.Task]{Where: which})
		return err
	})
	if err != nil {
		return fmt.Errorf("read tasks: %w", err)
	}
	live := map[string]bool{}
	for _, t := range open {
		live[t.GUID], l.book.records[t.GUID] = true, t.AppGUID
		l.stepTask(ctx, t, seen)
	}
	for id, w := range seen {
		switch {
		case w.State != node.Exited || live[id] || w.Labels[labelProcess] != "":
		case left[id] > 0:
			l.book.later(w.Labels[labelApp], left[id])
		default:
			l.goStop(ctx, id) // its end is written down; the container may go
		}
	}
	return nil
}

func (l *Loop) stepTask(ctx context.Context, t *store.Task, seen map[string]node.Status) {
	s, there := seen[t.GUID]
	switch {
	case t.State == taskCanceling:
		if there && s.State != node.Exited {
			l.goStop(ctx, t.GUID)
			return
		}
		l.endTask(t, taskFailed, "task was cancelled")
	case !there && t.State == taskRunning:
		l.endTask(t, taskFailed, "the task's container has gone")
	case !there:
		l.goStartTask(ctx, t)
	case s.State == node.Exited && s.ExitStatus == 0:
		l.endTask(t, taskSucceeded, "")
	case s.State == node.Exited:
		l.endTask(t, taskFailed, taskFailure(s))
	case t.State == taskPending:
		l.setTask(t.GUID, taskPending, func(t *store.Task) { t.State = taskRunning })
	}
}

func taskFailure(s node.Status) string {
	if s.Details != "" {
		return s.Details
	}
	return fmt.Sprintf("exited with status %d", s.ExitStatus)
}

// endTask writes the end first; a later pass removes the workload.
func (l *Loop) endTask(t *store.Task, state, reason string) {
	l.setTask(t.GUID, t.State, func(t *store.Task) { t.State, t.FailureReason = state, reason })
}

// setTask changes a task if it is still in the state that the decision was made on.
func (l *Loop) setTask(guid, from string, change func(*store.Task)) {
	err := l.DB.Update(func(tx *store.Tx) error {
		t, err := store.Tasks.Get(tx, guid)
		if err != nil || t.State != from {
			return err
		}
		change(t)
		if err := store.Tasks.Put(tx, t); err != nil || t.State != taskSucceeded && t.State != taskFailed {
			return err
		}
		app, err := store.Apps.Get(tx, t.AppGUID)
		if err != nil {
			return err
		}
		return appusage.Task(tx, app, t, appusage.TaskStopped)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		l.Log.Error("task state not written", "task", guid, "error", err)
	}
}

func (l *Loop) goStartTask(ctx context.Context, t *store.Task) {
	if !l.claim(t.GUID) {
		return
	}
	l.workers.Go(func() {
		defer l.release(t.GUID, t.AppGUID)
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		w, err := l.taskWorkload(t)
		if err == nil {
			err = l.Engine.Start(ctx, w)
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, node.ErrUnavailable) {
			return // the next pass sees it run, or tries again
		}
		l.setTask(t.GUID, taskPending, func(t *store.Task) { t.State, t.FailureReason = taskFailed, err.Error() })
	})
}

func (l *Loop) taskWorkload(t *store.Task) (node.Workload, error) {
	var w node.Workload
	var d *store.Droplet
	err := l.DB.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, t.AppGUID)
		if err != nil {
			return err
		}
		if d, err = store.Droplets.Get(tx, t.DropletGUID); err != nil {
			return err
		}
		w = l.image(d)
		w.Egress, w.Peer, w.Finish = egress(app), app.GUID, l.Finish(t.GUID, app.GUID)
		if w.Finish, err = withBindings(tx, app, w.Finish); err != nil {
			return err
		}
		if w.Pool, err = Pool(tx, app); err != nil {
			return err
		}
		w.Env, err = l.Env.Task(tx, app, t, d)
		return err
	})
	if err != nil {
		return w, err
	}
	w.ID, w.Once = t.GUID, true
	w.Labels = map[string]string{labelApp: t.AppGUID}
	w.Entrypoint, w.Command = command(d, "", t.Command)
	w.MemoryMB, w.DiskMB = t.MemoryMB, t.DiskMB
	return w, nil
}
