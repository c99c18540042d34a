package routing

import (
	"cmp"
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// sourceKinds are the router's words for the store's.
var sourceKinds = map[string]router.SourceKind{
	store.SourceAny: router.AnyApp, store.SourceApp: router.App, store.SourceSpace: router.Space, store.SourceOrg: router.Org,
}

// admission says who may use a route of a domain that enforces policies: its policies, within the domain's scope.
func admission(tx *store.Tx, r *store.Route, scope string) (*router.Admission, error) {
	policies, _, err := store.RoutePolicies.List(tx, store.Query[store.RoutePolicy]{Where: []store.Cond{store.By("route", r.GUID)}})
	if err != nil {
		return nil, err
	}
	space, err := store.Spaces.Get(tx, r.SpaceGUID)
	if err != nil {
		return nil, err
	}
	c := &router.Admission{}
	switch scope {
	case store.ScopeAny:
	case store.ScopeOrg:
		c.Org = space.OrgGUID
	default: // the narrowest, whatever it says
		c.Space = space.GUID
	}
	for _, p := range policies {
		c.Sources = append(c.Sources, router.Source{Kind: sourceKinds[p.SourceType], GUID: p.SourceGUID})
	}
	slices.SortFunc(c.Sources, func(a, b router.Source) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.GUID, b.GUID)) })
	return c, nil
}

func sameAdmission(a, b *router.Admission) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Org == b.Org && a.Space == b.Space && slices.Equal(a.Sources, b.Sources)
}

// policyChanged marks the route that the policy is of, or was.
func (p *pass) policyChanged(tx *store.Tx, guid string, dirty map[string]bool) error {
	if before, was := p.policies[guid]; was {
		dirty[before] = true
		delete(p.policies, guid)
	}
	policy, err := store.RoutePolicies.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		p.policies[guid] = policy.RouteGUID
		dirty[policy.RouteGUID] = true
	}
	return err
}
