package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) routeShareRoutes() []Route {
	const one = "/v3/routes/{guid}/relationships"
	operate := on(ownedRoute, "Route", SeeRoutes, Operate)
	return []Route{
		get(one+"/shared_spaces", on(routeFor(SeeRoutes), "Route", SeeRoutes, SeeRoutes), s.getRouteSpaces),
		post(one+"/shared_spaces", operate, s.shareRoute),
		del(one+"/shared_spaces/{space}", operate, s.unshareRoute),
		patch(one+"/space", on(ownedRoute, "Route", SeeRoutes, Develop), s.moveRoute),
	}
}

// routeFor makes the locator of a route for an action: the space that owns it, or the one of those that it is shared
// with in which the caller may do most.
func routeFor(do Action) Locator {
	return func(tx *store.Tx, c *Ctx) (Place, error) {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return Place{}, err
		}
		for _, a := range []Action{do, SeeRoutes} {
			for _, space := range append([]string{r.SpaceGUID}, r.SharedSpaceGUIDs...) {
				place, err := placeOf(tx, space)
				if err != nil {
					return Place{}, err
				}
				if ok, err := c.Can(tx, place, a); ok || err != nil {
					return place, err
				}
			}
		}
		return placeOf(tx, r.SpaceGUID)
	}
}

// ownedRoute locates a route for what only its owner may do. Who sees it because it is shared with them is told so.
func ownedRoute(tx *store.Tx, c *Ctx) (Place, error) {
	r, err := store.Routes.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	seen, err := routeFor(SeeRoutes)(tx, c)
	if err != nil || seen.SpaceGUID == r.SpaceGUID {
		return seen, err
	}
	return Place{}, capi.Forbidden()
}

// operates reports whether the caller may change where a route leads as far as that app goes: in the space that owns
// the route, or in that of the app.
func (c *Ctx) operates(tx *store.Tx, r *store.Route, appGUID string) (bool, error) {
	owner, err := placeOf(tx, r.SpaceGUID)
	if err != nil {
		return false, err
	}
	if ok, err := c.Can(tx, owner, Operate); ok || err != nil {
		return ok, err
	}
	place, err := placeOfApp(tx, appGUID)
	if err != nil {
		return false, orElse(err, nil)
	}
	return c.Can(tx, place, Operate)
}

func (s *Server) routeSpaces(c *Ctx, tx *store.Tx, r *store.Route) (any, error) {
	var seen []string
	for _, guid := range r.SharedSpaceGUIDs {
		place, err := placeOf(tx, guid)
		if err != nil {
			return nil, err
		}
		ok, err := c.Can(tx, place, SeeSpace)
		if err != nil {
			return nil, err
		}
		if ok {
			seen = append(seen, guid)
		}
	}
	self := "/v3/routes/" + r.GUID + "/relationships/shared_spaces"
	return capi.ToManyReply{Data: capi.Many(seen...).Data, Links: capi.Links{"self": s.link(self)}}, nil
}

func (s *Server) getRouteSpaces(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.routeSpaces(c, tx, r)
	})
}

func (s *Server) shareRoute(c *Ctx) error {
	var in capi.ToMany
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.GUIDs()) == 0 {
		return errInvalid("Data must have at least one space: [{\"guid\": ...}]")
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		if err := c.needFlag(tx, "route_sharing", flagDefault("route_sharing")); err != nil {
			return nil, err
		}
		if err := c.checkTargets(tx, r, "share", in.GUIDs()...); err != nil {
			return nil, err
		}
		for _, guid := range in.GUIDs() {
			if !slices.Contains(r.SharedSpaceGUIDs, guid) {
				r.SharedSpaceGUIDs = append(r.SharedSpaceGUIDs, guid)
			}
		}
		if err := c.saveRoute(tx, r, "audit.route.share", map[string]any{"target_space_guids": in.GUIDs()}); err != nil {
			return nil, err
		}
		return s.routeSpaces(c, tx, r)
	})
}

