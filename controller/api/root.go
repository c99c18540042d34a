package api

import (
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// APIVersion is the version of the Cloud Controller API that clients may count on (contract, 1.2).
const APIVersion = "3.224.0"

// osbapiVersion is the newest version of the Open Service Broker API that brokers are spoken to in.
const osbapiVersion = "2.15"

func (s *Server) rootRoutes() []Route {
	return []Route{
		get("/{$}", open(), s.getRoot),
		get("/v3", open(), s.getV3),
		get("/v3/info", open(), s.getInfo),
		get("/v3/info/usage_summary", on(platformAt, "Resource", SeePlatform, AdminRead), s.getUsage),
	}
}

// getRoot is where every client begins. A service that isn't there is null (contract, 1.1).
func (s *Server) getRoot(c *Ctx) error {
	link := func(href string) *capi.RootLink {
		if href == "" {
			return nil
		}
		return &capi.RootLink{Href: href}
	}
	v3 := link(s.publicURL + "/v3")
	v3.Meta = &capi.LinkMeta{Version: APIVersion}
	ssh := link(s.links.AppSSH)
	if ssh != nil {
		ssh.Meta = &capi.LinkMeta{HostKeyFingerprint: s.links.AppSSHFingerprint, OAuthClient: "ssh-proxy"}
	}
	return c.JSON(http.StatusOK, capi.Root{Links: map[string]*capi.RootLink{
		"self": link(s.publicURL), "cloud_controller_v2": nil, "cloud_controller_v3": v3,
		"login": link(s.links.Login), "uaa": link(s.links.UAA), "credhub": nil, "bits_service": nil,
		"network_policy_v0": nil, "network_policy_v1": link(s.links.NetworkPolicy), "routing": link(s.links.Routing),
		"logging": link(s.links.Logging), "log_cache": link(s.links.LogCache), "log_stream": link(s.links.LogStream),
		"app_ssh": ssh,
	}})
}

func (s *Server) getV3(c *Ctx) error {
	links := capi.Links{"self": s.link("/v3")}
	for _, name := range []string{
		"apps", "audit_events", "buildpacks", "builds", "deployments", "domains", "droplets", "environment_variable_groups",
		"feature_flags", "info", "isolation_segments", "organization_quotas", "organizations", "packages", "processes",
		"resource_matches", "roles", "route_policies", "routes", "security_groups", "service_brokers", "service_credential_bindings",
		"service_instances", "service_offerings", "service_plans", "service_route_bindings", "space_quotas", "spaces",
		"stacks", "tasks", "users",
	} {
		links[name] = s.link("/v3/" + name)
	}
	return c.JSON(http.StatusOK, capi.V3Root{Links: links})
}

func (s *Server) getInfo(c *Ctx) error {
	return c.JSON(http.StatusOK, capi.Info{
		Name: "cupola", Build: "cupola", Description: "Cloud Foundry in one binary", OSBAPIVersion: osbapiVersion,
		Links: capi.Links{"self": s.link("/v3/info"), "support": {Href: ""}},
	})
}

// getUsage sums up the whole platform.
func (s *Server) getUsage(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		spaces, err := store.Spaces.GUIDs(tx)
		if err != nil {
			return nil, err
		}
		out, err := s.usage(tx, "/v3/info", spaces)
		if err != nil {
			return nil, err
		}
		out.Usage.Domains, err = store.Domains.Count(tx)
		return out, err
	})
}
