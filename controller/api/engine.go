package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Engines tells where instances run and what it takes to move them. Its errors are capi's.
type Engines interface {
	// Plan is for a target of capi's engines; empty: where instances start now.
	Plan(ctx context.Context, target string) (*capi.Engine, error)
	// Migration is the one that is under way, with its apps, or else the last one, without; nothing else is looked at.
	Migration(ctx context.Context) (*capi.Engine, error)
}

// Apps that move at the same time.
const (
	parallelMoves    = 3
	maxParallelMoves = 50
)

// eventEngineMigrate tells that what runs is moved from one engine to another.
const eventEngineMigrate = "audit.engine.migrate"

// engineRoutes are Cupola's own, for operators.
func (s *Server) engineRoutes() []Route {
	const at = "/v3/admin/engine"
	return []Route{
		get(at, on(platformAt, "Engine", SeePlatform, AdminRead), s.getEngine),
		post(at+"/actions/migrate", on(platformAt, "Engine", SeePlatform, Administer), s.migrateEngine),
	}
}

func (s *Server) twoEngines() (Engines, error) {
	if s.engines == nil {
		return nil, capi.UnableToPerform.Errorf("This platform has one engine, Docker on this machine: start its server with --engine nomad or --nomad to have a cluster beside it")
	}
	return s.engines, nil
}

func validEngine(name string) error {
	if name != capi.EngineDocker && name != capi.EngineNomad {
		return errInvalid("target must be one of docker, nomad")
	}
	return nil
}

func (s *Server) getEngine(c *Ctx) error {
	engines, err := s.twoEngines()
	if err != nil {
		return err
	}
	switch part := c.R.URL.Query().Get("part"); part {
	case "":
	case "migration":
		now, err := engines.Migration(c.Context())
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, now)
	default:
		return errInvalid("part must be migration")
	}
	target := c.R.URL.Query().Get("target")
	if target != "" {
		if err := validEngine(target); err != nil {
			return err
		}
	}
	plan, err := engines.Plan(c.Context(), target)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, plan)
}

// migrateEngine begins to move what runs, or to move it back. What is in the way is told, and changes nothing.
func (s *Server) migrateEngine(c *Ctx) error {
	var in capi.EngineMigrate
	if err := c.decode(&in); err != nil {
		return err
	}
	engines, err := s.twoEngines()
	if err != nil {
		return err
	}
	parallel := parallelMoves
	if in.Parallel != nil {
		parallel = *in.Parallel
	}
	if err := validEngine(in.Target); err != nil {
		return err
	}
	if parallel < 1 || parallel > maxParallelMoves {
		return errInvalid("parallel must be from 1 to 50")
	}
	plan, err := engines.Plan(c.Context(), in.Target)
	if err != nil {
		return err
	}
	if len(plan.Problems) > 0 && !in.Force {
		return capi.UnprocessableEntity.Errorf("Nothing is moved: %s", problemsOf(plan))
	}
	err = c.Update(func(tx *store.Tx) error {
		m := &store.Migration{
			Meta: store.Meta{GUID: store.MigrationGUID}, Target: in.Target, Parallel: parallel, State: store.MigrationRunning, BeganAt: tx.Now, Maker: c.actor(),
		}
		event := Event{Type: eventEngineMigrate, Target: store.Actor{GUID: store.MigrationGUID, Type: "engine", Name: in.Target}, Data: request(map[string]any{"target": in.Target, "parallel": parallel})}
		return firstOf(store.Migrations.Put(tx, m), c.audit(tx, event))
	})
	if err != nil {
		return err
	}
	if plan, err = engines.Plan(c.Context(), in.Target); err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, plan)
}

func problemsOf(plan *capi.Engine) string {
	var all []string
	for _, p := range plan.Problems {
		if p.App != "" {
			p.Detail = "app " + p.App + ": " + p.Detail
		}
		all = append(all, p.Detail)
	}
	return strings.Join(all, "; ")
}
