package dashboard

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// servicePages are those of service instances, the marketplace and brokers.
func (d *Dashboard) servicePages() map[string]reader {
	return map[string]reader{
		"/services": d.services, "/services/{guid}": d.servicePage, "/marketplace": d.marketplace, "/marketplace/{guid}": d.offeringPage, "/brokers": d.brokers,
	}
}

func (d *Dashboard) serviceActions() map[string]writer {
	return map[string]writer{
		"/services": d.createService, "/services/{guid}/delete": d.deleteService, "/services/{guid}/keys": d.createKey, "/services/{guid}/reveal": d.revealKey,
		"/services/{guid}/backups": d.createBackup, "/services/{guid}/restore": d.restore,
		"/bindings/{guid}/delete": d.deleteBinding, "/brokers": d.createBroker, "/brokers/{guid}/delete": d.deleteBroker, "/brokers/{guid}/refresh": d.refreshBroker,
		"/plans/{guid}/visibility": d.setVisibility,
	}
}

// offering, plan and broker are what these pages read of the resources (CAPI v3, service offerings, plans, brokers).
type offering struct {
	capi.Resource
	Name             string             `json:"name"`
	Description      string             `json:"description"`
	Available        bool               `json:"available"`
	Tags             capi.Array[string] `json:"tags"`
	DocumentationURL string             `json:"documentation_url"`
	Relationships    struct {
		ServiceBroker capi.ToOne `json:"service_broker"`
	} `json:"relationships"`
}

type plan struct {
	capi.Resource
	Name           string `json:"name"`
	Description    string `json:"description"`
	Free           bool   `json:"free"`
	Available      bool   `json:"available"`
	VisibilityType string `json:"visibility_type"`
	Costs          capi.Array[struct {
		Amount   float64 `json:"amount"`
		Currency string  `json:"currency"`
		Unit     string  `json:"unit"`
	}] `json:"costs"`
	Relationships struct {
		ServiceOffering capi.ToOne `json:"service_offering"`
	} `json:"relationships"`
}

type broker struct {
	capi.Resource
	Name          string `json:"name"`
	URL           string `json:"url"`
	Relationships struct {
		Space capi.ToOne `json:"space"`
	} `json:"relationships"`
}

// Price is what a plan costs, in words.
func (p plan) Price() string {
	if p.Free {
		return "free"
	}
	var parts []string
	for _, c := range p.Costs {
		parts = append(parts, decimals(c.Amount, 2)+" "+c.Currency+" "+strings.ToLower(c.Unit))
	}
	if len(parts) == 0 {
		return "paid"
	}
	return strings.Join(parts, ", ")
}

// servicesView is the list of service instances.
type servicesView struct {
	frame
	Services []serviceRow
	Pager    pager
	Spaces   []domainChoice
}

type serviceRow struct {
	GUID, Name, Kind string
	State            state
	Place            link
	Made             time.Time
}

func (d *Dashboard) services(ctx context.Context, q *ask) (screen, error) {
	v := servicesView{}
	f := paged(q.r, "page").With("order_by", "name")
	list, err := onePage[capi.ServiceInstance](ctx, q.c, "/v3/service_instances", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "service instance", f, list.Pagination)
	var spaces, plans []string
	for _, i := range list.Resources {
		spaces, plans = append(spaces, i.Relationships.Space.GUID()), append(plans, i.Relationships.ServicePlan.GUID())
	}
	known, err := readNames(ctx, q.c, unique(spaces))
	if err != nil {
		return screen{}, err
	}
	planNames, err := readPlanNames(ctx, q.c, unique(plans))
	if err != nil {
		return screen{}, err
	}
	for _, i := range list.Resources {
		row := serviceRow{GUID: i.GUID, Name: i.Name, Kind: i.Type, State: operationState(i.LastOperation), Place: known.place(i.Relationships.Space.GUID()), Made: i.CreatedAt.Time}
		if name := planNames[i.Relationships.ServicePlan.GUID()]; name != "" {
			row.Kind = name
		}
		v.Services = append(v.Services, row)
	}
	if v.Spaces, err = spaceChoices(ctx, q.c); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = "Service instances", "/services", true
	return screen{"services", &v}, nil
}

