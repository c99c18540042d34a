package dashboard

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// routePages are those of routes and domains.
func (d *Dashboard) routePages() map[string]reader {
	return map[string]reader{"/routes": d.routesPage, "/domains": d.domainsPage}
}

func (d *Dashboard) routeActions() map[string]writer {
	return map[string]writer{"/routes/{guid}/delete": d.deleteRoute, "/domains": d.createDomain, "/domains/{guid}/delete": d.deleteDomain,
		"/routes/{guid}/policies": d.createPolicy, "/policies/{guid}/delete": d.deletePolicy}
}

// routesView is the page of the routes.
type routesView struct {
	frame
	Routes []routeRow
	Pager  pager
	Host   string
}

type routeRow struct {
	GUID     string
	Link     link
	Protocol string
	Place    link
	Apps     []link
	Options  []string
	Policies []policyRow

	Certificate *state // of its host; nil: there is none, it is no route of HTTP
}

func (d *Dashboard) routesPage(ctx context.Context, q *ask) (screen, error) {
	v := routesView{Host: cut(q.query("host"), 255)}
	f := paged(q.r, "page").With("include", "space.organization")
	if v.Host != "" {
		f = f.With("hosts", v.Host)
	}
	list, err := onePage[capi.Route](ctx, q.c, "/v3/routes", f)
	if err != nil {
		return screen{}, err
	}
	var guids []string
	for _, r := range list.Resources {
		for _, to := range r.Destinations {
			guids = append(guids, to.App.GUID)
		}
	}
	apps, err := appNames(ctx, q.c, guids)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "route", f, list.Pagination)
	known := namesOf(list.Included)
	hosts := map[string]string{}
	for _, one := range list.Resources {
		if host, _, _ := strings.Cut(one.URL, "/"); one.Protocol == "http" && !strings.HasPrefix(host, "*") {
			hosts[one.GUID] = strings.ToLower(host)
		}
	}
	policies, err := readPolicies(ctx, q.c, guidsOf(list.Resources))
	if err != nil {
		return screen{}, err
	}
	certificates, err := hostStates(ctx, q.c, slices.Collect(maps.Values(hosts)))
	if err != nil {
		return screen{}, err
	}
	for _, one := range list.Resources {
		row := routeRow{GUID: one.GUID, Link: link{one.URL, d.routeURL(one.Protocol, one.URL)}, Protocol: one.Protocol, Place: known.place(one.Relationships.Space.GUID()), Policies: policies[one.GUID]}
		seen := map[string]bool{}
		for _, to := range one.Destinations {
			if name, ok := apps[to.App.GUID]; ok && !seen[to.App.GUID] {
				seen[to.App.GUID] = true
				row.Apps = append(row.Apps, link{name, "/apps/" + to.App.GUID})
			}
		}
		for _, name := range sortedKeys(map[string]string(one.Options), nil) {
			row.Options = append(row.Options, name+": "+one.Options[name])
		}
		if s, ok := certificates[hosts[one.GUID]]; ok {
			row.Certificate = &s
		}
		v.Routes = append(v.Routes, row)
	}
	v.Title, v.Section, v.Live = "Routes", "/routes", true
	return screen{"routes", &v}, nil
}

func guidsOf(routes []capi.Route) []string {
	var out []string
	for _, r := range routes {
		out = append(out, r.GUID)
	}
	return out
}

func (d *Dashboard) deleteRoute(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/routes/"+q.guid(), nil)
	return "The route is deleted.", "/routes", err
}

// domainsView is the page of domains.
type domainsView struct {
	frame
	Domains []domainRow
	Pager   pager
	Orgs    []domainChoice
}

type domainRow struct {
	GUID, Name, Owner, Protocols string
	Internal                     bool
}

func (d *Dashboard) domainsPage(ctx context.Context, q *ask) (screen, error) {
	v := domainsView{}
	f := paged(q.r, "page")
	list, err := onePage[capi.Domain](ctx, q.c, "/v3/domains", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "domain", f, list.Pagination)
	orgs, err := onePage[capi.Organization](ctx, q.c, "/v3/organizations", capi.Filter{"order_by": {"name"}, "per_page": {"500"}})
	if err != nil {
		return screen{}, err
	}
	names := map[string]string{}
	for _, o := range orgs.Resources {
		names[o.GUID] = o.Name
		v.Orgs = append(v.Orgs, domainChoice{o.GUID, o.Name})
	}
	for _, one := range list.Resources {
		row := domainRow{GUID: one.GUID, Name: one.Name, Internal: one.Internal, Owner: "everybody"}
		if org := one.Relationships.Organization.GUID(); org != "" {
			row.Owner = names[org]
		}
		for i, p := range one.SupportedProtocols {
			if i > 0 {
				row.Protocols += ", "
			}
			row.Protocols += p
		}
		v.Domains = append(v.Domains, row)
	}
	v.Title, v.Section, v.Live = "Domains", "/domains", true
	return screen{"domains", &v}, nil
}

func (d *Dashboard) createDomain(ctx context.Context, q *ask) (string, string, error) {
	in := capi.DomainCreate{Name: q.form("name")}
	if org := q.form("org"); org != "" {
		in.Relationships = &capi.DomainCreateRelationships{Organization: capi.To(org)}
	}
	_, err := q.c.CreateDomain(ctx, in)
	return "Domain " + in.Name + " is made. Point its name, or a wildcard below it, at this platform.", "/domains", err
}

func (d *Dashboard) deleteDomain(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/domains/"+q.guid(), nil)
	return "The domain is deleted, with its routes.", "/domains", err
}