// checkTargets refuses spaces that do not exist, that the caller may not write in, that own the route already, or that
// may not use its domain.
func (c *Ctx) checkTargets(tx *store.Tx, r *store.Route, verb string, spaces ...string) error {
	domain, err := store.Domains.Get(tx, r.DomainGUID)
	if err != nil {
		return err
	}
	unable := fmt.Sprintf("Unable to %s route '%s' with spaces [", verb, appenv.RouteURL(r, domain.Name))
	refuse := func(guids []string, why string) error {
		for i, g := range guids {
			guids[i] = "'" + clip(g, 100) + "'"
		}
		return errInvalid(unable + strings.Join(guids, ", ") + "]. " + why)
	}
	var unseen, locked, foreign []string
	for _, guid := range spaces {
		place, err := placeOf(tx, guid)
		if orElse(err, nil) != nil {
			return err
		}
		seen, write := false, false
		if err == nil {
			if seen, err = c.Can(tx, place, SeeSpace); err != nil {
				return err
			}
			if write, err = c.Can(tx, place, Develop); err != nil {
				return err
			}
		}
		switch {
		case !seen:
			unseen = append(unseen, guid)
		case !write:
			locked = append(locked, guid)
		case !usableBy(domain, place.OrgGUID):
			foreign = append(foreign, guid)
		}
	}
	switch {
	case len(unseen) > 0:
		return refuse(unseen, "Ensure the spaces exist and that you have access to them.")
	case len(locked) > 0:
		return refuse(locked, "Write permission is required in order to "+verb+" a route with a space.")
	case len(foreign) > 0:
		return refuse(foreign, "Ensure that the domain is shared with the organizations of the spaces.")
	case verb == "share" && slices.Contains(spaces, r.SpaceGUID):
		return refuse([]string{r.SpaceGUID}, "Routes cannot be shared into the space where they were created.")
	}
	return nil
}

// saveRoute writes the route and its event.
func (c *Ctx) saveRoute(tx *store.Tx, r *store.Route, event string, data map[string]any) error {
	if err := store.Routes.Put(tx, r); err != nil {
		return err
	}
	place, err := placeOf(tx, r.SpaceGUID)
	if err != nil {
		return err
	}
	return c.audit(tx, Event{Type: event, Target: routeTarget(tx, r), Place: place, Data: data})
}

// unshareRoute takes a route back from a space, and away from the apps there.
func (s *Server) unshareRoute(c *Ctx) error {
	space := c.Path("space")
	err := c.Update(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if !slices.Contains(r.SharedSpaceGUIDs, space) {
			return errInvalid(fmt.Sprintf("Unable to unshare route '%s' from space '%s'. Ensure the space exists and that the route is shared with it.", routeTarget(tx, r).Name, clip(space, 100)))
		}
		r.SharedSpaceGUIDs = without(r.SharedSpaceGUIDs, space)
		if err := c.unmapSpace(tx, r, space); err != nil {
			return err
		}
		return c.saveRoute(tx, r, "audit.route.unshare", map[string]any{"target_space_guid": space})
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

// unmapSpace takes the destinations in a space from r, which the caller then writes.
func (c *Ctx) unmapSpace(tx *store.Tx, r *store.Route, space string) error {
	var stay, gone []store.Destination
	for _, d := range r.Destinations {
		app, err := store.Apps.Get(tx, d.AppGUID)
		if orElse(err, nil) != nil {
			return err
		}
		if err != nil || app.SpaceGUID == space {
			gone = append(gone, d)
		} else {
			stay = append(stay, d)
		}
	}
	r.Destinations = stay
	if err := store.Routes.Put(tx, r); err != nil {
		return err
	}
	for _, d := range gone {
		if err := c.auditMapping(tx, r, d, "audit.app.unmap-route"); err != nil {
			return err
		}
	}
	return syncPortsOf(tx, gone...)
}

// moveRoute gives a route to another space. The one that had it keeps it as shared with it, and with it its apps.
func (s *Server) moveRoute(c *Ctx) error {
	var in capi.ToOne
	if err := c.decode(&in); err != nil {
		return err
	}
	target := in.GUID()
	if target == "" {
		return errInvalid("Data can't be blank: name the space as {\"data\": {\"guid\": ...}}")
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		if err := c.needFlag(tx, "route_sharing", flagDefault("route_sharing")); err != nil {
			return nil, err
		}
		done := map[string]string{"status": "ok"}
		if target == r.SpaceGUID {
			return done, nil
		}
		if err := c.checkTargets(tx, r, "transfer owner of", target); err != nil {
			return nil, err
		}
		place, err := placeOf(tx, target)
		if err != nil {
			return nil, err
		}
		if err := checkRouteQuota(tx, place, r.Port != 0); err != nil {
			return nil, err
		}
		from := r.SpaceGUID
		r.SharedSpaceGUIDs = append(without(r.SharedSpaceGUIDs, target), from)
		r.SpaceGUID = target
		return done, c.saveRoute(tx, r, "audit.route.transfer-owner", map[string]any{"previous_space_guid": from, "target_space_guid": target})
	})
}
