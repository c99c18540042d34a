package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const destinationsMax = 100

func (s *Server) presentRouteDestinations(r *store.Route) capi.Destinations {
	base := "/v3/routes/" + r.GUID
	return capi.Destinations{
		Destinations: presentDestinations(r.Destinations),
		Links:        capi.Links{"self": s.link(base + "/destinations"), "route": s.link(base)},
	}
}

func (s *Server) listDestinations(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		guids, byGUID := c.Filter.List("guids")
		apps, byApp := c.Filter.List("app_guids")
		r.Destinations = slices.DeleteFunc(r.Destinations, func(d store.Destination) bool {
			return byGUID && !slices.Contains(guids, d.GUID) || byApp && !slices.Contains(apps, d.AppGUID)
		})
		return c.JSON(http.StatusOK, s.presentRouteDestinations(r))
	})
}

func (s *Server) addDestinations(c *Ctx) error {
	var in capi.DestinationsInsert
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Destinations) == 0 {
		return errInvalid("Destinations must have at least one element")
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		if slices.ContainsFunc(r.Destinations, func(d store.Destination) bool { return d.Weight != nil }) {
			return nil, errInvalid("Destinations cannot be inserted when there are weighted destinations already configured.")
		}
		for i, d := range in.Destinations {
			if d.Weight != nil {
				return nil, errInvalid(fmt.Sprintf("Destinations[%d]: weighted destinations can only be used when replacing all destinations.", i))
			}
			if err := c.mapDestination(tx, r, d); err != nil {
				return nil, err
			}
		}
		if err := firstOf(store.Routes.Put(tx, r), syncPortsOf(tx, r.Destinations...)); err != nil {
			return nil, err
		}
		return s.presentRouteDestinations(r), nil
	})
}

// replaceDestinations makes the list the whole of the route's destinations; those that stay keep their GUID.
func (s *Server) replaceDestinations(c *Ctx) error {
	var in capi.DestinationsInsert
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := checkWeights(in.Destinations); err != nil {
		return err
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		before := r.Destinations
		r.Destinations = nil
		for _, d := range in.Destinations {
			if err := c.mapDestination(tx, r, d, before...); err != nil {
				return nil, err
			}
		}
		for _, old := range before {
			if !slices.ContainsFunc(r.Destinations, func(d store.Destination) bool { return sameTarget(d, old) }) {
				if err := c.unmapped(tx, r, old); err != nil {
					return nil, err
				}
			}
		}
		if err := firstOf(store.Routes.Put(tx, r), syncPortsOf(tx, append(before, r.Destinations...)...)); err != nil {
			return nil, err
		}
		return s.presentRouteDestinations(r), nil
	})
}

// checkWeights wants weights on all or none, making 100 together.
func checkWeights(all []capi.DestinationInsert) error {
	sum, weighted := 0, 0
	for _, d := range all {
		if d.Weight != nil {
			sum += int(*d.Weight)
			weighted++
		}
	}
	switch {
	case weighted == 0:
		return nil
	case weighted < len(all):
		return errInvalid("Destinations cannot contain both weighted and unweighted destinations.")
	case sum != 100:
		return errInvalid("Destinations must have weights that add up to 100.")
	}
	return nil
}

// mapDestination adds one destination to r unless it is there. reuse are destinations whose GUIDs a like one takes over.
func (c *Ctx) mapDestination(tx *store.Tx, r *store.Route, in capi.DestinationInsert, reuse ...store.Destination) error {
	app, err := store.Apps.Get(tx, in.App.GUID)
	refused := errInvalid(fmt.Sprintf("App(s) with guid(s) \"%s\" do not exist or you do not have access.", clip(in.App.GUID, 100)))
	if err != nil {
		return orElse(err, refused)
	}
	if app.SpaceGUID != r.SpaceGUID && !slices.Contains(r.SharedSpaceGUIDs, app.SpaceGUID) {
		return errInvalid("Routes cannot be mapped to destinations in different spaces.")
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return err
	}
	if ok, err := c.Can(tx, place, Operate); err != nil || !ok {
		return firstOf(err, refused) // a route that is shared with the caller does not open the owner's apps to them
	}
	d, err := newDestination(tx, r, in)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(r.Destinations, func(have store.Destination) bool { return sameTarget(have, d) }) {
		return nil
	}
	if len(r.Destinations) >= destinationsMax {
		return errInvalid(fmt.Sprintf("Routes can be mapped to at most %d destinations.", destinationsMax))
	}
	known := slices.IndexFunc(reuse, func(old store.Destination) bool { return sameTarget(old, d) })
	if known >= 0 {
		d.GUID, d.CreatedAt = reuse[known].GUID, reuse[known].CreatedAt
	}
	r.Destinations = append(r.Destinations, d)
	if known >= 0 {
		return nil
	}
	return c.auditMapping(tx, r, d, "audit.app.map-route")
}

