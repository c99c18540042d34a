package api

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

// serviceInstanceAt is the instance's own space; who sees only a space that it is shared with may not change it there.
func serviceInstanceAt(tx *store.Tx, c *Ctx) (Place, error) {
	place, own, err := placeOfInstance(tx, c)
	if err == nil && !own {
		err = capi.Forbidden()
	}
	return place, err
}

// sharedInstanceAt is the instance's own space, or else one that it is shared with and that the caller sees.
func sharedInstanceAt(tx *store.Tx, c *Ctx) (Place, error) {
	place, _, err := placeOfInstance(tx, c)
	return place, err
}

// placeOfInstance reports besides whether the place is the instance's own space; that it also is for who sees none.
func placeOfInstance(tx *store.Tx, c *Ctx) (place Place, own bool, err error) {
	i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, false, err
	}
	for _, guid := range i.Spaces() {
		place, err := placeOf(tx, guid)
		if err != nil {
			return Place{}, false, err
		}
		if ok, err := c.Can(tx, place, SeeSpace); err != nil || ok {
			return place, guid == i.SpaceGUID, err
		}
	}
	place, err = placeOf(tx, i.SpaceGUID)
	return place, true, err
}

// serviceFields are the parameters that ask for parts of what is related to service instances (contract, 4.3).
var serviceFields = []string{"fields[space]", "fields[space.organization]", "fields[service_plan]", "fields[service_plan.service_offering]",
	"fields[service_plan.service_offering.service_broker]"}

func (s *Server) serviceInstanceRoutes() []Route {
	const one = "/v3/service_instances/{guid}"
	const noun = "Service instance"
	see := on(sharedInstanceAt, noun, SeeSpace, SeeSpace)
	secrets := on(serviceInstanceAt, noun, SeeSpace, SeeSecrets)
	develop := on(serviceInstanceAt, noun, SeeSpace, Develop)
	filters := append([]string{"names", "type", "space_guids", "organization_guids", "service_plan_guids", "service_plan_names"}, serviceFields...)
	show := get(one, see, s.getServiceInstance)
	show.Query = serviceFields
	shared := get(one+"/relationships/shared_spaces", see, s.getSharedSpaces)
	shared.Query = []string{"fields[space]", "fields[space.organization]"}
	remove := del(one, develop, s.deleteServiceInstance)
	remove.Query = []string{"purge"}
	return []Route{
		index("/v3/service_instances", signedIn(), s.listServiceInstances, filters...).ordered("name"),
		post("/v3/service_instances", inBody(), s.createServiceInstance),
		show,
		patch(one, develop, s.updateServiceInstance),
		remove,
		get(one+"/credentials", secrets, s.getServiceCredentials),
		get(one+"/parameters", see, s.getServiceParameters),
		get(one+"/permissions", signedIn().alsoBy("cloud_controller_service_permissions.read"), s.getServicePermissions),
		shared,
		get(one+"/relationships/shared_spaces/usage_summary", see, s.getSharedUsage),
		post(one+"/relationships/shared_spaces", develop, s.shareServiceInstance),
		del(one+"/relationships/shared_spaces/{space}", develop, s.unshareServiceInstance),
	}
}

func serviceInstanceMeta(i *store.ServiceInstance) *store.Meta { return &i.Meta }

func serviceInstanceTarget(i *store.ServiceInstance) store.Actor {
	kind := "service_instance"
	if i.Type == store.ServiceUserProvided {
		kind = "user_provided_service_instance"
	}
	return store.Actor{GUID: i.GUID, Type: kind, Name: i.Name}
}

// auditService writes audit.<kind of instance>.<what>.
func (c *Ctx) auditService(tx *store.Tx, i *store.ServiceInstance, place Place, what string, asked map[string]any) error {
	target := serviceInstanceTarget(i)
	var data map[string]any
	if asked != nil {
		data = request(asked)
	}
	return c.audit(tx, Event{Type: "audit." + target.Type + "." + what, Target: target, Place: place, Data: data})
}

func presentOperation(o store.Operation) capi.LastOperation {
	return capi.LastOperation{Type: o.Type, State: o.State, Description: o.Description, CreatedAt: capi.At(o.CreatedAt), UpdatedAt: capi.At(o.UpdatedAt)}
}

// succeeded is an operation that was done at once.
func succeeded(tx *store.Tx, kind string) store.Operation {
	return store.Operation{Type: kind, State: store.OperationSucceeded, Description: "Operation succeeded", CreatedAt: tx.Now, UpdatedAt: tx.Now}
}

