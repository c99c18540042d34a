package api

import (
	"errors"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// groupBytes is the most that all variables of a group may have together.
const groupBytes = 1 << 20

func (s *Server) envGroupRoutes() []Route {
	return []Route{
		get("/v3/environment_variable_groups/{name}", on(platformAt, "Environment variable group", SeePlatform, SeePlatform), s.getEnvGroup),
		patch("/v3/environment_variable_groups/{name}", on(platformAt, "Environment variable group", SeePlatform, Administer), s.updateEnvGroup),
	}
}

// findEnvGroup is the group running or staging, empty until somebody sets a variable.
func findEnvGroup(tx *store.Tx, name string) (*store.EnvGroup, error) {
	if name != "running" && name != "staging" {
		return nil, capi.NotFound("Environment variable group")
	}
	g, err := store.EnvGroups.Get(tx, name)
	if errors.Is(err, store.ErrNotFound) {
		return &store.EnvGroup{Meta: store.Meta{GUID: name}}, nil
	}
	return g, err
}

func (s *Server) presentEnvGroup(g *store.EnvGroup) capi.EnvGroup {
	return capi.EnvGroup{Name: g.GUID, UpdatedAt: capi.At(g.UpdatedAt), Var: g.Var,
		Links: capi.Links{"self": s.link("/v3/environment_variable_groups/" + g.GUID)}}
}

func (s *Server) getEnvGroup(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		g, err := findEnvGroup(tx, c.Path("name"))
		if err != nil {
			return nil, err
		}
		return s.presentEnvGroup(g), nil
	})
}

func (s *Server) updateEnvGroup(c *Ctx) error {
	var in struct {
		Var map[string]*string `json:"var"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		g, err := findEnvGroup(tx, c.Path("name"))
		if err != nil {
			return nil, err
		}
		g.Var = merge(g.Var, in.Var)
		total := 0
		for k, v := range g.Var {
			total += len(k) + len(v)
		}
		if total > groupBytes {
			return nil, capi.Invalid("The variables of a group may have %d bytes in all", groupBytes)
		}
		names := make([]string, 0, len(in.Var))
		for k := range in.Var {
			names = append(names, k)
		}
		err = firstOf(validateVars(g.Var), store.EnvGroups.Put(tx, g), c.audit(tx, Event{
			Type:   "audit.environment_variable_group.update",
			Target: store.Actor{GUID: g.GUID, Type: "environment_variable_group", Name: g.GUID},
			Data:   request(map[string]any{"names": names}),
		}))
		return s.presentEnvGroup(g), err
	})
}