// sameTarget reports whether two destinations lead to the same place.
func sameTarget(a, b store.Destination) bool {
	return a.AppGUID == b.AppGUID && a.ProcessType == b.ProcessType &&
		destinationPort(a) == destinationPort(b) && destinationProtocol(a) == destinationProtocol(b)
}

func newDestination(tx *store.Tx, r *store.Route, in capi.DestinationInsert) (store.Destination, error) {
	d := store.Destination{
		GUID: uuid.NewString(), AppGUID: in.App.GUID, ProcessType: "web", Protocol: in.Protocol, CreatedAt: tx.Now, UpdatedAt: tx.Now,
	}
	if r.Port != 0 && d.Protocol == "" {
		d.Protocol = "tcp"
	}
	if in.App.Process != nil && in.App.Process.Type != "" {
		d.ProcessType = in.App.Process.Type
	}
	if err := validateName("Process type", d.ProcessType); err != nil {
		return d, err
	}
	if in.Port != nil {
		if d.Port = int(*in.Port); d.Port < 1024 || d.Port > 65535 {
			return d, errInvalid("Destinations Port must be between 1024 and 65535")
		}
	}
	if in.Weight != nil {
		w := int(*in.Weight)
		if w < 1 || w > 100 {
			return d, errInvalid("Destinations Weight must be between 1 and 100")
		}
		d.Weight = &w
	}
	return d, checkProtocol(r, d.Protocol)
}

func checkProtocol(r *store.Route, protocol string) error {
	if r.Port != 0 {
		if protocol == "" || protocol == "tcp" {
			return nil
		}
		return errInvalid("Destination protocol must be 'tcp' if the parent route's protocol is 'tcp'")
	}
	if protocol == "" || protocol == "http1" || protocol == "http2" {
		return nil
	}
	return errInvalid("Destination protocol must be 'http1' or 'http2' if the parent route's protocol is 'http'")
}

// unmapped tells of a destination that was taken away, if the caller may do that.
func (c *Ctx) unmapped(tx *store.Tx, r *store.Route, d store.Destination) error {
	if ok, err := c.operates(tx, r, d.AppGUID); err != nil || !ok {
		return firstOf(err, capi.Forbidden())
	}
	return c.auditMapping(tx, r, d, "audit.app.unmap-route")
}

// auditMapping tells of a route that was mapped to an app or unmapped.
func (c *Ctx) auditMapping(tx *store.Tx, r *store.Route, d store.Destination, event string) error {
	app, err := store.Apps.Get(tx, d.AppGUID)
	if err != nil {
		return orElse(err, nil) // the app has just been deleted
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return err
	}
	return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: place, Data: map[string]any{
		"route_guid": r.GUID, "route": routeTarget(tx, r).Name, "destination_guid": d.GUID, "process_type": d.ProcessType,
	}})
}

func (s *Server) updateDestination(c *Ctx) error {
	var in capi.DestinationUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.changeRoute(c, func(tx *store.Tx, r *store.Route) (any, error) {
		i := slices.IndexFunc(r.Destinations, func(d store.Destination) bool { return d.GUID == c.Path("destination") })
		if i < 0 {
			return nil, capi.NotFound("Destination")
		}
		protocol := in.Protocol.Or("")
		if err := checkProtocol(r, protocol); err != nil {
			return nil, err
		}
		if r.Port != 0 {
			protocol = "tcp"
		}
		if ok, err := c.operates(tx, r, r.Destinations[i].AppGUID); err != nil || !ok {
			return nil, firstOf(err, capi.Forbidden())
		}
		r.Destinations[i].Protocol, r.Destinations[i].UpdatedAt = protocol, tx.Now
		if err := store.Routes.Put(tx, r); err != nil {
			return nil, err
		}
		return presentDestinations(r.Destinations[i : i+1])[0], nil
	})
}

func (s *Server) removeDestination(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		r, err := store.Routes.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Destinations, func(d store.Destination) bool { return d.GUID == c.Path("destination") })
		if i < 0 {
			return errInvalid("Unable to unmap route from destination. Ensure the route has a destination with this guid.")
		}
		d := r.Destinations[i]
		r.Destinations = slices.Delete(r.Destinations, i, i+1)
		return firstOf(store.Routes.Put(tx, r), c.unmapped(tx, r, d), syncPortsOf(tx, d))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