func (s *Server) presentServiceInstance(tx *store.Tx, i *store.ServiceInstance) (capi.ServiceInstance, error) {
	base := "/v3/service_instances/" + i.GUID
	out := capi.ServiceInstance{
		Resource: resource(&i.Meta), Name: i.Name, Type: i.Type, Tags: i.Tags, LastOperation: presentOperation(i.LastOperation),
		Relationships: capi.ServiceInstanceRelationships{Space: capi.One(i.SpaceGUID)},
		Metadata:      metadata(&i.Meta),
		Links: capi.Links{
			"self": s.link(base), "space": s.link("/v3/spaces/" + i.SpaceGUID),
			"service_credential_bindings": s.link("/v3/service_credential_bindings?service_instance_guids=" + i.GUID),
			"service_route_bindings":      s.link("/v3/service_route_bindings?service_instance_guids=" + i.GUID),
		},
	}
	if i.Type == store.ServiceUserProvided {
		out.SyslogDrainURL, out.RouteServiceURL = optional(i.SyslogDrainURL), optional(i.RouteServiceURL)
		out.Links["credentials"] = s.link(base + "/credentials")
		return out, nil
	}
	return out, s.presentManaged(tx, i, &out)
}

// optional is there, and null for the empty string.
func optional(v string) capi.Optional[string] {
	return capi.Optional[string]{Set: true, Value: nullable(v)}
}

func (s *Server) listServiceInstances(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "in_space")
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "names", "name", "type", "type", "service_plan_guids", "plan")
		if names, ok := c.Filter.List("service_plan_names"); ok {
			plans, err := store.ServicePlans.GUIDs(tx, store.By("name", names...))
			if err != nil {
				return nil, err
			}
			where = append(where, store.By("plan", plans...))
		}
		var found []*store.ServiceInstance
		p, err := answerList(c, tx, Listing[store.ServiceInstance, capi.ServiceInstance]{
			Table: store.ServiceInstances, Meta: serviceInstanceMeta, Where: where, Present: s.presentServiceInstance,
			Include: func(_ *store.Tx, instances []*store.ServiceInstance) (*capi.Included, error) {
				found = instances
				return nil, nil
			},
		})
		if err != nil {
			return nil, err
		}
		included, err := c.includeFields(tx, found)
		return withIncluded(p, included), err
	})
}

func (s *Server) getServiceInstance(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentServiceInstance(tx, i)
		if err != nil {
			return nil, err
		}
		included, err := c.includeFields(tx, []*store.ServiceInstance{i})
		return withIncluded(shown, included), err
	})
}

func (s *Server) createServiceInstance(c *Ctx) error {
	var in capi.ServiceInstanceCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	spaceGUID := in.Relationships.Space.GUID()
	if spaceGUID == "" {
		return errInvalid("Relationships Space can't be blank: name the space as relationships.space.data.guid")
	}
	if in.Type == capi.ServiceManaged {
		return s.createManaged(c, &in, spaceGUID)
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		place, err := c.placeForService(tx, spaceGUID)
		if err != nil {
			return nil, err
		}
		i, err := newServiceInstance(place, &in)
		if err != nil {
			return nil, err
		}
		i.LastOperation = succeeded(tx, "create")
		asked := redacted(in)
		if err := firstOf(putServiceInstance(tx, i), c.auditService(tx, i, place, "create", asked), appusage.Service(tx, i, appusage.Created)); err != nil {
			return nil, err
		}
		return s.presentServiceInstance(tx, i)
	})
}

// placeForService asks whether the caller may make a service instance in the space.
func (c *Ctx) placeForService(tx *store.Tx, spaceGUID string) (Place, error) {
	place, err := c.placeInBody(tx, spaceGUID, Develop)
	if err != nil {
		return place, err
	}
	return place, c.needFlag(tx, "service_instance_creation", true)
}

// newServiceInstance is a user-provided one, after a check of all that was asked for.
func newServiceInstance(place Place, in *capi.ServiceInstanceCreate) (*store.ServiceInstance, error) {
	if in.Type != capi.ServiceUserProvided {
		return nil, errInvalid("Type must be one of 'managed', 'user-provided'")
	}
	if in.Relationships.ServicePlan != nil || in.Parameters != nil {
		return nil, errInvalid("A user-provided service instance has neither a service plan nor parameters")
	}
	i := &store.ServiceInstance{
		Name: in.Name, Type: in.Type, SpaceGUID: place.SpaceGUID, Tags: in.Tags, Credentials: []byte("{}"),
	}
	if in.SyslogDrainURL != nil {
		i.SyslogDrainURL = *in.SyslogDrainURL
	}
	if in.RouteServiceURL != nil {
		i.RouteServiceURL = *in.RouteServiceURL
	}
	return i, firstOf(setCredentials(i, in.Credentials), validateServiceInstance(i), patchMetadata(&i.Meta, in.Metadata))
}

// redacted is a request as an audit event may hold it.
func redacted(in any) map[string]any {
	raw, _ := json.Marshal(in)
	var out map[string]any
	_ = json.Unmarshal(raw, &out)
	for _, secret := range []string{"credentials", "parameters"} {
		if out[secret] != nil {
			out[secret] = "[PRIVATE DATA HIDDEN]"
		}
	}
	for _, address := range []string{"syslog_drain_url", "route_service_url"} {
		text, _ := out[address].(string)
		if u, err := url.Parse(text); err == nil && u.User != nil {
			out[address] = u.Redacted()
		}
	}
	return out
}

