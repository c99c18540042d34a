package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/store"
)

var serviceBindingAt = inSpace(store.ServiceBindings, func(b *store.ServiceBinding) string { return b.SpaceGUID })

func (s *Server) serviceBindingRoutes() []Route {
	const all, one = "/v3/service_credential_bindings", "/v3/service_credential_bindings/{guid}"
	const noun = "Service credential binding"
	see := on(serviceBindingAt, noun, SeeSpace, SeeSpace)
	show := get(one, see, s.getServiceBinding)
	show.Query = []string{"include"}
	return []Route{
		index(all, signedIn(), s.listServiceBindings, "names", "type", "app_guids", "app_names", "service_instance_guids", "service_instance_names",
			"service_plan_guids", "service_plan_names", "service_offering_guids", "service_offering_names", "include").ordered("name"),
		post(all, inBody(), s.createServiceBinding),
		show,
		patch(one, on(serviceBindingAt, noun, SeeSpace, Develop), s.updateServiceBinding),
		del(one, on(serviceBindingAt, noun, SeeSpace, Operate), s.deleteServiceBinding),
		get(one+"/details", on(serviceBindingAt, noun, SeeSpace, SeeSecrets), s.getBindingDetails),
		get(one+"/parameters", see, s.getBindingParameters),
	}
}

func serviceBindingMeta(b *store.ServiceBinding) *store.Meta { return &b.Meta }

// auditBinding writes audit.service_binding.<what>, or audit.service_key.<what>.
func (c *Ctx) auditBinding(tx *store.Tx, b *store.ServiceBinding, what string, asked map[string]any) error {
	kind := "service_binding"
	if b.Type == store.BindingKey {
		kind = "service_key"
	}
	place, err := placeOf(tx, b.SpaceGUID)
	if err != nil {
		return err
	}
	data := map[string]any{"app_guid": b.AppGUID, "service_instance_guid": b.InstanceGUID}
	if asked != nil {
		data["request"] = asked
	}
	return c.audit(tx, Event{Type: "audit." + kind + "." + what, Target: store.Actor{GUID: b.GUID, Type: kind, Name: b.Name}, Place: place, Data: data})
}

func (s *Server) presentServiceBinding(_ *store.Tx, b *store.ServiceBinding) (capi.ServiceCredentialBinding, error) {
	base := "/v3/service_credential_bindings/" + b.GUID
	out := capi.ServiceCredentialBinding{
		Resource: resource(&b.Meta), Name: nullable(b.Name), Type: b.Type, LastOperation: presentOperation(b.LastOperation),
		Relationships: capi.BindingRelationships{ServiceInstance: capi.To(b.InstanceGUID)}, Metadata: metadata(&b.Meta),
		Links: capi.Links{
			"self": s.link(base), "details": s.link(base + "/details"), "parameters": s.link(base + "/parameters"),
			"service_instance": s.link("/v3/service_instances/" + b.InstanceGUID),
		},
	}
	if b.AppGUID != "" {
		out.Relationships.App = capi.To(b.AppGUID)
		out.Links["app"] = s.link("/v3/apps/" + b.AppGUID)
	}
	return out, nil
}

func (s *Server) listServiceBindings(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.bindingConditions(tx)
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.ServiceBinding, capi.ServiceCredentialBinding]{
			Table: store.ServiceBindings, Meta: serviceBindingMeta, Where: where, Present: s.presentServiceBinding, Include: c.includeForBindings,
		})
	})
}

func (c *Ctx) bindingConditions(tx *store.Tx) ([]store.Cond, error) {
	where, err := c.filterSpaces(tx, "space")
	if err != nil {
		return nil, err
	}
	where = c.filterBy(where, "names", "name", "type", "type", "app_guids", "app", "service_instance_guids", "instance")
	if names, ok := c.Filter.List("app_names"); ok {
		apps, _, err := store.Apps.List(tx, store.Query[store.App]{Where: []store.Cond{store.By("name", names...)}})
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("app", guidsOf(apps, func(a *store.App) string { return a.GUID })...))
	}
	if names, ok := c.Filter.List("service_instance_names"); ok {
		instances, _, err := store.ServiceInstances.List(tx, store.Query[store.ServiceInstance]{Where: []store.Cond{store.By("name", names...)}})
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("instance", guidsOf(instances, func(i *store.ServiceInstance) string { return i.GUID })...))
	}
	return c.filterByPlan(tx, where)
}

