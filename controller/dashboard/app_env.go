package dashboard

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/controller/capi"
)

// envAll reveals every value.
const envAll = "*"

// envView is the tab of the environment. Values are read with the names, but go no further unless they were asked for.
type envView struct {
	appHead
	Rows   []envRow
	Shown  bool // at least one value
	Broken string
}

type envRow struct {
	Source, Name string
	Key          string // what a form sends to see the value
	Own          bool   // of the app, and may be changed
	Shown        bool
	Value        string
}

func (d *Dashboard) appEnvironment(ctx context.Context, q *ask) (screen, error) {
	v := envView{}
	if err := d.readHead(ctx, q, "/environment", &v.appHead); err != nil {
		return screen{}, err
	}
	v.Live = false // values that were asked for are shown once
	v.read(ctx, q.c, q.s.revealed(v.GUID))
	return screen{"app-environment", &v}, nil
}

// revealEnv shows one value, or all, on the next page and on none after it. It is a form and not a link, so that no value is
// shown because somebody followed an address.
func (d *Dashboard) revealEnv(_ context.Context, q *ask) (string, string, error) {
	q.s.reveal(q.guid(), q.form("key"))
	return "", "/apps/" + q.guid() + "/environment", nil
}

func (v *envView) read(ctx context.Context, c *capi.Client, reveal string) {
	env, err := c.AppEnv(ctx, v.GUID)
	if err != nil {
		v.Broken = broken(err)
		return
	}
	v.add("app", env.EnvironmentVariables, reveal)
	v.add("platform, running", env.RunningEnv, reveal)
	v.add("platform, staging", env.StagingEnv, reveal)
	v.add("services", asText(env.SystemEnv), reveal)
	v.add("platform", asText(env.ApplicationEnv), reveal)
}

func (v *envView) add(source string, vars map[string]string, reveal string) {
	var rows []envRow
	for name, value := range vars {
		row := envRow{Source: source, Name: name, Key: source + "/" + name, Own: source == "app"}
		if reveal == envAll || reveal == row.Key {
			row.Shown, row.Value, v.Shown = true, value, true
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b envRow) int { return strings.Compare(a.Name, b.Name) })
	v.Rows = append(v.Rows, rows...)
}

// asText is each value as an app would see it.
func asText(vars map[string]any) map[string]string {
	out := map[string]string{}
	for name, value := range vars {
		if b, err := json.MarshalIndent(value, "", "  "); err == nil {
			out[name] = string(b)
		}
	}
	return out
}

// setEnv sets one variable, or takes it away.
func (d *Dashboard) setEnv(ctx context.Context, q *ask) (string, string, error) {
	name, next := q.form("name"), "/apps/"+q.guid()+"/environment"
	if name == "" {
		return "", "", capi.Invalid("a variable needs a name")
	}
	if q.form("remove") != "" {
		_, err := q.c.PatchAppEnv(ctx, q.guid(), map[string]any{name: nil})
		return name + " is removed. Restart the app for it to take effect.", next, err
	}
	_, err := q.c.PatchAppEnv(ctx, q.guid(), map[string]any{name: q.r.PostFormValue("value")})
	return name + " is set. Restart the app for it to take effect.", next, err
}

// appRoutesView is the tab of routes.
type appRoutesView struct {
	appHead
	Routes  []appRouteRow
	Domains []domainChoice
	Sources []domainChoice // who may be let in, where a domain enforces route policies
}

type appRouteRow struct {
	GUID, Destination string
	Link              link
	Protocol          string
	Process           string
	Weight            string
	Options           []string
	Shared            int  // other apps that it leads to
	Enforces          bool // its domain lets those in alone that a policy names
	Policies          []policyRow
}

type domainChoice struct{ GUID, Name string }

func (d *Dashboard) appRoutes(ctx context.Context, q *ask) (screen, error) {
	v := appRoutesView{}
	if err := d.readHead(ctx, q, "/routes", &v.appHead); err != nil {
		return screen{}, err
	}
	list, err := onePage[capi.Route](ctx, q.c, "/v3/apps/"+v.GUID+"/routes", capi.Filter{"per_page": {"200"}})
	if err != nil {
		return screen{}, err
	}
	policies, err := readPolicies(ctx, q.c, guidsOf(list.Resources))
	if err != nil {
		return screen{}, err
	}
	enforcing, err := v.readDomains(ctx, q.c)
	if err != nil {
		return screen{}, err
	}
	for _, r := range list.Resources {
		row := appRouteRow{GUID: r.GUID, Link: link{r.URL, d.routeURL(r.Protocol, r.URL)}, Protocol: r.Protocol, Policies: policies[r.GUID], Enforces: enforcing[r.Relationships.Domain.GUID()]}
		for _, to := range r.Destinations {
			if to.App.GUID != v.GUID {
				row.Shared++
				continue
			}
			row.Destination = to.GUID
			if to.App.Process != nil {
				row.Process = to.App.Process.Type
			}
		}
		for _, name := range sortedKeys(map[string]string(r.Options), nil) {
			row.Options = append(row.Options, name+": "+r.Options[name])
		}
		v.Routes = append(v.Routes, row)
	}
	if len(enforcing) > 0 {
		if v.Sources, err = policySources(ctx, q.c, v.Place); err != nil {
			return screen{}, err
		}
	}
	return screen{"app-routes", &v}, nil
}

