package api

import "strings"

// shape is what a route answers with: a resource, or a list of it.
type shape struct {
	fields []wantedKey
	list   bool // an object with resources
	paged  bool // ... and pagination
}

// common are the fields of nearly every resource.
const common = "guid:s created_at:t updated_at:t links:o "

const labelled = common + "metadata:o "

// resourceShapes are the resources (contract 4.7). See wantedKey for the grammar.
var resourceShapes = map[string]string{
	"app": labelled + "name:s state:s lifecycle.type:s lifecycle.data:o relationships.space:1 relationships.current_droplet:1?",
	"process": labelled + `version:s type:s command:s? user:s instances:i memory_in_mb:i disk_in_mb:i log_rate_limit_in_bytes_per_second:i
		health_check.type:s health_check.data.timeout:i? health_check.data.invocation_timeout:i? health_check.data.interval:i?
		readiness_health_check.type:s readiness_health_check.data:o relationships.app:1 relationships.revision:1?`,
	"stat": `type:s index:i instance_guid:s- state:s uptime:i? routable:b? host:s?- instance_internal_ip:s?- mem_quota:i?- disk_quota:i?- log_rate_limit:i?- fds_quota:i?-
		isolation_segment:s? details:s? instance_ports:a?- usage:o?-`,
	"process_instance": "index:i state:s since:i",
	"package":          labelled + "type:s data:o state:s relationships.app:1",
	"build": labelled + `state:s staging_memory_in_mb:i staging_disk_in_mb:i staging_log_rate_limit_bytes_per_second:i error:s? lifecycle.type:s lifecycle.data:o
		package.guid:s droplet:o? created_by.guid:s created_by.name:s created_by.email:s? relationships.app:1`,
	"droplet": labelled + `state:s error:s? lifecycle.type:s lifecycle.data:o checksum:o? buildpacks:a? stack:s? image:s? execution_metadata:s process_types:o
		relationships.app:1`,
	"deployment": labelled + `status.value:s status.reason:s status.details.last_successful_healthcheck:t? status.details.last_status_change:t strategy:s
		options.max_in_flight:i droplet.guid:s previous_droplet.guid:s? new_processes:a revision:o? relationships.app:1`,
	"revision": labelled + "version:i droplet.guid:s processes:o sidecars:a description:s deployable:b relationships.app:1",
	"task": labelled + `sequence_id:i name:s command:s- user:s? state:s memory_in_mb:i disk_in_mb:i log_rate_limit_in_bytes_per_second:i result.failure_reason:s?
		droplet_guid:s relationships.app:1`,
	"sidecar":      "guid:s created_at:t updated_at:t name:s command:s process_types:a memory_in_mb:i? origin:s relationships.app:1",
	"route":        labelled + "protocol:s host:s path:s port:i? url:s destinations:a options:o relationships.space:1 relationships.domain:1",
	"route policy": labelled + "source:s relationships.route:1 relationships.app:1? relationships.space:1? relationships.organization:1?",
	"destination":  "guid:s app.guid:s app.process.type:s weight:i? port:i? protocol:s? created_at:t updated_at:t",
	"domain": labelled + `name:s internal:b router_group:o? supported_protocols:a enforce_route_policies:b- route_policies_scope:s- relationships.organization:1?
		relationships.shared_organizations:n`,
	"organization":       labelled + "name:s suspended:b relationships.quota:1?",
	"space":              labelled + "name:s relationships.organization:1 relationships.quota:1?",
	"organization quota": common + quotaShape + "domains.total_domains:i? relationships.organizations:n",
	"space quota":        common + quotaShape + "relationships.organization:1 relationships.spaces:n",
	"role":               common + "type:s relationships.user:1 relationships.organization:1? relationships.space:1?",
	"user":               labelled + "username:s? presentation_name:s origin:s?",
	"buildpack":          labelled + "name:s stack:s? state:s filename:s? position:i enabled:b locked:b lifecycle:s",
	"stack":              labelled + "name:s description:s? state:s state_reason:s? default:b build_rootfs_image:s run_rootfs_image:s",
	"security group": common + `name:s rules:a globally_enabled.running:b globally_enabled.staging:b relationships.running_spaces:n
		relationships.staging_spaces:n`,
	"feature flag": "name:s enabled:b updated_at:t? custom_error_message:s? links:o",
	"audit event": common + `type:s actor.guid:s actor.type:s actor.name:s target.guid:s target.type:s target.name:s data:o space:o?
		organization:o?`,
	"app usage event": common + `state.current:s state.previous:s? app.guid:s? app.name:s? process.guid:s? process.type:s? space.guid:s? space.name:s?
		organization.guid:s? buildpack.guid:s? buildpack.name:s? task.guid:s? task.name:s? memory_in_mb_per_instance.current:i? memory_in_mb_per_instance.previous:i?
		instance_count.current:i? instance_count.previous:i?`,
	"service usage event": common + `state:s space.guid:s space.name:s organization.guid:s service_instance.guid:s service_instance.name:s service_instance.type:s
		service_plan.guid:s? service_plan.name:s? service_offering.guid:s? service_offering.name:s? service_broker.guid:s? service_broker.name:s?`,
	"isolation segment": labelled + "name:s",
	"service instance": labelled + `name:s type:s tags:a last_operation.type:s last_operation.state:s last_operation.description:s? last_operation.created_at:t
		last_operation.updated_at:t relationships.space:1 relationships.service_plan:1- syslog_drain_url:s?- route_service_url:s?- maintenance_info:o- upgrade_available:b- dashboard_url:s?- data_service:o-`,
	"service broker": labelled + `name:s url:s`,
	"service offering": labelled + `name:s description:s available:b tags:a requires:a shareable:b documentation_url:s? broker_catalog.id:s broker_catalog.metadata:o
		broker_catalog.features.plan_updateable:b broker_catalog.features.bindable:b broker_catalog.features.instances_retrievable:b
		broker_catalog.features.bindings_retrievable:b broker_catalog.features.allow_context_updates:b relationships.service_broker:1`,
	"service plan": labelled + `name:s visibility_type:s available:b free:b costs:a description:s maintenance_info:o broker_catalog.id:s broker_catalog.metadata:o
		broker_catalog.maximum_polling_duration:i? broker_catalog.features.plan_updateable:b broker_catalog.features.bindable:b
		schemas.service_instance.create.parameters:o schemas.service_instance.update.parameters:o schemas.service_binding.create.parameters:o
		relationships.service_offering:1 relationships.space:1-`,
	"service route binding":      labelled + `route_service_url:s? last_operation.type:s last_operation.state:s relationships.service_instance:1 relationships.route:1`,
	"plan visibility":            `type:s organizations:a- space:o-`,
	"service credential binding": labelled + `name:s? type:s last_operation.type:s last_operation.state:s relationships.service_instance:1 relationships.app:1-`,
	"job":                        common + "operation:s state:s errors:a warnings:a",
	"environment group":          "name:s var:o updated_at:t? links:o",
	"app environment":            "environment_variables:o staging_env_json:o running_env_json:o system_env_json:o application_env_json:o",
	"variables":                  "var:o links:o",
	"feature":                    "name:s description:s enabled:b",
	"ssh enabled":                "enabled:b reason:s",
	"app permissions":            "read_basic_data:b read_sensitive_data:b",
	"to-one":                     "data:o? links.self:o",
	"to-many":                    "data:a links.self:o",
	"destinations":               "destinations:a links:o",
	"usage summary":              "usage_summary:o links:o",
	"manifest diff":              "diff:a",
	"status":                     "status:s",
	"resource match":             "path:s- mode:s?- checksum.value:s size_in_bytes:i",
	"shared organizations":       "data:a",
	"reservation":                "matching_route:b",
	"service permissions":        "manage:b read:b",
	"binding details":            "credentials:o",
	"shared usage":               "usage_summary:a",
}

