package api

import (
	"context"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// someEngines have a plan with the problems that they are given.
type someEngines struct{ problems []capi.EngineProblem }

func (e *someEngines) Plan(_ context.Context, target string) (*capi.Engine, error) {
	return &capi.Engine{
		Engine: capi.EngineDocker, Target: target, Apps: capi.Array[capi.EngineApp]{{GUID: "a1", Name: "hello", Docker: 2, MemoryMB: 128, State: capi.MoveWaits}}, Problems: e.problems,
	}, nil
}

func (e *someEngines) Migration(context.Context) (*capi.Engine, error) {
	return &capi.Engine{Engine: capi.EngineNomad, Migration: &capi.EngineMigration{Target: capi.EngineNomad, State: "RUNNING"}}, nil
}

func TestEngineMigration(t *testing.T) {
	engines := &someEngines{}
	w := newWorld(t, func(o *Options) { o.Engines = engines })
	const at = "/v3/admin/engine/actions/migrate"
	w.as("readonly", "GET", "/v3/admin/engine?target=nomad", nil).want(200, `"target":"nomad"`, `"docker_instances":2`)
	w.as("admin", "GET", "/v3/admin/engine?target=other", nil).want(422, "target must be one of docker, nomad")
	w.as("developer", "GET", "/v3/admin/engine", nil).want(403)
	w.as("readonly", "GET", "/v3/admin/engine?part=migration", nil).want(200, `"state":"RUNNING"`)
	w.as("developer", "GET", "/v3/admin/engine?part=migration", nil).want(403)
	w.as("admin", "GET", "/v3/admin/engine?part=plan", nil).want(422, "part must be migration")
	w.as("readonly", "POST", at, map[string]any{"target": "nomad"}).want(403)
	w.as("admin", "POST", at, map[string]any{"target": "other"}).want(422, "target must be one of docker, nomad")
	for _, n := range []int{0, 51} {
		w.as("admin", "POST", at, map[string]any{"target": "nomad", "parallel": n}).want(422, "parallel must be from 1 to 50")
	}
	engines.problems = []capi.EngineProblem{{App: "hello", Detail: "its image is gone"}}
	w.as("admin", "POST", at, map[string]any{"target": "nomad"}).want(422, "Nothing is moved: app hello: its image is gone")
	begun := func() (m *store.Migration) {
		_ = w.db.View(func(tx *store.Tx) error { m, _ = store.Migrations.Get(tx, store.MigrationGUID); return nil })
		return m
	}
	if m := begun(); m != nil {
		t.Fatalf("what was refused has begun: %+v", m)
	}
	w.as("admin", "POST", at, map[string]any{"target": "nomad", "force": true}).want(202, `"target":"nomad"`)
	if m := begun(); m == nil || m.Target != capi.EngineNomad || m.Parallel != parallelMoves || m.State != store.MigrationRunning || m.BeganAt.IsZero() {
		t.Fatalf("the migration is %+v", m)
	}
	engines.problems = nil
	w.as("admin", "POST", at, map[string]any{"target": "docker", "parallel": 7}).want(202)
	if m := begun(); m.Target != capi.EngineDocker || m.Parallel != 7 {
		t.Errorf("after the way back was asked for the migration is %+v", m)
	}
}

// TestOneEngine: without a cluster there is nothing to move to.
func TestOneEngine(t *testing.T) {
	w := newWorld(t, func(*Options) {})
	w.as("admin", "GET", "/v3/admin/engine", nil).want(400, "--engine nomad")
	w.as("admin", "POST", "/v3/admin/engine/actions/migrate", map[string]any{"target": "nomad"}).want(400, "--engine nomad")
}
