package scheduling

import (
	"encoding/json"

	"github.com/cupola-paas/cupola/store"
)

// putProcessEvent writes an audit event that a process of the app caused, not somebody.
func putProcessEvent(tx *store.Tx, app *store.App, p *store.Process, kind string, data map[string]any) error {
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if err != nil {
		return nil // the space is being deleted
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return store.AuditEvents.Put(tx, &store.AuditEvent{
		Type: kind, Data: raw, SpaceGUID: space.GUID, OrgGUID: space.OrgGUID,
		Actor:  store.Actor{GUID: p.GUID, Type: "process", Name: p.Type},
		Target: store.Actor{GUID: app.GUID, Type: "app", Name: app.Name},
	})
}
