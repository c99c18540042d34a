package api

import (
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// auditProcess writes that a process of the app was made or deleted (contract, 5.9).
func (c *Ctx) auditProcess(tx *store.Tx, app *store.App, place Place, p *store.Process, what string) error {
	return c.audit(tx, Event{Type: "audit.app.process." + what, Target: appTarget(app), Place: place, Data: map[string]any{"process_guid": p.GUID, "process_type": p.Type}})
}

// auditNewProcesses writes which processes the app has after change that it had not before.
func (c *Ctx) auditNewProcesses(tx *store.Tx, app *store.App, place Place, change func() error) error {
	before, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	for _, p := range after {
		if slices.ContainsFunc(before, func(b *store.Process) bool { return b.GUID == p.GUID }) {
			continue
		}
		if err := c.auditProcess(tx, app, place, p, "create"); err != nil {
			return err
		}
	}
	return nil
}

// auditProcessesEnd writes that the app's processes end with it.
func (c *Ctx) auditProcessesEnd(tx *store.Tx, app *store.App) error {
	processes, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if err := c.auditProcess(tx, app, c.place, p, "delete"); err != nil {
			return err
		}
	}
	return nil
}
