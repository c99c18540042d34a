package api

import (
	"encoding/json"

	"github.com/cupola-paas/cupola/store"
)

// Event is an audit event about to be written (contract, 5.9).
type Event struct {
	Type   string // such as audit.app.create
	Target store.Actor
	Place  Place
	Data   map[string]any
}

// audit writes the event with the caller as actor, in the transaction of the change that it tells of.
func (c *Ctx) audit(tx *store.Tx, e Event) error { return auditBy(tx, c.actor(), e) }

// auditBy is audit with another actor, where the caller is no user.
func auditBy(tx *store.Tx, actor store.Actor, e Event) error {
	data := e.Data
	if data == nil {
		data = map[string]any{}
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return store.AuditEvents.Put(tx, &store.AuditEvent{
		Type: e.Type, Actor: actor, Target: e.Target, Data: raw,
		SpaceGUID: e.Place.SpaceGUID, OrgGUID: e.Place.OrgGUID,
	})
}

// request wraps what a client asked for as audit data; secrets must have been taken out.
func request(fields map[string]any) map[string]any { return map[string]any{"request": fields} }
