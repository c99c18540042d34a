package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// hiddenData stands for secrets in audit events.
const hiddenData = "[PRIVATE DATA HIDDEN]"

// needMarket refuses callers without a token while the marketplace is hidden from them.
func (c *Ctx) needMarket(tx *store.Tx) error {
	if c.who != nil {
		return nil
	}
	hidden, err := flagOn(tx, "hide_marketplace_from_unauthenticated_users", false)
	if hidden && err == nil {
		err = capi.NotAuthenticated.Errorf("Authentication error")
	}
	return err
}

// plansInView narrows plans to those that the caller may use or audit, and to those for the spaces and orgs that the
// query names.
func (c *Ctx) plansInView(tx *store.Tx) ([]store.Cond, error) {
	if err := c.needMarket(tx); err != nil {
		return nil, err
	}
	var where []store.Cond
	if !c.everywhere(AdminRead) {
		places, err := c.marketPlaces(tx)
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("visible", places...))
	}
	if spaces, ok := c.Filter.List("space_guids"); ok {
		places := append([]string{store.PublicPlan}, spaces...)
		for _, guid := range spaces {
			place, err := placeOf(tx, guid)
			if orElse(err, nil) != nil {
				return nil, err
			}
			if err == nil {
				places = append(places, place.OrgGUID)
			}
		}
		where = append(where, store.By("visible", places...))
	}
	if orgs, ok := c.Filter.List("organization_guids"); ok {
		spaces, err := spacesOf(tx, orgs)
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("visible", slices.Concat([]string{store.PublicPlan}, orgs, spaces)...))
	}
	return where, nil
}

// marketPlaces are the values of the index "visible" whose plans the caller may use.
func (c *Ctx) marketPlaces(tx *store.Tx) ([]string, error) {
	if c.who == nil {
		return []string{store.PublicPlan}, nil
	}
	orgs, _, err := c.visibleOrgs(tx)
	if err != nil {
		return nil, err
	}
	spaces, _, err := c.visibleSpaces(tx, SeeSpace)
	return slices.Concat([]string{store.PublicPlan}, orgs, spaces), err
}

// usablePlan reports whether service instances of a plan may be made at a place.
func usablePlan(p *store.ServicePlan, place Place) bool {
	if p.SpaceGUID != "" {
		return p.SpaceGUID == place.SpaceGUID
	}
	return p.Public || slices.Contains(p.OrgGUIDs, place.OrgGUID)
}

// seesPlan reports whether the caller may see a plan: to use it, or since there is an instance of it in view.
func (c *Ctx) seesPlan(tx *store.Tx, p *store.ServicePlan) (bool, error) {
	if p.Public || c.everywhere(AdminRead) {
		return true, c.needMarket(tx)
	}
	if c.who == nil {
		return false, nil
	}
	places, err := c.marketPlaces(tx)
	if err != nil {
		return false, err
	}
	if slices.Contains(places, p.SpaceGUID) && p.SpaceGUID != "" || slices.ContainsFunc(p.OrgGUIDs, func(o string) bool { return slices.Contains(places, o) }) {
		return true, nil
	}
	spaces, _, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil {
		return false, err
	}
	n, err := store.ServiceInstances.Count(tx, store.By("plan", p.GUID), store.By("in_space", spaces...))
	return n > 0, err
}

func planAt(tx *store.Tx, c *Ctx) (Place, error) {
	p, err := store.ServicePlans.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	if ok, err := c.seesPlan(tx, p); err != nil || !ok {
		return Place{}, firstOf(err, store.ErrNotFound)
	}
	return marketPlace(tx, p.SpaceGUID)
}

func offeringAt(tx *store.Tx, c *Ctx) (Place, error) {
	o, err := store.ServiceOfferings.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	place, err := marketPlace(tx, o.SpaceGUID)
	if err != nil || c.everywhere(AdminRead) {
		return place, err
	}
	plans, _, err := store.ServicePlans.List(tx, store.Query[store.ServicePlan]{Where: []store.Cond{store.By("offering", o.GUID)}})
	if err != nil {
		return Place{}, err
	}
	for _, p := range plans {
		if ok, err := c.seesPlan(tx, p); err != nil || ok {
			return place, err
		}
	}
	return Place{}, store.ErrNotFound
}

// asksFields reads the fields parameters and refuses members that are not known.
func (c *Ctx) asksFields(known map[string][]string) (map[string][]string, error) {
	asked := map[string][]string{}
	for resource, members := range known {
		names, ok := c.Filter.List("fields[" + resource + "]")
		if !ok {
			continue
		}
		for _, n := range names {
			if !slices.Contains(members, n) {
				return nil, errQuery(fmt.Sprintf("Fields valid values are: '%s'", strings.Join(members, "', '")))
			}
		}
		asked[resource] = names
	}
	return asked, nil
}

// pick leaves the named members; relationships.x stands for relationships.
func pick(names []string, of map[string]any) map[string]any {
	out := map[string]any{}
	for _, n := range names {
		n, _, _ = strings.Cut(n, ".")
		out[n] = of[n]
	}
	return out
}

// brokerFields adds the asked members of brokers, each once.
func brokerFields(tx *store.Tx, out map[string]any, guids, members []string) error {
	list := []map[string]any{}
	slices.Sort(guids)
	for _, guid := range slices.Compact(guids) {
		b, err := store.ServiceBrokers.Get(tx, guid)
		if err != nil {
			return err
		}
		list = append(list, pick(members, map[string]any{"guid": b.GUID, "name": b.Name}))
	}
	out["service_brokers"] = list
	return nil
}

// withIncluded is a resource or a page with what the query asked to come along.
func withIncluded(shown any, included map[string]any) any {
	if len(included) == 0 {
		return shown
	}
	return joined{shown, included}
}