const quotaShape = `name:s apps.total_memory_in_mb:i? apps.per_process_memory_in_mb:i? apps.total_instances:i? apps.per_app_tasks:i? apps.log_rate_limit_in_bytes_per_second:i?
	services.paid_services_allowed:b services.total_service_instances:i? services.total_service_keys:i? routes.total_routes:i? routes.total_reserved_ports:i? `

// collections answer GET with a list, GET and PATCH of one with it, POST with it too.
var collections = map[string]string{
	"/v3/apps": "app", "/v3/builds": "build", "/v3/packages": "package", "/v3/droplets": "droplet", "/v3/deployments": "deployment", "/v3/routes": "route",
	"/v3/domains": "domain", "/v3/organizations": "organization", "/v3/spaces": "space", "/v3/organization_quotas": "organization quota",
	"/v3/space_quotas": "space quota", "/v3/roles": "role", "/v3/users": "user", "/v3/buildpacks": "buildpack", "/v3/stacks": "stack",
	"/v3/security_groups": "security group", "/v3/isolation_segments": "isolation segment", "/v3/service_instances": "service instance",
	"/v3/service_credential_bindings": "service credential binding", "/v3/service_brokers": "service broker", "/v3/service_offerings": "service offering",
	"/v3/service_plans": "service plan", "/v3/service_route_bindings": "service route binding", "/v3/route_policies": "route policy",
}

