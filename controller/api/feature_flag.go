package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// flagDefaults are the feature flags and what they are until an operator changes them (contract, 3.2).
var flagDefaults = map[string]bool{
	"user_org_creation": false, "private_domain_creation": true, "app_bits_upload": true, "app_scaling": true,
	"route_creation": true, "service_instance_creation": true, "diego_docker": false, "diego_cnb": false,
	"set_roles_by_username": true, "unset_roles_by_username": true, "task_creation": true, "env_var_visibility": true,
	"space_scoped_private_broker_creation": true, "space_developer_env_var_visibility": true,
	"service_instance_sharing": false, "hide_marketplace_from_unauthenticated_users": false, "resource_matching": true,
	"route_sharing": false, "hash_based_routing": false,
}

func flagDefault(name string) bool { return flagDefaults[name] }

func (s *Server) featureFlagRoutes() []Route {
	see := on(platformAt, "Feature flag", SeePlatform, SeePlatform)
	return []Route{
		index("/v3/feature_flags", signedIn(), s.listFeatureFlags).ordered("name"),
		get("/v3/feature_flags/{name}", see, s.getFeatureFlag),
		patch("/v3/feature_flags/{name}", on(platformAt, "Feature flag", SeePlatform, Administer), s.updateFeatureFlag),
	}
}

func (s *Server) presentFlag(name string, f *store.FeatureFlag) capi.FeatureFlag {
	out := capi.FeatureFlag{Name: name, Enabled: flagDefaults[name], Links: capi.Links{"self": s.link("/v3/feature_flags/" + name)}}
	if f != nil {
		out.Enabled, out.UpdatedAt, out.CustomErrorMessage = f.Enabled, capi.At(f.UpdatedAt), nullable(f.CustomErrorMessage)
	}
	return out
}

// findFlag is what was set of a flag, or nil when it is at its default.
func findFlag(tx *store.Tx, name string) (*store.FeatureFlag, error) {
	if _, known := flagDefaults[name]; !known {
		return nil, capi.NotFound("Feature flag")
	}
	f, err := store.FeatureFlags.Get(tx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return f, err
}

func (s *Server) listFeatureFlags(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		names := slices.Sorted(maps.Keys(flagDefaults))
		if c.Filter.Desc {
			slices.Reverse(names)
		}
		var all []capi.FeatureFlag
		for _, name := range names {
			f, err := findFlag(tx, name)
			if err != nil {
				return nil, err
			}
			if c.Filter.Updated.Zero() || f != nil && c.Filter.Updated.Match(f.UpdatedAt) {
				all = append(all, s.presentFlag(name, f))
			}
		}
		return pageOf(c, all), nil
	})
}

func (s *Server) getFeatureFlag(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		f, err := findFlag(tx, c.Path("name"))
		if err != nil {
			return nil, err
		}
		return s.presentFlag(c.Path("name"), f), nil
	})
}

func (s *Server) updateFeatureFlag(c *Ctx) error {
	var in capi.FeatureFlagUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	name := c.Path("name")
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		f, err := findFlag(tx, name)
		if err != nil {
			return nil, err
		}
		if f == nil {
			f = &store.FeatureFlag{Meta: store.Meta{GUID: name}, Enabled: flagDefaults[name]}
		}
		if in.Enabled != nil {
			f.Enabled = *in.Enabled
		}
		if in.CustomErrorMessage.Set {
			f.CustomErrorMessage = clip(in.CustomErrorMessage.Or(""), 250)
		}
		err = firstOf(store.FeatureFlags.Put(tx, f), c.audit(tx, Event{Type: "audit.feature_flag.update",
			Target: store.Actor{GUID: name, Type: "feature_flag", Name: name}, Data: request(map[string]any{"enabled": f.Enabled})}))
		return s.presentFlag(name, f), err
	})
}
