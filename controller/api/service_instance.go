package api

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

var serviceInstanceAt = inSpace(store.ServiceInstances, func(i *store.ServiceInstance) string { return i.SpaceGUID })

// serviceFields are the parameters that ask for parts of what is related to service instances (contract, 4.3).
var serviceFields = []string{"fields[space]", "fields[space.organization]", "fields[service_plan]", "fields[service_plan.service_offering]",
	"fields[service_plan.service_offering.service_broker]"}

func (s *Server) serviceInstanceRoutes() []Route {
	const one = "/v3/service_instances/{guid}"
	const noun = "Service instance"
	see := on(serviceInstanceAt, noun, SeeSpace, SeeSpace)
	secrets := on(serviceInstanceAt, noun, SeeSpace, SeeSecrets)
	develop := on(serviceInstanceAt, noun, SeeSpace, Develop)
	filters := append([]string{"names", "type", "space_guids", "organization_guids", "service_plan_guids", "service_plan_names"}, serviceFields...)
	show := get(one, see, s.getServiceInstance)
	show.Query = serviceFields
	shared := get(one+"/relationships/shared_spaces", see, s.getSharedSpaces)
	shared.Query = []string{"fields[space]", "fields[space.organization]"}
	return []Route{
		index("/v3/service_instances", signedIn(), s.listServiceInstances, filters...).ordered("name"),
		post("/v3/service_instances", inBody(), s.createServiceInstance),
		show,
		patch(one, develop, s.updateServiceInstance),
		del(one, develop, s.deleteServiceInstance),
		get(one+"/credentials", secrets, s.getServiceCredentials),
		get(one+"/parameters", see, s.getServiceParameters),
		get(one+"/permissions", signedIn().alsoBy("cloud_controller_service_permissions.read"), s.getServicePermissions),
		shared,
		get(one+"/relationships/shared_spaces/usage_summary", see, s.getSharedUsage),
		post(one+"/relationships/shared_spaces", develop, s.shareServiceInstance),
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

func (s *Server) presentServiceInstance(_ *store.Tx, i *store.ServiceInstance) (capi.ServiceInstance, error) {
	base := "/v3/service_instances/" + i.GUID
	return capi.ServiceInstance{
		Resource: resource(&i.Meta), Name: i.Name, Type: i.Type, Tags: i.Tags, LastOperation: presentOperation(i.LastOperation),
		SyslogDrainURL: nullable(i.SyslogDrainURL), RouteServiceURL: nullable(i.RouteServiceURL),
		Relationships: capi.ServiceInstanceRelationships{Space: capi.One(i.SpaceGUID)},
		Metadata:      metadata(&i.Meta),
		Links: capi.Links{
			"self": s.link(base), "space": s.link("/v3/spaces/" + i.SpaceGUID), "credentials": s.link(base + "/credentials"),
			"service_credential_bindings": s.link("/v3/service_credential_bindings?service_instance_guids=" + i.GUID),
			"service_route_bindings":      s.link("/v3/service_route_bindings?service_instance_guids=" + i.GUID),
		},
	}, nil
}

func (s *Server) listServiceInstances(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		where = c.filterBy(where, "names", "name", "type", "type", "service_plan_guids", "plan")
		if c.Filter.Has("service_plan_names") {
			where = append(where, store.By("guid")) // there are no plans yet
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
		return struct {
			*page
			Included fieldsIncluded `json:"included,omitempty"`
		}{p, included}, err
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
		return struct {
			capi.ServiceInstance
			Included fieldsIncluded `json:"included,omitempty"`
		}{shown, included}, err
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
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		place, err := c.placeInBody(tx, spaceGUID, Develop)
		if err != nil {
			return nil, err
		}
		if err := c.needFlag(tx, "service_instance_creation", true); err != nil {
			return nil, err
		}
		i, err := newServiceInstance(tx, place, &in)
		if err != nil {
			return nil, err
		}
		asked := redacted(in)
		if err := firstOf(putServiceInstance(tx, i), c.auditService(tx, i, place, "create", asked), appusage.Service(tx, i, appusage.Created)); err != nil {
			return nil, err
		}
		return s.presentServiceInstance(tx, i)
	})
}

// newServiceInstance checks all that was asked for.
func newServiceInstance(tx *store.Tx, place Place, in *capi.ServiceInstanceCreate) (*store.ServiceInstance, error) {
	switch in.Type {
	case capi.ServiceUserProvided:
	case capi.ServiceManaged:
		if in.Relationships.ServicePlan.GUID() == "" {
			return nil, errInvalid("Relationships Service plan can't be blank: name the plan as relationships.service_plan.data.guid")
		}
		return nil, errInvalid("Invalid service plan. Ensure that the service plan exists, is available, and you have access to it.")
	default:
		return nil, errInvalid("Type must be one of 'managed', 'user-provided'")
	}
	if in.Relationships.ServicePlan != nil || in.Parameters != nil {
		return nil, errInvalid("A user-provided service instance has neither a service plan nor parameters")
	}
	i := &store.ServiceInstance{
		Name: in.Name, Type: in.Type, SpaceGUID: place.SpaceGUID, Tags: in.Tags, Credentials: []byte("{}"), LastOperation: succeeded(tx, "create"),
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
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		name := i.Name
		if err := patchServiceInstance(tx, i, &in); err != nil {
			return nil, err
		}
		if err := firstOf(putServiceInstance(tx, i), c.auditService(tx, i, c.place, "update", redacted(in))); err != nil {
			return nil, err
		}
		if i.Name != name { // nobody pays for other changes (CAPI v3, Service Usage Events)
			if err := appusage.Service(tx, i, appusage.Updated); err != nil {
				return nil, err
			}
		}
		return s.presentServiceInstance(tx, i)
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

// deleteServiceInstance unbinds it from all apps first.
func (s *Server) deleteServiceInstance(c *Ctx) error {
	var unbound []*store.ServiceBinding
	err := c.Update(func(tx *store.Tx) error {
		i, err := store.ServiceInstances.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		unbound, _, err = store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("instance", i.GUID)}})
		for _, b := range unbound {
			err = firstOf(err, c.auditBinding(tx, b, "delete", nil))
		}
		return firstOf(err, removeServiceInstance(tx, i), c.auditService(tx, i, c.place, "delete", nil))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

// removeServiceInstance deletes it with its bindings.
func removeServiceInstance(tx *store.Tx, i *store.ServiceInstance) error {
	return firstOf(
		appusage.Service(tx, i, appusage.Deleted),
		each(tx, store.ServiceBindings, func(tx *store.Tx, b *store.ServiceBinding) error { return store.ServiceBindings.Delete(tx, b.GUID) }, store.By("instance", i.GUID)),
		store.ServiceInstances.Delete(tx, i.GUID))
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

func (s *Server) getServiceParameters(*Ctx) error {
	return capi.InstanceParamsUnsupported.Errorf("This service does not support fetching service instance parameters.")
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

// getSharedSpaces answers with none: what is user-provided cannot be shared.
func (s *Server) getSharedSpaces(c *Ctx) error {
	self := "/v3/service_instances/" + c.Path("guid") + "/relationships/shared_spaces"
	return c.JSON(http.StatusOK, capi.ToManyReply{Links: capi.Links{"self": s.link(self)}})
}

func (s *Server) getSharedUsage(c *Ctx) error {
	self := "/v3/service_instances/" + c.Path("guid") + "/relationships/shared_spaces"
	return c.JSON(http.StatusOK, map[string]any{
		"usage_summary": []any{}, "links": capi.Links{"self": s.link(self + "/usage_summary"), "shared_spaces": s.link(self)},
	})
}

func (s *Server) shareServiceInstance(*Ctx) error {
	return errInvalid("User-provided services cannot be shared.")
}