// lists answer with a page of resources.
var lists = map[string]string{
	"/v3/processes": "process", "/v3/apps/{guid}/processes": "process", "/v3/apps/{guid}/packages": "package", "/v3/apps/{guid}/builds": "build",
	"/v3/apps/{guid}/droplets": "droplet", "/v3/packages/{guid}/droplets": "droplet", "/v3/tasks": "task", "/v3/apps/{guid}/tasks": "task",
	"/v3/apps/{guid}/routes": "route", "/v3/apps/{guid}/revisions": "revision", "/v3/apps/{guid}/revisions/deployed": "revision",
	"/v3/apps/{guid}/sidecars": "sidecar", "/v3/processes/{guid}/sidecars": "sidecar", "/v3/apps/{guid}/processes/{type}/sidecars": "sidecar",
	"/v3/apps/{guid}/features": "feature", "/v3/spaces/{guid}/features": "feature", "/v3/organizations/{guid}/domains": "domain",
	"/v3/organizations/{guid}/users": "user", "/v3/spaces/{guid}/users": "user", "/v3/stacks/{guid}/apps": "app",
	"/v3/isolation_segments/{guid}/organizations": "organization", "/v3/spaces/{guid}/running_security_groups": "security group",
	"/v3/spaces/{guid}/staging_security_groups": "security group", "/v3/feature_flags": "feature flag", "/v3/audit_events": "audit event",
	"/v3/app_usage_events": "app usage event", "/v3/service_usage_events": "service usage event",
}

