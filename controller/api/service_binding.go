package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
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
	for _, market := range []string{"service_plan_guids", "service_plan_names", "service_offering_guids", "service_offering_names"} {
		if c.Filter.Has(market) {
			where = append(where, store.By("guid")) // there are no plans yet
		}
	}
	return where, nil
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
	err := c.Update(func(tx *store.Tx) (err error) {
		b, err = c.bindInBody(tx, &in)
		return err
	})
	if err != nil {
		return err
	}
	shown, err := s.presentServiceBinding(nil, b)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

// bindInBody finds what a request names, asks whether the caller may, and binds.
func (c *Ctx) bindInBody(tx *store.Tx, in *capi.BindingCreate) (*store.ServiceBinding, error) {
	instance, err := store.ServiceInstances.Get(tx, in.Relationships.ServiceInstance.GUID())
	hidden := errInvalid(fmt.Sprintf("The service instance could not be found: '%s'", clip(in.Relationships.ServiceInstance.GUID(), 100)))
	if err != nil {
		return nil, orElse(err, hidden)
	}
	place, err := placeOf(tx, instance.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return nil, firstOf(err, hidden)
	}
	if err := c.Allow(tx, place, "Service instance", SeeSpace, toBind(in.Type)); err != nil {
		return nil, err
	}
	if in.Type == capi.BindingKey {
		return nil, errInvalid("Service credential bindings of type 'key' are not supported for user-provided service instances.")
	}
	if in.Parameters != nil && string(in.Parameters) != "null" && string(in.Parameters) != "{}" {
		return nil, errInvalid("Binding parameters are not supported for user-provided service instances")
	}
	app, err := c.appToBind(tx, in.Relationships.App.GUID(), instance)
	if err != nil {
		return nil, err
	}
	b := &store.ServiceBinding{}
	if in.Name != nil {
		b.Name = *in.Name
	}
	if err := patchMetadata(&b.Meta, in.Metadata); err != nil {
		return nil, err
	}
	return b, c.bind(tx, b, app, instance, in.Strategy == "multiple")
}

func (c *Ctx) appToBind(tx *store.Tx, guid string, instance *store.ServiceInstance) (*store.App, error) {
	app, err := store.Apps.Get(tx, guid)
	hidden := errInvalid(fmt.Sprintf("The app could not be found: '%s'", clip(guid, 100)))
	if err != nil {
		return nil, orElse(err, hidden)
	}
	if app.SpaceGUID == instance.SpaceGUID {
		return app, nil
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return nil, err
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return nil, firstOf(err, hidden)
	}
	return nil, errInvalid("The service instance and the app are in different spaces.")
}

// bindingsMax is how many bindings one app may have to one service instance.
const bindingsMax = 100

// bind writes a binding of app to a service instance; b has its name and metadata. A second binding of the same
// two is refused unless several are wanted.
func (c *Ctx) bind(tx *store.Tx, b *store.ServiceBinding, app *store.App, instance *store.ServiceInstance, several bool) error {
	if b.Name != "" {
		if err := validateName("Name", b.Name); err != nil {
			return err
		}
	}
	others, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("app", app.GUID)}})
	if err != nil {
		return err
	}
	same := 0
	for _, o := range others {
		switch {
		case o.InstanceGUID == instance.GUID && !several:
			return errInvalid("The app is already bound to the service instance")
		case o.InstanceGUID == instance.GUID && o.Name != b.Name:
			return errInvalid("The binding name cannot be changed for the same app and service instance")
		case o.InstanceGUID == instance.GUID:
			same++
		case b.Name != "" && o.Name == b.Name:
			return errInvalid(fmt.Sprintf("The binding name is invalid. App binding names must be unique. The app already has a binding with name '%s'.", clip(b.Name, 100)))
		}
	}
	if same >= bindingsMax {
		return errInvalid(fmt.Sprintf("The app has too many bindings to this service instance (limit: %d). Consider deleting existing/orphaned bindings.", bindingsMax))
	}
	b.Type, b.AppGUID, b.InstanceGUID, b.SpaceGUID = store.BindingApp, app.GUID, instance.GUID, app.SpaceGUID
	b.LastOperation = succeeded(tx, "create")
	return firstOf(
		store.ServiceBindings.Put(tx, b),
		c.auditBinding(tx, b, "create", map[string]any{"type": b.Type, "name": b.Name, "relationships": map[string]any{
			"app": capi.One(app.GUID), "service_instance": capi.One(instance.GUID)}}))
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

func (s *Server) deleteServiceBinding(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := c.Allow(tx, c.place, "Service credential binding", SeeSpace, toBind(b.Type)); err != nil {
			return err
		}
		return firstOf(store.ServiceBindings.Delete(tx, b.GUID), c.auditBinding(tx, b, "delete", nil))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}

func (s *Server) getBindingDetails(c *Ctx) error {
	var out capi.BindingDetails
	err := c.Update(func(tx *store.Tx) error {
		b, err := store.ServiceBindings.Get(tx, c.Path("guid"))
		if err != nil {
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

func (s *Server) getBindingParameters(*Ctx) error {
	return capi.BindingParamsUnsupported.Errorf("This service does not support fetching service binding parameters.")
}
