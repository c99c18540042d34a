package api

import (
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// includeForRoutePolicies adds the routes of policies and, of their sources, what there is and the caller may see.
func (c *Ctx) includeForRoutePolicies(tx *store.Tx, policies []*store.RoutePolicy) (map[string]any, error) {
	asked, err := c.wantsInclude("source", "route")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := map[string]any{}
	if slices.Contains(asked, "route") {
		p := c.s.routePresenter()
		guids := distinct(policies, func(p *store.RoutePolicy) string { return p.RouteGUID })
		if out["routes"], err = included(tx, store.Routes, guids, p.present, everything[store.Route]); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(asked, "source") {
		return out, nil
	}
	sources := func(kind string) []string {
		return distinct(policies, func(p *store.RoutePolicy) string {
			if p.SourceType != kind {
				return ""
			}
			return p.SourceGUID
		})
	}
	if out["apps"], err = included(tx, store.Apps, sources(store.SourceApp), c.s.presentApp, func(a *store.App) (bool, error) {
		return c.seesSpace(tx, a.SpaceGUID)
	}); err != nil {
		return nil, err
	}
	if out["spaces"], err = included(tx, store.Spaces, sources(store.SourceSpace), surely(c.s.presentSpace), func(s *store.Space) (bool, error) {
		return c.seesSpace(tx, s.GUID)
	}); err != nil {
		return nil, err
	}
	out["organizations"], err = included(tx, store.Orgs, sources(store.SourceOrg), surely(c.s.presentOrg), func(o *store.Org) (bool, error) {
		return c.Can(tx, Place{OrgGUID: o.GUID}, SeeOrg)
	})
	return out, err
}

func (c *Ctx) seesSpace(tx *store.Tx, guid string) (bool, error) {
	place, err := placeOf(tx, guid)
	if err != nil {
		return false, orElse(err, nil)
	}
	return c.Can(tx, place, SeeSpace)
}

// distinct are the values of records in order, each once, without the empty one.
func distinct[T any](all []*T, value func(*T) string) []string {
	values := slices.Sorted(slices.Values(guidsOf(all, value)))
	return slices.DeleteFunc(slices.Compact(values), func(v string) bool { return v == "" })
}

// included presents records by GUID; one that is not there, or is not to be seen, is passed over.
func included[T, R any](tx *store.Tx, table *store.Table[T], guids []string, present func(*store.Tx, *T) (R, error), sees func(*T) (bool, error)) (capi.Array[R], error) {
	out := capi.Array[R]{}
	for _, guid := range guids {
		rec, err := table.Get(tx, guid)
		if err != nil {
			if err = orElse(err, nil); err != nil {
				return nil, err
			}
			continue
		}
		if ok, err := sees(rec); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		shown, err := present(tx, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, shown)
	}
	return out, nil
}

func everything[T any](*T) (bool, error) { return true, nil }

// surely makes a presenter that cannot fail into one that could.
func surely[T, R any](present func(*T) R) func(*store.Tx, *T) (R, error) {
	return func(_ *store.Tx, rec *T) (R, error) { return present(rec), nil }
}

// policiesOf are the policies of routes, for the include of routes.
func (c *Ctx) policiesOf(tx *store.Tx, routes []*store.Route) ([]capi.RoutePolicy, error) {
	out := []capi.RoutePolicy{}
	guids := distinct(routes, func(r *store.Route) string { return r.GUID })
	policies, _, err := store.RoutePolicies.List(tx, store.Query[store.RoutePolicy]{Where: []store.Cond{store.By("route", guids...)}})
	for _, p := range policies {
		shown, err := c.s.presentRoutePolicy(tx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, shown)
	}
	return out, err
}
