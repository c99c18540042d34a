package api

import (
	"maps"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// fixtures are the GUIDs of real resources by the path of their collection, and what else a path or a body names by a
// word of its own.
type fixtures map[string]string

// matrixFixtures makes one of each kind in the first org.
func (w *world) matrixFixtures() fixtures {
	g := fixtures(w.resources())
	app := g["/v3/apps"]
	w.addUser("member-guid", "member", "uaa")
	g["/v3/users"], g["member"] = "member-guid", "member-guid"
	g["org"], g["space"], g["otherOrg"], g["otherSpace"], g["app"], g["shared"] = w.org, w.space, w.otherOrg, w.otherSpace, app, w.domain
	g["instance"] = w.makeService("unbound", nil).want(201).guid()
	g["destination"] = w.as("developer", "POST", "/v3/routes/"+g["/v3/routes"]+"/destinations", `{"destinations":[{"app":{"guid":"`+app+`"}}]}`).
		want(200).str("destinations", 0, "guid")
	w.update(func(tx *store.Tx) error { return w.putFixtures(tx, app, g) })
	return g
}

// putFixtures writes what the API itself does not make on the way.
func (w *world) putFixtures(tx *store.Tx, app string, g fixtures) error {
	var errs []error
	put := func(err error) { errs = append(errs, err) }
	pkg, err := store.Packages.Get(tx, g["/v3/packages"])
	put(err)
	pkg.State = store.StateReady
	put(store.Packages.Put(tx, pkg))
	private := &store.Domain{Name: "private.example.org", OrgGUID: w.org}
	put(store.Domains.Put(tx, private))
	quota := unlimitedQuota()
	quota.Name = "gold"
	put(store.OrgQuotas.Put(tx, quota))
	org, err := store.Orgs.Get(tx, w.org)
	put(err)
	org.QuotaGUID = quota.GUID
	put(store.Orgs.Put(tx, org))
	spaceQuota := unlimitedQuota()
	spaceQuota.Name, spaceQuota.OrgGUID = "silver", w.org
	put(store.SpaceQuotas.Put(tx, spaceQuota))
	space, err := store.Spaces.Get(tx, w.space)
	put(err)
	segment := &store.IsolationSegment{Name: "segment", OrgGUIDs: []string{w.org}}
	put(store.IsolationSegments.Put(tx, segment))
	space.QuotaGUID, space.IsolationSegmentGUID = spaceQuota.GUID, segment.GUID
	put(store.Spaces.Put(tx, space))
	guarded := &store.Domain{Name: "identity.example.org", EnforceRoutePolicies: true, RoutePoliciesScope: store.ScopeAny}
	put(store.Domains.Put(tx, guarded))
	guardedRoute := &store.Route{Host: "guarded", DomainGUID: guarded.GUID, SpaceGUID: w.space}
	put(store.Routes.Put(tx, guardedRoute))
	policy := &store.RoutePolicy{RouteGUID: guardedRoute.GUID, SourceType: store.SourceApp, SourceGUID: app}
	put(store.RoutePolicies.Put(tx, policy))
	group := &store.SecurityGroup{Name: "group", Rules: []byte(`[]`), RunningSpaces: []string{w.space}, StagingSpaces: []string{w.space}}
	put(store.SecurityGroups.Put(tx, group))
	spec := store.SidecarSpec{Name: "side", Command: "run side", ProcessTypes: []string{"web"}}
	sidecar := &store.Sidecar{SidecarSpec: spec, AppGUID: app, SpaceGUID: w.space, Origin: "user"}
	put(store.Sidecars.Put(tx, sidecar))
	revision := &store.Revision{AppGUID: app, SpaceGUID: w.space, Version: 100, DropletGUID: g["/v3/droplets"], Description: "first"}
	put(store.Revisions.Put(tx, revision))
	orgRole := &store.Role{Type: "organization_user", UserGUID: "member-guid", OrgGUID: w.org}
	spaceRole := &store.Role{Type: "space_auditor", UserGUID: "member-guid", OrgGUID: w.org, SpaceGUID: w.space}
	put(store.Roles.Put(tx, orgRole))
	put(store.Roles.Put(tx, spaceRole))
	event := &store.AuditEvent{Type: "audit.app.update", Actor: store.Actor{GUID: "x", Type: "user"}, Target: store.Actor{GUID: app, Type: "app"}, SpaceGUID: w.space, OrgGUID: w.org}
	orgEvent := &store.AuditEvent{Type: "audit.organization.update", Actor: store.Actor{GUID: "x", Type: "user"}, Target: store.Actor{GUID: w.org, Type: "organization"}, OrgGUID: w.org}
	put(store.AuditEvents.Put(tx, event))
	put(store.AuditEvents.Put(tx, orgEvent))
	usage := &store.AppUsageEvent{State: "STARTED", AppGUID: app, SpaceGUID: w.space, OrgGUID: w.org}
	put(store.AppUsageEvents.Put(tx, usage))
	serviceUsage := &store.ServiceUsageEvent{State: "CREATED", SpaceName: "space", InstanceGUID: g["instance"], InstanceName: "unbound", SpaceGUID: w.space, OrgGUID: w.org, InstanceType: "user_provided_service_instance"}
	put(store.ServiceUsageEvents.Put(tx, serviceUsage))
	buildpack := &store.Buildpack{Name: "pack", Lifecycle: "buildpack", Position: 1, Enabled: true, State: store.StateReady}
	put(store.Buildpacks.Put(tx, buildpack))
	job := &store.Job{Operation: "app.delete", State: "COMPLETE"}
	put(store.Jobs.Put(tx, job))
	routers := &store.RouterGroup{Name: DefaultRouterGroup, Type: "tcp", ReservablePorts: "1024-1033"}
	put(store.RouterGroups.Put(tx, routers))
	put(store.NetworkPolicies.Put(tx, &store.NetworkPolicy{SourceAppGUID: app, DestinationAppGUID: app, Protocol: "tcp", FirstPort: 9000, LastPort: 9000}))
	put(w.putMarket(tx, g))
	stacks, _, err := store.Stacks.List(tx, store.Query[store.Stack]{})
	put(err)
	maps.Copy(g, fixtures{
		"private": private.GUID, "/v3/domains": private.GUID, "/v3/organization_quotas": quota.GUID, "/v3/space_quotas": spaceQuota.GUID,
		"/v3/isolation_segments": segment.GUID, "/v3/security_groups": group.GUID, "/v3/sidecars": sidecar.GUID, "/v3/revisions": revision.GUID,
		"/v3/roles": orgRole.GUID, "spaceRole": spaceRole.GUID, "/v3/audit_events": event.GUID, "orgEvent": orgEvent.GUID, "/v3/app_usage_events": usage.GUID,
		"/v3/service_usage_events": serviceUsage.GUID, "/v3/buildpacks": buildpack.GUID, "/v3/jobs": job.GUID, "/v3/stacks": stacks[0].GUID,
		RoutingPath + "/v1/router_groups": routers.GUID, "package": g["/v3/packages"], "droplet": g["/v3/droplets"],
		"/v3/route_policies": policy.GUID, "guardedRoute": guardedRoute.GUID,
	})
	return firstOf(errs...)
}

// fill puts GUIDs in place of {words}.
func (g fixtures) fill(text string) string {
	for key, guid := range g {
		if strings.HasPrefix(key, "/") {
			if rest, ok := strings.CutPrefix(text, key+"/{guid}"); ok {
				text = key + "/" + guid + rest
			}
			continue
		}
		text = strings.ReplaceAll(text, "{"+key+"}", guid)
	}
	return text
}

// variant is one way to ask a route.
type variant struct {
	label string // told in the matrix, in brackets
	path  string // empty: the route's pattern
	body  string
	list  string // what a list must show: a key of the fixtures; empty: the collection
}

func (v variant) pathOf(r Route) string {
	path := v.path
	if path == "" {
		path = r.Pattern
	}
	return strings.NewReplacer("{org}", "{otherOrg}", "{type}", "web", "{index}", "0", "{$}", "", "{name}", namedIn(r.Pattern)).Replace(path)
}

// namedIn is a name that a route with {name} in its path knows.
func namedIn(pattern string) string {
	switch {
	case strings.Contains(pattern, "environment_variable_groups"):
		return "running"
	case strings.Contains(pattern, "feature_flags"):
		return "diego_docker"
	}
	return "ssh"
}

func (v variant) bodyOf(r Route) string {
	switch {
	case v.body != "":
		return v.body
	case r.Method == "GET" || r.Method == "DELETE":
		return ""
	}
	return "{}"
}

func (v variant) shows(r Route) string {
	if v.list != "" {
		return v.list
	}
	return r.Pattern
}

func variantsOf(r Route) []variant {
	if v, ok := variants[r.String()]; ok {
		return v
	}
	return []variant{{}}
}

const (
	inSpaceBody   = `"relationships":{"space":{"data":{"guid":"{space}"}}}`
	inOrgBody     = `"relationships":{"organization":{"data":{"guid":"{org}"}}}`
	ofAppBody     = `"relationships":{"app":{"data":{"guid":"{app}"}}}`
	onePolicyBody = `{"policies":[{"source":{"id":"{app}"},"destination":{"id":"{app}","protocol":"tcp","ports":{"start":8080,"end":8080}}}]}`
)

// variants are the routes that take more than an empty object to be judged.
var variants = map[string][]variant{
	"POST /v3/apps":                             {{body: `{"name":"new",` + inSpaceBody + `}`}},
	"PATCH /v3/apps/{guid}/features/{name}":     {{body: `{"enabled":true}`}, {label: "(revisions)", path: "/v3/apps/{guid}/features/revisions", body: `{"enabled":true}`}},
	"POST /v3/builds":                           {{body: `{"package":{"guid":"{package}"}}`}},
	"POST /v3/deployments":                      {{body: `{` + ofAppBody + `}`}},
	"POST /v3/domains":                          {{label: "(private)", body: `{"name":"new.example.org",` + inOrgBody + `}`}, {label: "(shared)", body: `{"name":"new.example.org"}`}},
	"GET /v3/domains":                           {{label: "(private)"}, {label: "(shared)", list: "shared"}},
	"GET /v3/domains/{guid}":                    onEachDomain(""),
	"PATCH /v3/domains/{guid}":                  onEachDomain(""),
	"DELETE /v3/domains/{guid}":                 onEachDomain(""),
	"GET /v3/domains/{guid}/route_reservations": onEachDomain("/route_reservations"),
	"GET /v3/domains/{guid}/relationships/shared_organizations":  onEachDomain("/relationships/shared_organizations"),
	"POST /v3/domains/{guid}/relationships/shared_organizations": {{body: `{"data":[{"guid":"{otherOrg}"}]}`}},
	"POST /v3/droplets":                       {{body: `{` + ofAppBody + `}`}, {label: "(copy)", path: "/v3/droplets?source_guid={droplet}", body: `{` + ofAppBody + `}`}},
	"POST /v3/packages":                       {{body: `{"type":"bits",` + ofAppBody + `}`}, {label: "(copy)", path: "/v3/packages?source_guid={package}", body: `{` + ofAppBody + `}`}},
	"POST /v3/routes":                         {{body: `{"host":"new","relationships":{"space":{"data":{"guid":"{space}"}},"domain":{"data":{"guid":"{shared}"}}}}`}},
	"POST /v3/route_policies":                 {{body: `{"source":"cf:space:{space}","relationships":{"route":{"data":{"guid":"{guardedRoute}"}}}}`}},
	"POST /v3/service_instances":              {{body: `{"type":"user-provided","name":"new",` + inSpaceBody + `}`}},
	"POST /v3/service_credential_bindings":    {{label: "(app)", body: `{"type":"app","relationships":{"app":{"data":{"guid":"{app}"}},"service_instance":{"data":{"guid":"{instance}"}}}}`}},
	"POST /v3/organizations":                  {{body: `{"name":"new"}`}},
	"PATCH /v3/organizations/{guid}":          {{}, {label: "(suspend)", body: `{"suspended":true}`}},
	"POST /v3/spaces":                         {{body: `{"name":"new",` + inOrgBody + `}`}},
	"POST /v3/space_quotas":                   {{body: `{"name":"new",` + inOrgBody + `}`}},
	"DELETE /v3/spaces/{guid}/routes":         {{path: "/v3/spaces/{guid}/routes?unmapped=true"}},
	"PATCH /v3/spaces/{guid}/features/{name}": {{body: `{"enabled":true}`}},
	"POST /v3/roles": {
		{label: "(org)", body: `{"type":"organization_auditor","relationships":{"user":{"data":{"guid":"{member}"}},"organization":{"data":{"guid":"{org}"}}}}`},
		{label: "(space)", body: `{"type":"space_developer","relationships":{"user":{"data":{"guid":"{member}"}},"space":{"data":{"guid":"{space}"}}}}`},
	},
	"GET /v3/roles":                        {{label: "(org)"}, {label: "(space)", list: "spaceRole"}},
	"GET /v3/roles/{guid}":                 {{label: "(org)"}, {label: "(space)", path: "/v3/roles/{spaceRole}"}},
	"DELETE /v3/roles/{guid}":              {{label: "(org, whose user is in a space)"}, {label: "(space)", path: "/v3/roles/{spaceRole}"}},
	"GET /v3/audit_events":                 {{label: "(space)"}, {label: "(org)", list: "orgEvent"}},
	"GET /v3/audit_events/{guid}":          {{label: "(space)"}, {label: "(org)", path: "/v3/audit_events/{orgEvent}"}},
	"GET /v3/organizations/{guid}/domains": {{label: "(private)", list: "private"}, {label: "(shared)", list: "shared"}},
	"POST /v3/security_groups/{guid}/relationships/running_spaces": {{body: `{"data":[{"guid":"{space}"}]}`}},
	"POST /v3/security_groups/{guid}/relationships/staging_spaces": {{body: `{"data":[{"guid":"{space}"}]}`}},
	"GET /v3/request_stats":                        {{path: "/v3/request_stats?app_guids={app}"}},
	"POST /networking/v1/external/policies":        {{body: onePolicyBody}},
	"POST /networking/v1/external/policies/delete": {{body: onePolicyBody}},
}

// onEachDomain asks a route of one domain for that of an org and for that of everybody.
func onEachDomain(suffix string) []variant {
	return []variant{
		{label: "(private)", path: "/v3/domains/{private}" + suffix},
		{label: "(shared)", path: "/v3/domains/{shared}" + suffix},
	}
}
