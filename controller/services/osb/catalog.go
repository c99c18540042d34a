package osb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Catalog is what a broker offers (OSB, Catalog Management), checked.
type Catalog struct {
	Offerings []Offering
}

// Offering is a service of a catalog. Metadata is a JSON object or nothing.
type Offering struct {
	ID, Name, Description string
	Tags, Requires        []string
	Bindable              bool
	InstancesRetrievable  bool
	BindingsRetrievable   bool
	AllowContextUpdates   bool
	PlanUpdateable        bool
	Metadata              json.RawMessage
	Dashboard             *DashboardClient
	Plans                 []Plan
}

// DashboardClient is an OAuth2 client that the broker's dashboard wants to have.
type DashboardClient struct {
	ID, Secret, RedirectURI string
}

// Plan is a plan of an offering. What the offering says of Bindable and PlanUpdateable holds unless the plan says
// other. JSON objects that the catalog does not have are nothing.
type Plan struct {
	ID, Name, Description string
	Free                  bool
	Bindable              bool
	PlanUpdateable        bool
	MaximumPolling        time.Duration // zero: not said
	Metadata              json.RawMessage
	MaintenanceInfo       json.RawMessage
	CreateSchema          json.RawMessage
	UpdateSchema          json.RawMessage
	BindSchema            json.RawMessage
}

// CatalogError tells all that is wrong with a catalog, each with its place, such as services[0].plans[1].name.
type CatalogError struct {
	Problems []string
}

// Error joins the problems.
func (e *CatalogError) Error() string { return strings.Join(e.Problems, "; ") }

// Catalog reads and checks the broker's catalog. It returns a *CatalogError or an *Error.
func (c *Client) Catalog(ctx context.Context, b Broker) (*Catalog, error) {
	a, err := c.do(ctx, b, call{method: http.MethodGet, path: "/v2/catalog"})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.problem()
	}
	var anything struct{}
	if err := a.object(&anything); err != nil {
		return nil, a.malformed(err)
	}
	return ParseCatalog(a.body)
}

// Limits of a catalog.
const (
	offeringsMax = 500
	plansMax     = 500 // of an offering
	nameChars    = 255
	textChars    = 10000
	objectBytes  = 256 << 10
	pollingMax   = 7 * 24 * time.Hour
)

// requirements are what an offering may need of the platform (OSB, Service Offering Object, requires).
var requirements = []string{"syslog_drain", "route_forwarding", "volume_mount"}

// ParseCatalog reads a catalog. The error is a *CatalogError.
func ParseCatalog(raw []byte) (*Catalog, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, &CatalogError{[]string{"the catalog is not valid JSON"}}
	}
	var w walker
	top := w.node("", doc)
	out := &Catalog{}
	for _, s := range top.list("services", true, offeringsMax) {
		out.Offerings = append(out.Offerings, offering(s))
	}
	if len(w.problems) == 0 && len(out.Offerings) == 0 {
		top.wrong("services", "must have at least one service offering")
	}
	w.unique(out)
	if len(w.problems) > 0 {
		return nil, &CatalogError{w.problems}
	}
	return out, nil
}

func offering(n node) Offering {
	o := Offering{
		ID: n.text("id", true, nameChars), Name: n.text("name", true, nameChars), Description: n.text("description", true, textChars),
		Bindable: n.flag("bindable", nil), InstancesRetrievable: n.flag("instances_retrievable", no), BindingsRetrievable: n.flag("bindings_retrievable", no),
		AllowContextUpdates: n.flag("allow_context_updates", no), PlanUpdateable: n.flag("plan_updateable", no),
		Tags: n.texts("tags"), Requires: n.texts("requires"), Metadata: n.object("metadata").raw(objectBytes),
	}
	for i, r := range o.Requires {
		if !slices.Contains(requirements, r) {
			n.wrong(fmt.Sprintf("requires[%d]", i), "must be one of "+strings.Join(requirements, ", "))
		}
	}
	if d := n.object("dashboard_client"); d.fields != nil {
		o.Dashboard = &DashboardClient{ID: d.text("id", true, nameChars), Secret: d.text("secret", true, nameChars), RedirectURI: d.text("redirect_uri", false, textChars)}
	}
	for _, p := range n.list("plans", true, plansMax) {
		o.Plans = append(o.Plans, plan(p, o))
	}
	if list, ok := n.fields["plans"].([]any); ok && len(list) == 0 {
		n.wrong("plans", "must have at least one plan")
	}
	return o
}

func plan(n node, o Offering) Plan {
	p := Plan{
		ID: n.text("id", true, nameChars), Name: n.text("name", true, nameChars), Description: n.text("description", true, textChars),
		Free: n.flag("free", yes), Bindable: n.flag("bindable", &o.Bindable), PlanUpdateable: n.flag("plan_updateable", &o.PlanUpdateable),
		Metadata: n.object("metadata").raw(objectBytes), MaximumPolling: n.seconds("maximum_polling_duration"),
	}
	if m := n.object("maintenance_info"); m.fields != nil {
		if v := m.text("version", true, nameChars); v != "" && !semantic(v) {
			m.wrong("version", "must be a semantic version, such as 1.2.3")
		}
		m.text("description", false, textChars)
		p.MaintenanceInfo = m.raw(objectBytes)
	}
	schemas := n.object("schemas")
	instance, binding := schemas.object("service_instance"), schemas.object("service_binding")
	p.CreateSchema = instance.object("create").schema()
	p.UpdateSchema = instance.object("update").schema()
	p.BindSchema = binding.object("create").schema()
	return p
}

// unique looks for ids and names that are there twice.
func (w *walker) unique(c *Catalog) {
	ids, names := map[string]string{}, map[string]string{}
	clients := map[string]string{}
	twice := func(seen map[string]string, value, at string) {
		if value == "" {
			return
		}
		if first, ok := seen[value]; ok {
			w.add(fmt.Sprintf("%s must be unique, and is the same as %s", at, first))
			return
		}
		seen[value] = at
	}
	for i, o := range c.Offerings {
		at := fmt.Sprintf("services[%d]", i)
		twice(ids, o.ID, at+".id")
		twice(names, o.Name, at+".name")
		if o.Dashboard != nil {
			twice(clients, o.Dashboard.ID, at+".dashboard_client.id")
		}
		plans := map[string]string{}
		for j, p := range o.Plans {
			at := fmt.Sprintf("%s.plans[%d]", at, j)
			twice(ids, p.ID, at+".id")
			twice(plans, p.Name, at+".name")
		}
	}
}