// filterByPlan adds the conditions on what the instances of bindings are of.
func (c *Ctx) filterByPlan(tx *store.Tx, where []store.Cond) ([]store.Cond, error) {
	plans := c.filterBy(nil, "service_plan_guids", "guid", "service_plan_names", "name", "service_offering_guids", "offering")
	if names, ok := c.Filter.List("service_offering_names"); ok {
		offerings, err := store.ServiceOfferings.GUIDs(tx, store.By("name", names...))
		if err != nil {
			return nil, err
		}
		plans = append(plans, store.By("offering", offerings...))
	}
	if len(plans) == 0 {
		return where, nil
	}
	guids, err := store.ServicePlans.GUIDs(tx, plans...)
	if err != nil {
		return nil, err
	}
	instances, err := store.ServiceInstances.GUIDs(tx, store.By("plan", guids...))
	return append(where, store.By("instance", instances...)), err
}

// guidsOf lists one GUID of each record.
func guidsOf[T any](records []*T, guid func(*T) string) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = guid(r)
	}
	return out
}

// includeForBindings adds the apps and service instances of bindings, each once.
func (c *Ctx) includeForBindings(tx *store.Tx, bindings []*store.ServiceBinding) (*capi.Included, error) {
	asked, err := c.wantsInclude("app", "service_instance")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	apps := slices.Sorted(slices.Values(guidsOf(bindings, func(b *store.ServiceBinding) string { return b.AppGUID })))
	instances := slices.Sorted(slices.Values(guidsOf(bindings, func(b *store.ServiceBinding) string { return b.InstanceGUID })))
	out := &capi.Included{}
	if slices.Contains(asked, "app") {
		for _, guid := range slices.Compact(apps) {
			if guid == "" {
				continue // a key has no app
			}
			app, err := store.Apps.Get(tx, guid)
			if err != nil {
				return nil, err
			}
			shown, err := c.s.presentApp(tx, app)
			if err != nil {
				return nil, err
			}
			out.Apps = append(out.Apps, shown)
		}
	}
	if slices.Contains(asked, "service_instance") {
		for _, guid := range slices.Compact(instances) {
			i, err := store.ServiceInstances.Get(tx, guid)
			if err != nil {
				return nil, err
			}
			shown, err := c.s.presentServiceInstance(tx, i)
			if err != nil {
				return nil, err
			}
			out.ServiceInstances = append(out.ServiceInstances, shown)
		}
	}
	return out, nil
}

func (s *Server) getServiceBinding(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		shown, err := s.presentServiceBinding(tx, b)
		if err != nil {
			return nil, err
		}
		included, err := c.includeForBindings(tx, []*store.ServiceBinding{b})
		return struct {
			capi.ServiceCredentialBinding
			Included *capi.Included `json:"included,omitempty"`
		}{shown, included}, err
	})
}

func (s *Server) createServiceBinding(c *Ctx) error {
	var in capi.BindingCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	switch {
	case in.Type != capi.BindingApp && in.Type != capi.BindingKey:
		return errInvalid("Type must be one of 'app', 'key'")
	case in.Relationships.ServiceInstance.GUID() == "":
		return errInvalid("Relationships Service instance can't be blank: name it as relationships.service_instance.data.guid")
	case in.Type == capi.BindingApp && in.Relationships.App.GUID() == "":
		return errInvalid("Relationships App can't be blank: name it as relationships.app.data.guid")
	case in.Type == capi.BindingKey && in.Relationships.App != nil:
		return errInvalid("Unknown field(s): 'relationships.app': a key belongs to no app")
	case in.Strategy != "" && in.Strategy != "single" && in.Strategy != "multiple":
		return errInvalid("Strategy must be 'single' or 'multiple'")
	}
	var b *store.ServiceBinding
	return c.UpdateOrJob(func(tx *store.Tx) (job *store.Job, err error) {
		b, job, err = c.bindInBody(tx, &in)
		return job, err
	}, func() error {
		shown, err := s.presentServiceBinding(nil, b)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusCreated, shown)
	})
}