// readPlanNames makes "postgres, small" of plans by GUID.
func readPlanNames(ctx context.Context, c *capi.Client, guids []string) (map[string]string, error) {
	out := map[string]string{}
	if len(guids) == 0 {
		return out, nil
	}
	plans, err := onePage[plan](ctx, c, "/v3/service_plans", capi.Filter{"guids": guids, "per_page": {"200"}})
	if err != nil {
		return nil, err
	}
	var offerings []string
	for _, p := range plans.Resources {
		offerings = append(offerings, p.Relationships.ServiceOffering.GUID())
	}
	if len(offerings) == 0 {
		return out, nil
	}
	list, err := onePage[offering](ctx, c, "/v3/service_offerings", capi.Filter{"guids": unique(offerings), "per_page": {"200"}})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, o := range list.Resources {
		names[o.GUID] = o.Name
	}
	for _, p := range plans.Resources {
		out[p.GUID] = names[p.Relationships.ServiceOffering.GUID()] + ", " + p.Name
	}
	return out, nil
}

// spaceChoices are the spaces that one may choose from, with their orgs.
func spaceChoices(ctx context.Context, c *capi.Client) ([]domainChoice, error) {
	list, err := onePage[capi.Space](ctx, c, "/v3/spaces", capi.Filter{"include": {"organization"}, "per_page": {"500"}, "order_by": {"name"}})
	if err != nil {
		return nil, err
	}
	var out []domainChoice
	known := namesOf(list.Included)
	for _, s := range list.Resources {
		out = append(out, domainChoice{s.GUID, known.orgs[s.Relationships.Organization.GUID()].Name + " / " + s.Name})
	}
	return out, nil
}

// createService makes an instance of a plan, or one whose credentials the user provides.
func (d *Dashboard) createService(ctx context.Context, q *ask) (string, string, error) {
	space, err := q.formGUID("space")
	if err != nil {
		return "", "", err
	}
	in := capi.ServiceInstanceCreate{Type: capi.ServiceUserProvided, Name: q.form("name"), Relationships: capi.ServiceInstanceRelatesTo{Space: capi.To(space)}}
	given := q.form("given")
	if given != "" && !json.Valid([]byte(given)) {
		return "", "", capi.Invalid("that is no JSON: write an object such as {\"uri\": \"…\"}")
	}
	done, next := in.Name+" is made. Bind it to an app on the app's page.", "/services"
	if guid := q.form("plan"); guid != "" {
		in.Type, in.Relationships.ServicePlan = capi.ServiceManaged, capi.To(guid)
		in.Parameters = json.RawMessage(given)
		done = in.Name + " is being made by its broker."
	} else {
		in.Credentials = json.RawMessage(given)
	}
	if _, err := q.c.Begin(ctx, "POST", "/v3/service_instances", in); err != nil {
		return "", "", err
	}
	if made, err := capi.First[capi.ServiceInstance](ctx, q.c, "/v3/service_instances", capi.Filter{"names": {in.Name}, "space_guids": {space}}, "Service instance"); err == nil {
		next = "/services/" + made.GUID
	}
	return done, next, nil
}

// serviceView is the page of a service instance.
type serviceView struct {
	frame
	Instance *capi.ServiceInstance
	Kind     string
	State    state
	Place    place
	Bound    []bindingRow
	Keys     []bindingRow
	Apps     []domainChoice // to bind
	Loss     string         // its name, where deleting it takes data with it
	Lost     string         // what goes with it
	Upgrade  bool           // its plan has something newer
	Use      *serviceUse    // nil: its broker knows

	Data      bool // one of the platform's own data services, which it backs up
	Backups   []backupRow
	Restoring string // how far a restore into a new one is; empty: none goes on
}

type bindingRow struct {
	GUID, Name, AppGUID, App string
	State                    state
	Secret                   string // credentials, where they were asked for
}