// putServiceInstance writes it; a name that is taken in the space is told by the words that clients look for.
func putServiceInstance(tx *store.Tx, i *store.ServiceInstance) error {
	err := store.ServiceInstances.Put(tx, i)
	if isConflict(err) {
		return errInvalid("The service instance name is taken: " + i.Name)
	}
	return err
}

func (s *Server) updateServiceInstance(c *Ctx) error {
	var in capi.ServiceInstanceUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	var i *store.ServiceInstance
	shown := func() (out any, err error) {
		err = c.View(func(tx *store.Tx) error { out, err = s.presentServiceInstance(tx, i); return err })
		return out, err
	}
	return c.begin(shown, func(tx *store.Tx) (job *store.Job, err error) {
		if i, err = store.ServiceInstances.Get(tx, c.Path("guid")); err != nil {
			return nil, err
		}
		if i.Type == store.ServiceManaged {
			return c.updateManaged(tx, i, &in)
		}
		name := i.Name
		if err := patchServiceInstance(tx, i, &in); err != nil {
			return nil, err
		}
		if err := firstOf(putServiceInstance(tx, i), c.followRouteService(tx, i), c.auditService(tx, i, c.place, "update", redacted(in))); err != nil {
			return nil, err
		}
		if i.Name != name { // nobody pays for other changes (CAPI v3, Service Usage Events)
			return nil, appusage.Service(tx, i, appusage.Updated)
		}
		return nil, nil
	})
}

func patchServiceInstance(tx *store.Tx, i *store.ServiceInstance, in *capi.ServiceInstanceUpdate) error {
	if in.Parameters != nil || in.MaintenanceInfo != nil || in.Relationships != nil && in.Relationships.ServicePlan != nil {
		return errInvalid("A user-provided service instance has neither a service plan, parameters nor maintenance_info")
	}
	if in.Relationships != nil {
		return errInvalid("Unknown field(s): 'relationships.space': a service instance stays in its space")
	}
	if in.Name != nil {
		i.Name = *in.Name
	}
	if in.Tags.Set {
		i.Tags = in.Tags.Or(nil)
	}
	if in.SyslogDrainURL.Set {
		i.SyslogDrainURL = in.SyslogDrainURL.Or("")
	}
	if in.RouteServiceURL.Set {
		i.RouteServiceURL = in.RouteServiceURL.Or("")
	}
	i.LastOperation = succeeded(tx, "update")
	return firstOf(setCredentials(i, in.Credentials), validateServiceInstance(i), patchMetadata(&i.Meta, in.Metadata))
}

// deleteServiceInstance deletes a user-provided instance with its bindings at once, and a managed one with a job. With
// purge the broker is not asked.
func (s *Server) deleteServiceInstance(c *Ctx) error {
	return c.UpdateOrJob(func(tx *store.Tx) (*store.Job, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if c.Filter.Value("purge") == "true" {
			return nil, c.purgeAllowed(tx, i)
		}
		if i.Type == store.ServiceManaged {
			return c.deleteManaged(tx, i)
		}
		return nil, firstOf(c.auditUnbound(tx, i), serviceop.RemoveInstance(tx, i), c.auditService(tx, i, c.place, "delete", nil))
	}, c.NoContent)
}

// auditUnbound tells of the bindings that go with an instance.
func (c *Ctx) auditUnbound(tx *store.Tx, i *store.ServiceInstance) error {
	of := store.By("instance", i.GUID)
	return firstOf(
		each(tx, store.ServiceBindings, func(tx *store.Tx, b *store.ServiceBinding) error { return c.auditBinding(tx, b, "delete", nil) }, of),
		each(tx, store.ServiceRouteBindings, func(tx *store.Tx, b *store.ServiceRouteBinding) error {
			return c.auditRouteBinding(tx, b, "delete", nil)
		}, of))
}

func (s *Server) getServiceCredentials(c *Ctx) error {
	var raw json.RawMessage
	err := c.Update(func(tx *store.Tx) error {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if i.Type != store.ServiceUserProvided {
			return capi.NotFound("Service instance")
		}
		raw = i.Credentials
		return c.auditService(tx, i, c.place, "show", nil)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, raw)
}

// getServicePermissions answers everybody who knows the GUID: dashboards ask with their user's token whether to let
// that user in (CAPI v3, permissions of a service instance).
func (s *Server) getServicePermissions(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		place, err := serviceInstanceAt(tx, c)
		if err != nil {
			return nil, notFound(err, "Service instance")
		}
		read, err := c.Can(tx, place, SeeSpace)
		if err != nil {
			return nil, err
		}
		manage, err := c.Can(tx, place, Develop)
		return capi.ServicePermissions{Manage: manage, Read: read}, err
	})
}
