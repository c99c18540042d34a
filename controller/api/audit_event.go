package api

import (
	"encoding/json"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) auditEventRoutes() []Route {
	return []Route{
		index("/v3/audit_events", signedIn(), s.listAuditEvents, "types", "target_guids", "space_guids", "organization_guids"),
		get("/v3/audit_events/{guid}", signedIn(), s.getAuditEvent),
	}
}

func (s *Server) presentEvent(_ *store.Tx, e *store.AuditEvent) (capi.AuditEvent, error) {
	out := capi.AuditEvent{
		Resource: resource(&e.Meta), Type: e.Type,
		Actor:  capi.Actor{GUID: e.Actor.GUID, Type: e.Actor.Type, Name: e.Actor.Name},
		Target: capi.Actor{GUID: e.Target.GUID, Type: e.Target.Type, Name: e.Target.Name},
		Space:  capi.Ref(e.SpaceGUID), Organization: capi.Ref(e.OrgGUID),
		Links: capi.Links{"self": s.link("/v3/audit_events/" + e.GUID)},
	}
	if len(e.Data) == 0 {
		return out, nil
	}
	return out, json.Unmarshal(e.Data, &out.Data)
}

// auditScope is where the caller may read events: everywhere, in whole orgs, and in single spaces.
type auditScope struct {
	all          bool
	orgs, spaces []string
}

func (c *Ctx) auditScope(tx *store.Tx) (auditScope, error) {
	where, err := c.Where(tx, SeeEvents)
	return auditScope{all: where.All, orgs: where.Orgs, spaces: where.Spaces}, err
}

func (a auditScope) match(e *store.AuditEvent) bool {
	return a.all || e.OrgGUID != "" && slices.Contains(a.orgs, e.OrgGUID) || e.SpaceGUID != "" && slices.Contains(a.spaces, e.SpaceGUID)
}

// listAuditEvents leaves as much as it can to the indexes, for there are many events.
func (s *Server) listAuditEvents(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		scope, err := c.auditScope(tx)
		if err != nil {
			return nil, err
		}
		l := Listing[store.AuditEvent, capi.AuditEvent]{
			Table: store.AuditEvents, Meta: func(e *store.AuditEvent) *store.Meta { return &e.Meta }, Present: s.presentEvent,
		}
		switch {
		case scope.all:
		case len(scope.orgs) == 0:
			l.Where = append(l.Where, store.By("space", scope.spaces...))
		default:
			l.Where = append(l.Where, store.By("place", slices.Concat(scope.orgs, scope.spaces)...))
		}
		l.Where = c.filterBy(l.Where, "types", "type", "target_guids", "target", "space_guids", "space", "organization_guids", "org")
		if not, ok := c.Filter.List("target_guids[not]"); ok {
			l.Where = append(l.Where, store.NotBy("target", not...))
		}
		return answerList(c, tx, l)
	})
}

func (s *Server) getAuditEvent(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		scope, err := c.auditScope(tx)
		if err != nil {
			return nil, err
		}
		e, err := store.AuditEvents.Get(tx, c.Path("guid"))
		if err != nil || !scope.match(e) {
			return nil, firstOf(orElse(err, nil), capi.NotFound("Event"))
		}
		return s.presentEvent(tx, e)
	})
}
