package store

import (
	"slices"
	"strconv"
	"strings"
)

// The tables and their indexes. An index that is added or taken away here is built when a database is opened;
// when what an index holds changes, raise indexVersion.
var (
	Orgs = newTable("orgs",
		by("name", func(o *Org) string { return o.Name }).anyCase().unique(),
		by("quota", func(o *Org) string { return o.QuotaGUID }))

	Spaces = newTable("spaces",
		by("org", func(s *Space) string { return s.OrgGUID }),
		by("name", func(s *Space) string { return s.Name }).anyCase(),
		by("org_name", func(s *Space) string { return join(s.OrgGUID, s.Name) }).anyCase().unique(),
		by("quota", func(s *Space) string { return s.QuotaGUID }),
		by("isolation_segment", func(s *Space) string { return s.IsolationSegmentGUID }))

	OrgQuotas = newTable("org_quotas",
		by("name", func(q *Quota) string { return q.Name }).unique())

	SpaceQuotas = newTable("space_quotas",
		by("org", func(q *Quota) string { return q.OrgGUID }),
		by("name", func(q *Quota) string { return q.Name }),
		by("org_name", func(q *Quota) string { return join(q.OrgGUID, q.Name) }).unique())

	Users = newTable("users",
		by("username", func(u *User) string { return u.Username }).anyCase(),
		by("origin", func(u *User) string { return u.Origin }),
		by("origin_username", func(u *User) string { return join(u.Origin, u.Username) }).anyCase().unique(),
		byEach("external", external).unique(),
		byEach("group", func(u *User) []string { return u.Groups }))

	Groups = newTable("groups",
		by("name", func(g *Group) string { return g.Name }).anyCase().unique())

	RevokedTokens = newTable[RevokedToken]("revoked_tokens")

	Clients = newTable[Client]("clients")

	RefreshTokens = newTable("refresh_tokens",
		by("user", func(t *RefreshToken) string { return t.UserGUID }),
		by("client", func(t *RefreshToken) string { return t.ClientID }))

	Roles = newTable("roles",
		by("user", func(r *Role) string { return r.UserGUID }),
		by("org", func(r *Role) string { return r.OrgGUID }),
		by("space", func(r *Role) string { return r.SpaceGUID }),
		by("type", func(r *Role) string { return r.Type }),
		by("org_user", func(r *Role) string { return join(r.OrgGUID, r.UserGUID) }),
		by("space_user", func(r *Role) string { return join(r.SpaceGUID, r.UserGUID) }),
		// Whose org, of org roles alone.
		byEach("org_only", func(r *Role) []string { return present(orgOnly(r)) }),
		// Who sees the role: whoever sees the org of an org role or the space of a space role, and its user.
		byEach("seen", func(r *Role) []string { return present(orgOnly(r), r.SpaceGUID, r.UserGUID) }),
		by("key", func(r *Role) string { return join(r.Type, r.UserGUID, r.OrgGUID, r.SpaceGUID) }).unique())

	Domains = newTable("domains",
		by("name", func(d *Domain) string { return d.Name }).anyCase().unique(),
		by("org", func(d *Domain) string { return d.OrgGUID }),
		byEach("shared_org", func(d *Domain) []string { return d.SharedOrgGUIDs }),
		by("router_group", func(d *Domain) string { return d.RouterGroupGUID }))

	RouterGroups = newTable("router_groups",
		by("name", func(g *RouterGroup) string { return g.Name }).unique())

	Routes = newTable("routes",
		by("host", func(r *Route) string { return r.Host }).anyCase(),
		by("path", func(r *Route) string { return r.Path }),
		by("port", func(r *Route) string { return strconv.Itoa(r.Port) }).number(),
		by("domain", func(r *Route) string { return r.DomainGUID }),
		by("space", func(r *Route) string { return r.SpaceGUID }),
		byEach("shared_space", func(r *Route) []string { return r.SharedSpaceGUIDs }),
		byEach("in_space", func(r *Route) []string { return append([]string{r.SpaceGUID}, r.SharedSpaceGUIDs...) }),
		byEach("app", routeApps),
		by("key", routeKey).unique())

	RoutePolicies = newTable("route_policies",
		by("route", func(p *RoutePolicy) string { return p.RouteGUID }),
		by("source", (*RoutePolicy).Source),
		by("source_guid", func(p *RoutePolicy) string { return p.SourceGUID }),
		by("key", func(p *RoutePolicy) string { return join(p.RouteGUID, p.Source()) }).unique())

	Apps = newTable("apps",
		by("name", func(a *App) string { return a.Name }).anyCase(),
		by("space", func(a *App) string { return a.SpaceGUID }),
		by("state", func(a *App) string { return a.State }),
		by("stack", func(a *App) string { return a.Lifecycle.Stack }),
		by("lifecycle", func(a *App) string { return a.Lifecycle.Type }),
		by("space_name", func(a *App) string { return join(a.SpaceGUID, a.Name) }).anyCase().unique(),
		by("droplet", func(a *App) string { return a.CurrentDropletGUID }))

	Processes = newTable("processes",
		by("app", func(p *Process) string { return p.AppGUID }),
		by("space", func(p *Process) string { return p.SpaceGUID }),
		by("type", func(p *Process) string { return p.Type }),
		by("app_type", func(p *Process) string { return join(p.AppGUID, p.Type) }),
		by("deployment", func(p *Process) string { return p.DeploymentGUID }))

	Instances = newTable("instances",
		by("app", func(i *Instance) string { return i.AppGUID }),
		by("process", func(i *Instance) string { return i.ProcessGUID }),
		by("host", func(i *Instance) string { return i.Host }),
		by("state", func(i *Instance) string { return i.State }))

	Packages = newTable("packages",
		by("app", func(p *Package) string { return p.AppGUID }),
		by("type", func(p *Package) string { return p.Type }),
		by("state", func(p *Package) string { return p.State }),
		by("sha256", func(p *Package) string { return p.SHA256 }))

	Builds = newTable("builds",
		by("app", func(b *Build) string { return b.AppGUID }),
		by("space", func(b *Build) string { return b.SpaceGUID }),
		by("package", func(b *Build) string { return b.PackageGUID }),
		by("state", func(b *Build) string { return b.State }),
		by("droplet", func(b *Build) string { return b.DropletGUID }))

	Droplets = newTable("droplets",
		by("app", func(d *Droplet) string { return d.AppGUID }),
		by("space", func(d *Droplet) string { return d.SpaceGUID }),
		by("package", func(d *Droplet) string { return d.PackageGUID }),
		by("state", func(d *Droplet) string { return d.State }),
		by("digest", func(d *Droplet) string { return d.ImageDigest }),
		byEach("stack", func(d *Droplet) []string { return present(d.standsOn()) }),
		by("run_image", func(d *Droplet) string { return d.RunImage }),
		by("build", func(d *Droplet) string { return d.BuildGUID }))

	Deployments = newTable("deployments",
		by("app", func(d *Deployment) string { return d.AppGUID }),
		by("space", func(d *Deployment) string { return d.SpaceGUID }),
		by("status", func(d *Deployment) string { return d.Status }),
		by("reason", func(d *Deployment) string { return d.Reason }),
		// CAPI v3's old "state" filter of deployments asks for what is now the reason.
		by("state", func(d *Deployment) string { return d.Reason }))

	Revisions = newTable("revisions",
		by("app", func(r *Revision) string { return r.AppGUID }),
		by("version", func(r *Revision) string { return strconv.Itoa(r.Version) }),
		by("droplet", func(r *Revision) string { return r.DropletGUID }),
		by("app_version", func(r *Revision) string { return join(r.AppGUID, strconv.Itoa(r.Version)) }).unique())

	Sidecars = newTable("sidecars",
		by("app", func(s *Sidecar) string { return s.AppGUID }),
		by("app_name", func(s *Sidecar) string { return join(s.AppGUID, s.Name) }).unique())

	AppUsageEvents = newTable("app_usage_events",
		by("app", func(e *AppUsageEvent) string { return e.AppGUID }))

	ServiceUsageEvents = newTable("service_usage_events",
		by("type", func(e *ServiceUsageEvent) string { return e.InstanceType }),
		by("offering", func(e *ServiceUsageEvent) string { return e.OfferingGUID }))

	Tasks = newTable("tasks",
		by("app", func(t *Task) string { return t.AppGUID }),
		by("space", func(t *Task) string { return t.SpaceGUID }),
		by("name", func(t *Task) string { return t.Name }),
		by("state", func(t *Task) string { return t.State }),
		by("sequence", func(t *Task) string { return join(t.AppGUID, strconv.Itoa(t.SequenceID)) }).unique())

	Buildpacks = newTable("buildpacks",
		by("name", func(b *Buildpack) string { return b.Name }),
		by("stack", func(b *Buildpack) string { return b.Stack }),
		by("lifecycle", func(b *Buildpack) string { return b.Lifecycle }),
		by("position", func(b *Buildpack) string { return strconv.Itoa(b.Position) }).number(),
		by("key", func(b *Buildpack) string { return join(b.Name, b.Stack, b.Lifecycle) }).unique())

	Stacks = newTable("stacks",
		by("name", func(s *Stack) string { return s.Name }).unique(),
		by("default", func(s *Stack) string { return strconv.FormatBool(s.Default) }))

	SecurityGroups = newTable("security_groups",
		by("name", func(g *SecurityGroup) string { return g.Name }).unique(),
		by("running_global", func(g *SecurityGroup) string { return strconv.FormatBool(g.Running) }),
		by("staging_global", func(g *SecurityGroup) string { return strconv.FormatBool(g.Staging) }),
		byEach("running_space", func(g *SecurityGroup) []string { return g.RunningSpaces }),
		byEach("staging_space", func(g *SecurityGroup) []string { return g.StagingSpaces }))

	NetworkPolicies = newTable("network_policies",
		by("source", func(p *NetworkPolicy) string { return p.SourceAppGUID }),
		byEach("app", func(p *NetworkPolicy) []string { return []string{p.SourceAppGUID, p.DestinationAppGUID} }),
		by("key", NetworkPolicyKey).unique())

	IsolationSegments = newTable("isolation_segments",
		by("name", func(s *IsolationSegment) string { return s.Name }).anyCase().unique(),
		byEach("org", func(s *IsolationSegment) []string { return s.OrgGUIDs }))

	FeatureFlags = newTable[FeatureFlag]("feature_flags")

	EnvGroups = newTable[EnvGroup]("env_groups")

	AuditEvents = newTable("audit_events",
		by("type", func(e *AuditEvent) string { return e.Type }),
		by("target", func(e *AuditEvent) string { return e.Target.GUID }),
		by("space", func(e *AuditEvent) string { return e.SpaceGUID }),
		by("org", func(e *AuditEvent) string { return e.OrgGUID }),
		// The places that an event belongs to: who may see one of them may see the event.
		byEach("place", func(e *AuditEvent) []string { return present(e.SpaceGUID, e.OrgGUID) }))

	Jobs = newTable("jobs",
		by("state", func(j *Job) string { return j.State }))

	ServiceInstances = newTable("service_instances",
		by("name", func(i *ServiceInstance) string { return i.Name }),
		by("type", func(i *ServiceInstance) string { return i.Type }),
		by("space", func(i *ServiceInstance) string { return i.SpaceGUID }),
		by("plan", func(i *ServiceInstance) string { return i.PlanGUID }),
		byEach("in_space", (*ServiceInstance).Spaces),
		by("space_name", func(i *ServiceInstance) string { return join(i.SpaceGUID, i.Name) }).unique())

	ServiceBindings = newTable("service_bindings",
		by("name", func(b *ServiceBinding) string { return b.Name }),
		by("type", func(b *ServiceBinding) string { return b.Type }),
		by("space", func(b *ServiceBinding) string { return b.SpaceGUID }),
		by("app", func(b *ServiceBinding) string { return b.AppGUID }),
		by("instance", func(b *ServiceBinding) string { return b.InstanceGUID }))

	ServiceBrokers = newTable("service_brokers",
		by("name", func(b *ServiceBroker) string { return b.Name }).unique(),
		by("space", func(b *ServiceBroker) string { return b.SpaceGUID }))

	ServiceOfferings = newTable("service_offerings",
		by("name", func(o *ServiceOffering) string { return o.Name }),
		by("broker", func(o *ServiceOffering) string { return o.BrokerGUID }),
		by("available", func(o *ServiceOffering) string { return strconv.FormatBool(o.Available) }),
		by("catalog", func(o *ServiceOffering) string { return join(o.BrokerGUID, o.CatalogID) }).unique())

	ServicePlans = newTable("service_plans",
		by("name", func(p *ServicePlan) string { return p.Name }),
		by("offering", func(p *ServicePlan) string { return p.OfferingGUID }),
		by("broker", func(p *ServicePlan) string { return p.BrokerGUID }),
		by("available", func(p *ServicePlan) string { return strconv.FormatBool(p.Available) }),
		by("catalog_id", func(p *ServicePlan) string { return p.CatalogID }),
		byEach("org", func(p *ServicePlan) []string { return p.OrgGUIDs }),
		// For whom it is: PublicPlan, or the GUIDs of orgs or a space.
		byEach("visible", visiblePlan),
		by("catalog", func(p *ServicePlan) string { return join(p.BrokerGUID, p.CatalogID) }).unique())

	ServiceRouteBindings = newTable("service_route_bindings",
		by("space", func(b *ServiceRouteBinding) string { return b.SpaceGUID }),
		by("instance", func(b *ServiceRouteBinding) string { return b.InstanceGUID }),
		by("route", func(b *ServiceRouteBinding) string { return b.RouteGUID }))

	ServiceOperations = newTable("service_operations",
		by("target", func(o *ServiceOperation) string { return o.TargetGUID }),
		by("instance", func(o *ServiceOperation) string { return o.InstanceGUID }),
		by("broker", func(o *ServiceOperation) string { return o.BrokerGUID }),
		by("job", func(o *ServiceOperation) string { return o.JobGUID }))

	Settings = newTable[Setting]("settings")

	NodeTokens = newTable("node_tokens",
		by("hash", func(t *NodeToken) string { return t.Hash }).unique())

	Nodes = newTable[Node]("nodes")

	Migrations = newTable[Migration]("migrations")
	Places     = newTable[Place]("places")
)