// bindInBody finds what a request names, asks whether the caller may, and binds; a job does it for managed instances.
func (c *Ctx) bindInBody(tx *store.Tx, in *capi.BindingCreate) (*store.ServiceBinding, *store.Job, error) {
	instance, err := c.instanceInBody(tx, in.Relationships.ServiceInstance.GUID())
	if err != nil {
		return nil, nil, err
	}
	b := &store.ServiceBinding{Type: in.Type, InstanceGUID: instance.GUID}
	if in.Name != nil {
		b.Name = *in.Name
	}
	if err := patchMetadata(&b.Meta, in.Metadata); err != nil {
		return nil, nil, err
	}
	var o *store.ServiceOperation
	operation := "service_bindings.create"
	if in.Type == capi.BindingKey {
		operation = "service_keys.create"
		o, err = c.createKey(tx, b, instance, in.Parameters)
	} else {
		var app *store.App
		if app, err = c.appToBind(tx, in.Relationships.App.GUID(), instance); err == nil {
			o, err = c.bind(tx, b, app, instance, binding{several: in.Strategy == "multiple", parameters: in.Parameters})
		}
	}
	if err != nil || o == nil {
		return b, nil, err
	}
	job, err := serviceop.Begin(tx, o, operation)
	return b, job, err
}

// instanceInBody finds an instance of which the caller sees a space.
func (c *Ctx) instanceInBody(tx *store.Tx, guid string) (*store.ServiceInstance, error) {
	hidden := errInvalid(fmt.Sprintf("The service instance could not be found: '%s'", clip(guid, 100)))
	i, err := store.ServiceInstances.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, hidden)
	}
	for _, space := range i.Spaces() {
		place, err := placeOf(tx, space)
		if err != nil {
			return nil, err
		}
		if ok, err := c.Can(tx, place, SeeSpace); err != nil || ok {
			return i, err
		}
	}
	return nil, hidden
}

// appToBind finds the app and asks whether the caller may bind in its space.
func (c *Ctx) appToBind(tx *store.Tx, guid string, instance *store.ServiceInstance) (*store.App, error) {
	own, err := placeOf(tx, instance.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if see, err := c.Can(tx, own, SeeSpace); err != nil {
		return nil, err
	} else if may, err := c.Can(tx, own, Operate); err != nil || see && !may && len(instance.SharedSpaceGUIDs) == 0 {
		return nil, firstOf(err, capi.Forbidden())
	}
	app, err := store.Apps.Get(tx, guid)
	hidden := errInvalid(fmt.Sprintf("The app could not be found: '%s'", clip(guid, 100)))
	if err != nil {
		return nil, orElse(err, hidden)
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return nil, firstOf(err, hidden)
	}
	if !slices.Contains(instance.Spaces(), app.SpaceGUID) {
		return nil, errInvalid("The service instance and the app are in different spaces.")
	}
	return app, c.Allow(tx, place, "App", SeeSpace, Operate)
}

func (s *Server) updateServiceBinding(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		err = firstOf(patchMetadata(&b.Meta, in.Metadata), store.ServiceBindings.Put(tx, b), c.auditBinding(tx, b, "update", map[string]any{"metadata": in.Metadata}))
		if err != nil {
			return nil, err
		}
		return s.presentServiceBinding(tx, b)
	})
}

// toBind is what making and deleting a binding of that type needs: a key shows credentials to people.
func toBind(kind string) Action {
	if kind == store.BindingKey {
		return Develop
	}
	return Operate
}

// deleteServiceBinding deletes what is bound to a user-provided instance at once, and other bindings with a job.
func (s *Server) deleteServiceBinding(c *Ctx) error {
	return c.UpdateOrJob(func(tx *store.Tx) (*store.Job, error) {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		if err := c.Allow(tx, c.place, "Service credential binding", SeeSpace, toBind(b.Type)); err != nil {
			return nil, err
		}
		instance, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil {
			return nil, err
		}
		if instance.Type == store.ServiceManaged {
			return c.unbind(tx, b, instance)
		}
		return nil, firstOf(store.ServiceBindings.Delete(tx, b.GUID), c.auditBinding(tx, b, "delete", nil))
	}, c.NoContent)
}

func (s *Server) getBindingDetails(c *Ctx) error {
	var out capi.BindingDetails
	err := c.Update(func(tx *store.Tx) error {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := needMade(b); err != nil {
			return err
		}
		instance, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil {
			return err
		}
		out.Credentials, out.SyslogDrainURL = appenv.Credentials(b, instance), appenv.DrainURL(b, instance)
		return c.auditBinding(tx, b, "show", nil)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}