func (d *Dashboard) servicePage(ctx context.Context, q *ask) (screen, error) {
	i, err := capi.Get[capi.ServiceInstance](ctx, q.c, "/v3/service_instances/"+q.guid())
	if err != nil {
		return screen{}, err
	}
	v := serviceView{Instance: i, Kind: i.Type, State: operationState(i.LastOperation)}
	p, err := readPlace(ctx, q.c, i.Relationships.Space.GUID())
	if err != nil {
		return screen{}, err
	}
	v.Place = *p
	names, err := readPlanNames(ctx, q.c, unique([]string{i.Relationships.ServicePlan.GUID()}))
	if err != nil {
		return screen{}, err
	}
	if name := names[i.Relationships.ServicePlan.GUID()]; name != "" {
		v.Kind = name
	}
	if err := v.readBindings(ctx, q); err != nil {
		return screen{}, err
	}
	if err := v.readBackups(ctx, q); err != nil {
		return screen{}, err
	}
	v.Loss, v.Lost, v.Use = strings.Join(heldBy(i), ""), lostWith(i), readUse(ctx, q, i)
	v.Upgrade = i.UpgradeAvailable != nil && *i.UpgradeAvailable
	v.Title, v.Section, v.Live = i.Name, "/services", true
	return screen{"service", &v}, nil
}

func (v *serviceView) readBindings(ctx context.Context, q *ask) error {
	list, err := onePage[capi.ServiceCredentialBinding](ctx, q.c, "/v3/service_credential_bindings", capi.Filter{"service_instance_guids": {v.Instance.GUID}, "per_page": {"200"}})
	if err != nil {
		return err
	}
	var apps []string
	for _, b := range list.Resources {
		apps = append(apps, b.Relationships.App.GUID())
	}
	names, err := appNames(ctx, q.c, apps)
	if err != nil {
		return err
	}
	bound, shown := map[string]bool{}, ""
	if !isStream(q.r) {
		shown = q.s.revealed(v.Instance.GUID)
	}
	for _, b := range list.Resources {
		row := bindingRow{GUID: b.GUID, Name: text(b.Name), AppGUID: b.Relationships.App.GUID(), State: operationState(b.LastOperation)}
		if row.AppGUID != "" {
			row.App = names[row.AppGUID]
			bound[row.AppGUID] = true
			v.Bound = append(v.Bound, row)
			continue
		}
		if shown == b.GUID {
			if got, err := capi.Get[capi.BindingDetails](ctx, q.c, "/v3/service_credential_bindings/"+b.GUID+"/details"); err != nil {
				row.Secret = reason(err)
			} else {
				row.Secret = string(got.Credentials)
			}
		}
		v.Keys = append(v.Keys, row)
	}
	all, err := onePage[capi.App](ctx, q.c, "/v3/apps", capi.Filter{"space_guids": {v.Place.GUID}, "order_by": {"name"}, "per_page": {"500"}})
	if err != nil {
		return err
	}
	for _, a := range all.Resources {
		if !bound[a.GUID] {
			v.Apps = append(v.Apps, domainChoice{a.GUID, a.Name})
		}
	}
	return nil
}

func (d *Dashboard) deleteService(ctx context.Context, q *ask) (string, string, error) {
	i, err := capi.Get[capi.ServiceInstance](ctx, q.c, "/v3/service_instances/"+q.guid())
	if err == nil {
		err = q.typed(i.Name, heldBy(i))
	}
	if err != nil {
		return "", "", err
	}
	_, err = q.c.Begin(ctx, "DELETE", "/v3/service_instances/"+q.guid(), nil)
	return "The service instance is being deleted.", "/services", err
}

// createKey makes a key, or binds an app.
func (d *Dashboard) createKey(ctx context.Context, q *ask) (string, string, error) {
	in := capi.BindingCreate{Type: capi.BindingKey, Relationships: capi.BindingRelationships{ServiceInstance: capi.To(q.guid())}}
	done := "The key is made."
	if app := q.form("app"); app != "" {
		in.Type, in.Relationships.App, done = capi.BindingApp, capi.To(app), "The app is bound. Restart it for it to see the credentials."
	} else {
		name := q.form("name")
		in.Name = &name
	}
	_, err := q.c.Begin(ctx, "POST", "/v3/service_credential_bindings", in)
	return done, "/services/" + q.guid(), err
}

func (d *Dashboard) revealKey(_ context.Context, q *ask) (string, string, error) {
	q.s.reveal(q.guid(), q.form("key"))
	return "", "/services/" + q.guid(), nil
}

func (d *Dashboard) deleteBinding(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/service_credential_bindings/"+q.guid(), nil)
	return "It is being taken away; its credentials stop working where the broker takes them back.", d.cameFrom(q.r), err
}
