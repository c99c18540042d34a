// Package appusage writes app usage events: what somebody who bills for the platform reads (CAPI v3, App Usage
// Events; contract, 5.9). The API and the loops call it in the transaction of the change that an event tells of.
package appusage

import (
	"errors"

	"github.com/cupola-paas/cupola/store"
)

// States of an event.
const (
	Started        = "STARTED"
	Stopped        = "STOPPED"
	BuildpackSet   = "BUILDPACK_SET"
	StagingStarted = "STAGING_STARTED"
	StagingStopped = "STAGING_STOPPED"
	TaskStarted    = "TASK_STARTED"
	TaskStopped    = "TASK_STOPPED"
)

// Process tells that p runs, with was as it ran before: nil when it did not. A change that nobody pays for
// writes nothing.
func Process(tx *store.Tx, app *store.App, p, was *store.Process) error {
	if was != nil && was.Instances == p.Instances && was.MemoryMB == p.MemoryMB {
		return nil
	}
	e, err := newEvent(tx, app, Started)
	if e == nil || err != nil {
		return err
	}
	e.PreviousState = Stopped
	setProcess(e, p)
	if was != nil {
		e.PreviousState = Started
		e.PreviousMemoryMB, e.PreviousInstances = &was.MemoryMB, &was.Instances
	}
	return store.AppUsageEvents.Put(tx, e)
}

// ProcessEnded tells that p, which ran, runs no more.
func ProcessEnded(tx *store.Tx, app *store.App, p *store.Process) error {
	e, err := newEvent(tx, app, Stopped)
	if e == nil || err != nil {
		return err
	}
	e.PreviousState = Started
	setProcess(e, p)
	e.PreviousMemoryMB, e.PreviousInstances = &p.MemoryMB, &p.Instances
	return store.AppUsageEvents.Put(tx, e)
}

func setProcess(e *store.AppUsageEvent, p *store.Process) {
	e.ProcessGUID, e.ProcessType = p.GUID, p.Type
	e.MemoryMB, e.Instances = &p.MemoryMB, &p.Instances
}

// Task tells that a task began or ended.
func Task(tx *store.Tx, app *store.App, t *store.Task, state string) error {
	e, err := newEvent(tx, app, state)
	if e == nil || err != nil {
		return err
	}
	one := 1
	e.TaskGUID, e.TaskName, e.MemoryMB, e.Instances = t.GUID, t.Name, &t.MemoryMB, &one
	if state == TaskStopped {
		e.PreviousState, e.PreviousMemoryMB, e.PreviousInstances = TaskStarted, &t.MemoryMB, &one
	}
	return store.AppUsageEvents.Put(tx, e)
}

// Staging tells that a build began or ended.
func Staging(tx *store.Tx, app *store.App, b *store.Build, state string) error {
	e, err := newEvent(tx, app, state)
	if e == nil || err != nil {
		return err
	}
	one := 1
	e.MemoryMB, e.Instances = &b.StagingMemoryMB, &one
	if state == StagingStopped {
		e.PreviousState, e.PreviousMemoryMB, e.PreviousInstances = StagingStarted, &b.StagingMemoryMB, &one
	}
	return store.AppUsageEvents.Put(tx, e)
}

// Buildpack tells which buildpack a build of the app used.
func Buildpack(tx *store.Tx, app *store.App, guid, name string) error {
	e, err := newEvent(tx, app, BuildpackSet)
	if e == nil || err != nil {
		return err
	}
	e.BuildpackGUID, e.BuildpackName = guid, name
	return store.AppUsageEvents.Put(tx, e)
}

// newEvent is nil when the app's space is being deleted: then the deletion has told the end already.
func newEvent(tx *store.Tx, app *store.App, state string) (*store.AppUsageEvent, error) {
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &store.AppUsageEvent{
		State: state, AppGUID: app.GUID, AppName: app.Name, SpaceGUID: space.GUID, SpaceName: space.Name, OrgGUID: space.OrgGUID,
	}, nil
}

// Reseed deletes all events and writes STARTED for whatever runs, so that reckoning can begin anew.
func Reseed(tx *store.Tx) error {
	var guids []string
	for e := range store.AppUsageEvents.All(tx) {
		guids = append(guids, e.GUID)
	}
	for _, guid := range guids {
		if err := store.AppUsageEvents.Delete(tx, guid); err != nil {
			return err
		}
	}
	apps, _, err := store.Apps.List(tx, store.Query[store.App]{Where: []store.Cond{store.By("state", store.AppStarted)}})
	if err != nil {
		return err
	}
	for _, app := range apps {
		processes, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", app.GUID)}})
		if err != nil {
			return err
		}
		for _, p := range processes {
			if err := Process(tx, app, p, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
