package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

var routeBindingAt = inSpace(store.ServiceRouteBindings, func(b *store.ServiceRouteBinding) string { return b.SpaceGUID })

func (s *Server) serviceRouteBindingRoutes() []Route {
	const all, one, noun = "/v3/service_route_bindings", "/v3/service_route_bindings/{guid}", "Service route binding"
	show := get(one, on(routeBindingAt, noun, SeeSpace, SeeSpace), s.getRouteBinding)
	show.Query = []string{"include"}
	return []Route{
		index(all, signedIn(), s.listRouteBindings, "route_guids", "service_instance_guids", "service_instance_names", "include"),
		post(all, inBody(), s.createRouteBinding),
		show,
		patch(one, on(routeBindingAt, noun, SeeSpace, Develop), s.updateRouteBinding),
		del(one, on(routeBindingAt, noun, SeeSpace, Operate), s.deleteRouteBinding),
		get(one+"/parameters", on(routeBindingAt, noun, SeeSpace, SeeSpace), s.getRouteBindingParameters),
	}
}

// auditRouteBinding writes audit.service_route_binding.<what>.
func (c *Ctx) auditRouteBinding(tx *store.Tx, b *store.ServiceRouteBinding, what string, asked map[string]any) error {
	place, err := placeOf(tx, b.SpaceGUID)
	if err != nil {
		return err
	}
	data := map[string]any{"route_guid": b.RouteGUID, "service_instance_guid": b.InstanceGUID}
	if asked != nil {
		data["request"] = asked
	}
	return c.audit(tx, Event{Type: "audit.service_route_binding." + what, Target: store.Actor{GUID: b.GUID, Type: "service_route_binding"}, Place: place, Data: data})
}

func (s *Server) presentRouteBinding(_ *store.Tx, b *store.ServiceRouteBinding) (capi.ServiceRouteBinding, error) {
	base := "/v3/service_route_bindings/" + b.GUID
	return capi.ServiceRouteBinding{
		Resource: resource(&b.Meta), RouteServiceURL: nullable(b.RouteServiceURL), LastOperation: presentOperation(b.LastOperation), Metadata: metadata(&b.Meta),
		Relationships: capi.RouteBindingRelationships{ServiceInstance: capi.To(b.InstanceGUID), Route: capi.To(b.RouteGUID)},
		Links: capi.Links{
			"self": s.link(base), "route": s.link("/v3/routes/" + b.RouteGUID), "service_instance": s.link("/v3/service_instances/" + b.InstanceGUID),
			"parameters": s.link(base + "/parameters"),
		},
	}, nil
}

func (s *Server) listRouteBindings(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "route_guids", "route", "service_instance_guids", "instance")
		if names, ok := c.Filter.List("service_instance_names"); ok {
			instances, err := store.ServiceInstances.GUIDs(tx, store.By("name", names...))
			if err != nil {
				return nil, err
			}
			where = append(where, store.By("instance", instances...))
		}
		var found []*store.ServiceRouteBinding
		p, err := answerList(c, tx, Listing[store.ServiceRouteBinding, capi.ServiceRouteBinding]{
			Table: store.ServiceRouteBindings, Meta: func(b *store.ServiceRouteBinding) *store.Meta { return &b.Meta }, Where: where, Present: s.presentRouteBinding,
			Include: func(_ *store.Tx, all []*store.ServiceRouteBinding) (*capi.Included, error) {
				found = all
				return nil, nil
			},
		})
		if err != nil {
			return nil, err
		}
		included, err := c.includeForRouteBindings(tx, found)
		return withIncluded(p, included), err
	})
}

func (c *Ctx) includeForRouteBindings(tx *store.Tx, bindings []*store.ServiceRouteBinding) (map[string]any, error) {
	asked, err := c.wantsInclude("route", "service_instance")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := map[string]any{}
	if slices.Contains(asked, "route") {
		routes := capi.Array[capi.Route]{}
		for _, guid := range slices.Compact(slices.Sorted(slices.Values(guidsOf(bindings, func(b *store.ServiceRouteBinding) string { return b.RouteGUID })))) {
			r, err := store.Routes.Get(tx, guid)
			if err != nil {
				return nil, err
			}
			shown, err := c.s.routePresenter().present(tx, r)
			if err != nil {
				return nil, err
			}
			routes = append(routes, shown)
		}
		out["routes"] = routes
	}
	if slices.Contains(asked, "service_instance") {
		instances := capi.Array[capi.ServiceInstance]{}
		for _, guid := range slices.Compact(slices.Sorted(slices.Values(guidsOf(bindings, func(b *store.ServiceRouteBinding) string { return b.InstanceGUID })))) {
			i, err := store.ServiceInstances.Get(tx, guid)
			if err != nil {
				return nil, err
			}
			shown, err := c.s.presentServiceInstance(tx, i)
			if err != nil {
				return nil, err
			}
			instances = append(instances, shown)
		}
		out["service_instances"] = instances
	}
	return out, nil
}

