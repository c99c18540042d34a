package nomad

import (
	"testing"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// TestSettle: workloads start where they belong, what runs stays where it is, and who is to leave is told as a change.
func TestSettle(t *testing.T) {
	c := startCluster(t)
	e := opener(t, c.address, "t"+uuid.NewString()[:7])(t, "")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	reg := enginetest.NewRegistry(t)
	image := reg.Image(t, "2000:2000")
	on := func(engine string) node.Status {
		t.Helper()
		s := running(t, e, image)
		if s.Engine != engine || s.Leaving {
			t.Errorf("a workload started on %q, leaving %t, want %q", s.Engine, s.Leaving, engine)
		}
		return s
	}
	there := on(node.EngineNomad)
	e.Settle(node.Settlement{Home: node.EngineDocker})
	here := on(node.EngineDocker)
	leaving := func(id string) bool { return e.Find(id)[0].Leaving }

	e.TakeChanges()
	e.Settle(node.Settlement{Home: node.EngineDocker, Leaves: func(engine string, _ map[string]string) bool { return engine != node.EngineDocker }})
	if changes := e.TakeChanges(); !changes.All {
		t.Errorf("after Settle the changes are %+v, want all", changes)
	}
	if !leaving(there.ID) || leaving(here.ID) {
		t.Errorf("on the way to Docker: leaving there %t, here %t", leaving(there.ID), leaving(here.ID))
	}
	e.Settle(node.Settlement{Leaves: func(engine string, _ map[string]string) bool { return engine != node.EngineNomad }})
	if leaving(there.ID) || !leaving(here.ID) {
		t.Errorf("on the way to Nomad: leaving there %t, here %t", leaving(there.ID), leaving(here.ID))
	}
	e.Settle(node.Settlement{Stays: func(labels map[string]string) bool { return labels["process"] == "p1" }})
	on(node.EngineDocker)
}