// single are all others, by method and pattern.
var single = map[string]string{
	"POST /v3/apps/{guid}/actions/start": "app", "POST /v3/apps/{guid}/actions/stop": "app", "POST /v3/apps/{guid}/actions/restart": "app",
	"GET /v3/apps/{guid}/env": "app environment", "GET /v3/apps/{guid}/environment_variables": "variables",
	"PATCH /v3/apps/{guid}/environment_variables": "variables", "GET /v3/apps/{guid}/permissions": "app permissions", "GET /v3/apps/{guid}/ssh_enabled": "ssh enabled",
	"GET /v3/apps/{guid}/features/{name}": "feature", "PATCH /v3/apps/{guid}/features/{name}": "feature", "GET /v3/spaces/{guid}/features/{name}": "feature",
	"PATCH /v3/spaces/{guid}/features/{name}": "feature", "GET /v3/apps/{guid}/relationships/current_droplet": "to-one",
	"PATCH /v3/apps/{guid}/relationships/current_droplet": "to-one", "GET /v3/apps/{guid}/droplets/current": "droplet",
	"GET /v3/processes/{guid}": "process", "PATCH /v3/processes/{guid}": "process", "POST /v3/processes/{guid}/actions/scale": "process",
	"GET /v3/apps/{guid}/processes/{type}": "process", "PATCH /v3/apps/{guid}/processes/{type}": "process", "POST /v3/apps/{guid}/processes/{type}/actions/scale": "process",
	"POST /v3/packages/{guid}/upload": "package", "POST /v3/droplets/{guid}/upload": "droplet", "POST /v3/droplets/{guid}/actions/rebase": "droplet", "POST /v3/buildpacks/{guid}/upload": "buildpack",
	"POST /v3/apps/{guid}/tasks": "task", "GET /v3/tasks/{guid}": "task", "PATCH /v3/tasks/{guid}": "task",
	"PUT /v3/tasks/{guid}/cancel": "task", "POST /v3/tasks/{guid}/actions/cancel": "task", "GET /v3/revisions/{guid}": "revision", "PATCH /v3/revisions/{guid}": "revision",
	"GET /v3/revisions/{guid}/environment_variables": "variables", "POST /v3/apps/{guid}/sidecars": "sidecar", "GET /v3/sidecars/{guid}": "sidecar",
	"PATCH /v3/sidecars/{guid}": "sidecar", "GET /v3/routes/{guid}/destinations": "destinations", "POST /v3/routes/{guid}/destinations": "destinations",
	"PATCH /v3/routes/{guid}/destinations": "destinations", "PATCH /v3/routes/{guid}/destinations/{destination}": "destination",
	"GET /v3/domains/{guid}/route_reservations": "reservation", "GET /v3/routes/{guid}/relationships/shared_spaces": "to-many",
	"POST /v3/routes/{guid}/relationships/shared_spaces": "to-many", "GET /v3/jobs/{guid}": "job", "POST /v3/spaces/{guid}/manifest_diff": "manifest diff",
	"GET /v3/organizations/{guid}/domains/default": "domain", "GET /v3/organizations/{guid}/usage_summary": "usage summary", "GET /v3/spaces/{guid}/usage_summary": "usage summary", "GET /v3/info/usage_summary": "usage summary",
	"GET /v3/organizations/{guid}/relationships/default_isolation_segment": "to-one", "PATCH /v3/organizations/{guid}/relationships/default_isolation_segment": "to-one",
	"GET /v3/spaces/{guid}/relationships/isolation_segment": "to-one", "PATCH /v3/spaces/{guid}/relationships/isolation_segment": "to-one",
	"POST /v3/organization_quotas/{guid}/relationships/organizations": "to-many", "POST /v3/space_quotas/{guid}/relationships/spaces": "to-many",
	"GET /v3/domains/{guid}/relationships/shared_organizations": "shared organizations", "POST /v3/domains/{guid}/relationships/shared_organizations": "shared organizations",
	"POST /v3/security_groups/{guid}/relationships/running_spaces": "to-many", "POST /v3/security_groups/{guid}/relationships/staging_spaces": "to-many",
	"GET /v3/isolation_segments/{guid}/relationships/organizations": "to-many", "GET /v3/isolation_segments/{guid}/relationships/spaces": "to-many",
	"POST /v3/isolation_segments/{guid}/relationships/organizations": "to-many", "GET /v3/feature_flags/{name}": "feature flag", "PATCH /v3/feature_flags/{name}": "feature flag",
	"GET /v3/environment_variable_groups/{name}": "environment group", "PATCH /v3/environment_variable_groups/{name}": "environment group",
	"GET /v3/service_instances/{guid}/permissions": "service permissions", "GET /v3/service_instances/{guid}/relationships/shared_spaces": "to-many",
	"GET /v3/service_instances/{guid}/relationships/shared_spaces/usage_summary": "shared usage", "GET /v3/service_credential_bindings/{guid}/details": "binding details",
	"POST /v3/service_instances/{guid}/relationships/shared_spaces": "to-many", "GET /v3/service_plans/{guid}/visibility": "plan visibility",
	"PATCH /v3/service_plans/{guid}/visibility": "plan visibility", "POST /v3/service_plans/{guid}/visibility": "plan visibility",
	"PATCH /v3/routes/{guid}/relationships/space": "status",
	"GET /v3/audit_events/{guid}":                 "audit event", "GET /v3/app_usage_events/{guid}": "app usage event", "GET /v3/service_usage_events/{guid}": "service usage event",
}