func (s *Server) getRouteBinding(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		b, err := store.ServiceRouteBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentRouteBinding(tx, b)
		if err != nil {
			return nil, err
		}
		included, err := c.includeForRouteBindings(tx, []*store.ServiceRouteBinding{b})
		return withIncluded(shown, included), err
	})
}

func (s *Server) createRouteBinding(c *Ctx) error {
	var in capi.RouteBindingCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	switch {
	case in.Relationships.Route.GUID() == "":
		return errInvalid("Relationships Route can't be blank: name it as relationships.route.data.guid")
	case in.Relationships.ServiceInstance.GUID() == "":
		return errInvalid("Relationships Service instance can't be blank: name it as relationships.service_instance.data.guid")
	}
	var b *store.ServiceRouteBinding
	return c.UpdateOrJob(func(tx *store.Tx) (job *store.Job, err error) {
		b, job, err = c.bindRoute(tx, &in)
		return job, err
	}, func() error {
		shown, err := s.presentRouteBinding(nil, b)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusCreated, shown)
	})
}

// bindRoute finds what a request names, asks whether the caller may, and binds; a job does it for managed instances.
func (c *Ctx) bindRoute(tx *store.Tx, in *capi.RouteBindingCreate) (*store.ServiceRouteBinding, *store.Job, error) {
	instance, err := c.instanceInBody(tx, in.Relationships.ServiceInstance.GUID())
	if err != nil {
		return nil, nil, err
	}
	route, err := c.routeToBind(tx, in.Relationships.Route.GUID(), instance)
	if err != nil {
		return nil, nil, err
	}
	if err := routeFree(tx, route, instance); err != nil {
		return nil, nil, err
	}
	b := &store.ServiceRouteBinding{InstanceGUID: instance.GUID, RouteGUID: route.GUID, SpaceGUID: instance.SpaceGUID}
	if err := patchMetadata(&b.Meta, in.Metadata); err != nil {
		return nil, nil, err
	}
	if instance.Type == store.ServiceUserProvided {
		return b, nil, c.bindOwnRoute(tx, b, instance, in)
	}
	_, offering, _, err := serviceop.Plan(tx, instance)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(offering.Requires, "route_forwarding") {
		return nil, nil, errInvalid("This service instance does not support route binding.")
	}
	plan, err := bindable(tx, instance, false)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := checkParameters(in.Parameters, plan.BindSchema)
	if err != nil {
		return nil, nil, err
	}
	b.Unmade, b.LastOperation = true, started(tx, store.OperationCreate)
	if err := store.ServiceRouteBindings.Put(tx, b); err != nil {
		return nil, nil, err
	}
	o := c.bindingOperation(store.OnRouteBinding, b.GUID, instance, plan, store.OperationCreate)
	o.Parameters = parameters
	job, err := serviceop.Begin(tx, o, "service_route_bindings.create")
	return b, job, err
}

// bindOwnRoute binds a route to a user-provided instance, which has the address itself.
func (c *Ctx) bindOwnRoute(tx *store.Tx, b *store.ServiceRouteBinding, i *store.ServiceInstance, in *capi.RouteBindingCreate) error {
	switch {
	case i.RouteServiceURL == "":
		return errInvalid("This service instance does not support route binding.")
	case in.Parameters != nil && string(in.Parameters) != "null" && string(in.Parameters) != "{}":
		return errInvalid("Binding parameters are not supported for user-provided service instances")
	}
	b.RouteServiceURL, b.LastOperation = i.RouteServiceURL, succeeded(tx, store.OperationCreate)
	return firstOf(store.ServiceRouteBindings.Put(tx, b), serviceop.SetRouteService(tx, b.RouteGUID, b.RouteServiceURL), c.auditRouteBinding(tx, b, "create", nil))
}

// routeToBind finds the route and asks whether the caller may bind it.
func (c *Ctx) routeToBind(tx *store.Tx, guid string, i *store.ServiceInstance) (*store.Route, error) {
	place, err := placeOf(tx, i.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if err := c.Allow(tx, place, "Service instance", SeeSpace, Operate); err != nil {
		return nil, keyInShared(err)
	}
	hidden := errInvalid(fmt.Sprintf("The route could not be found: '%s'", clip(guid, 100)))
	r, err := store.Routes.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, hidden)
	}
	at, err := placeOf(tx, r.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if ok, err := c.Can(tx, at, SeeSpace); err != nil || !ok {
		return nil, firstOf(err, hidden)
	}
	if r.SpaceGUID != i.SpaceGUID {
		return nil, errInvalid("The service instance and the route are in different spaces.")
	}
	domain, err := store.Domains.Get(tx, r.DomainGUID)
	switch {
	case err != nil:
		return nil, err
	case domain.Internal:
		return nil, errInvalid("Route services cannot be bound to internal routes.")
	case r.Port != 0:
		return nil, errInvalid("Route services cannot be bound to TCP routes.")
	}
	return r, nil
}