// anyTable is a table without its type, for what is done to all of them.
type anyTable interface {
	Name() TableName
	indexNames() []string
	check(*Tx) error
	rebuild(*Tx) error
}

func allTables() []anyTable {
	return []anyTable{
		Orgs, Spaces, OrgQuotas, SpaceQuotas, Users, Groups, RevokedTokens, Clients, RefreshTokens, Roles, Domains, RouterGroups, Routes, RoutePolicies, Apps, Processes,
		Instances, Packages, Builds, Droplets, Deployments, Tasks, Buildpacks, Stacks, SecurityGroups, NetworkPolicies,
		IsolationSegments, FeatureFlags, EnvGroups, AuditEvents, Jobs,
		ServiceInstances, ServiceBindings, Settings,
		ServiceBrokers, ServiceOfferings, ServicePlans, ServiceRouteBindings, ServiceOperations,
		Revisions, Sidecars, AppUsageEvents, ServiceUsageEvents,
		DataServices, DataBindings, DataBackups, DataArchives,
		NodeTokens, Nodes, Places, Migrations,
	}
}

// present drops empty values.
func present(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// orgOnly is the org of an org role; empty for space roles.
func orgOnly(r *Role) string {
	if r.SpaceGUID != "" {
		return ""
	}
	return r.OrgGUID
}

// join makes a compound value. Its parts before the last are GUIDs and words without slashes, so it is unambiguous.
func join(parts ...string) string { return strings.Join(parts, "/") }

// external is under what a user of an identity provider is found: the origin and the provider's name for the user.
func external(u *User) []string {
	if u.ExternalID == "" {
		return nil
	}
	return []string{join(u.Origin, u.ExternalID)}
}

// NetworkPolicyKey is source/destination/protocol/first port/last port.
func NetworkPolicyKey(p *NetworkPolicy) string {
	return join(p.SourceAppGUID, p.DestinationAppGUID, p.Protocol, strconv.Itoa(p.FirstPort), strconv.Itoa(p.LastPort))
}

// routeKey is domain/host/path/port. The path alone keeps its case (RFC 9110 4.2.3), so it can't be left to anyCase.
func routeKey(r *Route) string {
	return join(r.DomainGUID, strings.ToLower(r.Host), r.Path, strconv.Itoa(r.Port))
}

func visiblePlan(p *ServicePlan) []string {
	if p.Public {
		return []string{PublicPlan}
	}
	return append(present(p.SpaceGUID), p.OrgGUIDs...)
}

func routeApps(r *Route) []string {
	var guids []string
	for _, d := range r.Destinations {
		guids = append(guids, d.AppGUID)
	}
	return guids
}