// readDomains reads the domains that routes of the app's space may have, and says which enforce route policies.
func (v *appRoutesView) readDomains(ctx context.Context, c *capi.Client) (enforcing map[string]bool, err error) {
	space, err := c.Space(ctx, v.Place.GUID)
	if err != nil {
		return nil, err
	}
	list, err := onePage[capi.Domain](ctx, c, "/v3/organizations/"+space.Relationships.Organization.GUID()+"/domains", capi.Filter{"per_page": {"200"}})
	if err != nil {
		return nil, err
	}
	enforcing = map[string]bool{}
	for _, one := range list.Resources {
		v.Domains = append(v.Domains, domainChoice{one.GUID, one.Name})
		if one.EnforceRoutePolicies {
			enforcing[one.GUID] = true
		}
	}
	return enforcing, nil
}

// mapRoute makes a route where there is none yet, and has it lead to the app.
func (d *Dashboard) mapRoute(ctx context.Context, q *ask) (string, string, error) {
	domain, err := q.formGUID("domain")
	if err != nil {
		return "", "", err
	}
	app, err := q.c.App(ctx, q.guid())
	if err != nil {
		return "", "", err
	}
	host, path := q.form("host"), q.form("path")
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	route, err := q.c.FindRoute(ctx, domain, host, path)
	if err != nil {
		in := capi.RouteCreate{Host: host, Path: path, Relationships: capi.RouteCreateRelationships{
			Space: capi.To(app.Relationships.Space.GUID()), Domain: capi.To(domain)}}
		if route, err = q.c.CreateRoute(ctx, in); err != nil {
			return "", "", err
		}
	}
	return route.URL + " leads to " + app.Name + " now.", "/apps/" + q.guid() + "/routes", q.c.MapRoute(ctx, route.GUID, q.guid(), 0, "")
}

func (d *Dashboard) unmapRoute(ctx context.Context, q *ask) (string, string, error) {
	route, err := q.formGUID("route")
	if err != nil {
		return "", "", err
	}
	destination, err := q.formGUID("destination")
	if err != nil {
		return "", "", err
	}
	return "The route no longer leads here. It is kept until it is deleted.", "/apps/" + q.guid() + "/routes", q.c.UnmapRoute(ctx, route, destination)
}

// appServicesView is the tab of bound services.
type appServicesView struct {
	appHead
	Bound []boundRow
	Free  []domainChoice // service instances of the space that are not bound
}

type boundRow struct {
	GUID, Instance, InstanceGUID, Name, Type string
	State                                    state
	Made                                     string
}

func (d *Dashboard) appServices(ctx context.Context, q *ask) (screen, error) {
	v := appServicesView{}
	if err := d.readHead(ctx, q, "/services", &v.appHead); err != nil {
		return screen{}, err
	}
	var wg sync.WaitGroup
	var bindings *capi.List[capi.ServiceCredentialBinding]
	var instances *capi.List[capi.ServiceInstance]
	var errB, errI error
	wg.Go(func() {
		bindings, errB = onePage[capi.ServiceCredentialBinding](ctx, q.c, "/v3/service_credential_bindings",
			capi.Filter{"app_guids": {v.GUID}, "include": {"service_instance"}, "per_page": {"200"}})
	})
	wg.Go(func() {
		instances, errI = onePage[capi.ServiceInstance](ctx, q.c, "/v3/service_instances", capi.Filter{"space_guids": {v.Place.GUID}, "per_page": {"200"}})
	})
	wg.Wait()
	if err := firstError(errB, errI); err != nil {
		return screen{}, err
	}
	bound := map[string]bool{}
	names := map[string]capi.ServiceInstance{}
	if bindings.Included != nil {
		for _, i := range bindings.Included.ServiceInstances {
			names[i.GUID] = i
		}
	}
	for _, b := range bindings.Resources {
		i := names[b.Relationships.ServiceInstance.GUID()]
		bound[i.GUID] = true
		v.Bound = append(v.Bound, boundRow{GUID: b.GUID, Instance: i.Name, InstanceGUID: i.GUID, Name: text(b.Name), Type: i.Type, State: operationState(b.LastOperation)})
	}
	for _, i := range instances.Resources {
		if !bound[i.GUID] {
			v.Free = append(v.Free, domainChoice{i.GUID, i.Name})
		}
	}
	return screen{"app-services", &v}, nil
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// operationState is the last operation of a service instance or binding.
func operationState(o capi.LastOperation) state {
	words := strings.TrimSpace(o.Type + " " + o.State)
	switch o.State {
	case "succeeded", "":
		return state{toneOK, "ready"}
	case "failed":
		return state{toneBad, words}
	}
	return state{toneWait, words}
}

func (d *Dashboard) bindService(ctx context.Context, q *ask) (string, string, error) {
	instance, err := q.formGUID("service-instance")
	if err != nil {
		return "", "", err
	}
	in := capi.BindingCreate{Type: capi.BindingApp, Relationships: capi.BindingRelationships{App: capi.To(q.guid()), ServiceInstance: capi.To(instance)}}
	_, err = q.c.Begin(ctx, "POST", "/v3/service_credential_bindings", in)
	return "The service is bound. Restart the app for it to see the credentials.", "/apps/" + q.guid() + "/services", err
}

func (d *Dashboard) unbindService(ctx context.Context, q *ask) (string, string, error) {
	binding, err := q.formGUID("binding")
	if err != nil {
		return "", "", err
	}
	_, err = q.c.Begin(ctx, "DELETE", "/v3/service_credential_bindings/"+binding, nil)
	return "The service is unbound. The running app keeps what it knows until its restart.", "/apps/" + q.guid() + "/services", err
}