// routeFree refuses a route that has a service already. A binding whose making failed gives way.
func routeFree(tx *store.Tx, r *store.Route, i *store.ServiceInstance) error {
	others, _, err := store.ServiceRouteBindings.List(tx, store.Query[store.ServiceRouteBinding]{Where: []store.Cond{store.By("route", r.GUID)}})
	if err != nil {
		return err
	}
	for _, o := range others {
		switch {
		case o.Unmade && o.LastOperation.State == store.OperationFailed && o.LastOperation.Type == store.OperationCreate:
			if err := serviceop.RemoveRouteBinding(tx, o); err != nil {
				return err
			}
		case o.LastOperation.Type == store.OperationDelete:
			return errInvalid("The binding is getting deleted or its deletion failed")
		case o.InstanceGUID == i.GUID:
			return capi.AlreadyBoundToSameRoute.Errorf("The route and service instance are already bound.")
		default:
			return errInvalid("A route may only be bound to a single service instance")
		}
	}
	return nil
}

func (s *Server) updateRouteBinding(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		b, err := store.ServiceRouteBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchMetadata(&b.Meta, in.Metadata), store.ServiceRouteBindings.Put(tx, b),
			c.auditRouteBinding(tx, b, "update", map[string]any{"metadata": in.Metadata}))
		if err != nil {
			return nil, err
		}
		return s.presentRouteBinding(tx, b)
	})
}

func (s *Server) deleteRouteBinding(c *Ctx) error {
	return c.UpdateOrJob(func(tx *store.Tx) (*store.Job, error) {
		b, err := store.ServiceRouteBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil {
			return nil, err
		}
		if i.Type == store.ServiceUserProvided {
			return nil, firstOf(serviceop.RemoveRouteBinding(tx, b), c.auditRouteBinding(tx, b, "delete", nil))
		}
		if job, err := c.clearWay(tx, b.GUID, b.LastOperation); err != nil || job != nil {
			return job, err
		}
		o, err := c.routeUnbinding(tx, b)
		if err != nil {
			return nil, err
		}
		return serviceop.Begin(tx, o, "service_route_bindings.delete")
	}, c.NoContent)
}

func (c *Ctx) routeUnbinding(tx *store.Tx, b *store.ServiceRouteBinding) (*store.ServiceOperation, error) {
	i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
	if err != nil {
		return nil, err
	}
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	if err != nil {
		return nil, err
	}
	b.LastOperation = started(tx, store.OperationDelete)
	return c.bindingOperation(store.OnRouteBinding, b.GUID, i, plan, store.OperationDelete), store.ServiceRouteBindings.Put(tx, b)
}

// beginRouteUnbind has a route binding of a managed instance deleted, unless it is being deleted.
func (c *Ctx) beginRouteUnbind(tx *store.Tx, b *store.ServiceRouteBinding) error {
	running, err := serviceop.Running(tx, b.GUID)
	if err != nil || running != nil && running.Type == store.OperationDelete {
		return err
	}
	if err := serviceop.Cancel(tx, b.GUID); err != nil {
		return err
	}
	o, err := c.routeUnbinding(tx, b)
	if err != nil {
		return err
	}
	return store.ServiceOperations.Put(tx, o)
}

// followRouteService brings the address of a user-provided instance to the routes that are bound to it.
func (c *Ctx) followRouteService(tx *store.Tx, i *store.ServiceInstance) error {
	return each(tx, store.ServiceRouteBindings, func(tx *store.Tx, b *store.ServiceRouteBinding) error {
		if b.RouteServiceURL == i.RouteServiceURL {
			return nil
		}
		b.RouteServiceURL = i.RouteServiceURL
		return firstOf(store.ServiceRouteBindings.Put(tx, b), serviceop.SetRouteService(tx, b.RouteGUID, b.RouteServiceURL))
	}, store.By("instance", i.GUID))
}

func (s *Server) getRouteBindingParameters(c *Ctx) error {
	var b *store.ServiceRouteBinding
	var offering *store.ServiceOffering
	err := c.View(func(tx *store.Tx) (err error) {
		if b, err = store.ServiceRouteBindings.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil || i.Type != store.ServiceManaged {
			return err
		}
		if b.Unmade {
			return capi.ResourceNotFound.Errorf("Creation of route binding in progress or failed")
		}
		_, offering, _, err = serviceop.Plan(tx, i)
		return err
	})
	if err != nil {
		return err
	}
	return s.answerBindingParameters(c, offering, b.InstanceGUID, b.GUID)
}