// bare are lists without pagination.
var bare = map[string]string{
	"/v3/processes/{guid}/stats": "stat", "/v3/apps/{guid}/processes/{type}/stats": "stat",
	"/v3/processes/{guid}/process_instances": "process_instance", "/v3/apps/{guid}/processes/{type}/process_instances": "process_instance",
}

// shapeless answer with nothing, with a file, or with what has a form for itself.
var shapeless = []string{
	"POST /v3/spaces/{guid}/actions/apply_manifest", "POST /v3/apps/{guid}/actions/apply_manifest", "POST /v3/apps/{guid}/actions/clear_buildpack_cache", "POST /v3/admin/actions/clear_buildpack_cache", "POST /v3/admin/nodes/{guid}/actions/drain", "POST /v3/admin/nodes/{guid}/actions/resume", "PATCH /v3/admin/nodes/{guid}",
	"POST /v3/admin/node_tokens", "POST /v3/nodes", // our own
	"POST /v3/app_usage_events/actions/destructively_purge_all_and_reseed", "POST /v3/service_usage_events/actions/destructively_purge_all_and_reseed",
	"POST /v3/stacks/{guid}/actions/refresh", "POST /v3/deployments/{guid}/actions/cancel", "POST /v3/deployments/{guid}/actions/continue",
	"GET /v3/packages/{guid}/download", "GET /v3/droplets/{guid}/download", "GET /v3/apps/{guid}/manifest", "GET /v3/info",
	"GET /v3/service_instances/{guid}/credentials",                                                         // whatever a user put there
	"GET /v3/service_instances/{guid}/parameters", "GET /v3/service_credential_bindings/{guid}/parameters", // whatever a broker says
	"GET /v3/service_route_bindings/{guid}/parameters",
	"GET /v3/apps/{guid}/request_stats", "GET /v3/request_stats", "GET /v3/admin/nodes", "GET /v3/summary", "GET /v3/map", // our own
	"GET /v3/admin/nodes/{guid}/instances", "GET /v3/admin/engine", "POST /v3/admin/engine/actions/migrate", "GET /v3/admin/disks", "POST /v3/admin/actions/clean_up", "GET /v3/certificates", "GET /v3/backup_states", "GET /v3/apps/{guid}/causes", "GET /v3/builds/{guid}/phases",
	"GET /v3/service_instances/{guid}/backups", "POST /v3/service_instances/{guid}/backups", "POST /v3/service_instances/{guid}/actions/restore",
	"GET /v3/deleted_service_instances", "POST /v3/deleted_service_instances/{guid}/actions/restore",
}

// shapes says, for a method and pattern, what a success has.
var shapes = func() map[string]shape {
	out := map[string]shape{}
	of := func(name string) []wantedKey {
		text, ok := resourceShapes[name]
		if !ok {
			panic("no shape " + name)
		}
		return parseFields(strings.Join(strings.Fields(text), " "))
	}
	for path, name := range collections {
		out["GET "+path] = shape{fields: of(name), list: true, paged: true}
		for _, one := range []string{"POST " + path, "GET " + path + "/{guid}", "PATCH " + path + "/{guid}"} {
			out[one] = shape{fields: of(name)}
		}
	}
	for path, name := range lists {
		out["GET "+path] = shape{fields: of(name), list: true, paged: true}
	}
	for path, name := range bare {
		out["GET "+path] = shape{fields: of(name), list: true}
	}
	delete(out, "PATCH /v3/roles/{guid}")     // a role does not change
	delete(out, "POST /v3/service_offerings") // these two come with a catalog
	delete(out, "POST /v3/service_plans")
	out["POST /v3/resource_matches"] = shape{fields: of("resource match"), list: true}
	for route, name := range single {
		out[route] = shape{fields: of(name)}
	}
	return out
}()
