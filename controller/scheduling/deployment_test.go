package scheduling

import (
	"errors"
	"testing"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// deploy creates a deployment the way the API does.
func (w *world) deploy(strategy string, steps ...int) *store.Deployment {
	d := &store.Deployment{
		AppGUID: w.app.GUID, Strategy: strategy, Status: store.DeploymentActive, Reason: store.DeploymentDeploying,
		PreviousDropletGUID: w.app.CurrentDropletGUID, NewProcessType: "web", OldProcessGUIDs: []string{w.web.GUID},
		WantedInstances: w.web.Instances, MaxInFlight: 1, CanarySteps: steps, CanaryStep: 1,
	}
	w.update(func(tx *store.Tx) error {
		d.DropletGUID = w.droplet(tx, "sha256:bbbb").GUID
		if err := store.Deployments.Put(tx, d); err != nil {
			return err
		}
		clone := *w.web
		clone.Meta, clone.Version, clone.DeploymentGUID, clone.DropletGUID, clone.Instances = store.Meta{}, "v2", d.GUID, d.DropletGUID, 1
		if err := store.Processes.Put(tx, &clone); err != nil {
			return err
		}
		d.NewProcessGUID = clone.GUID
		old := *w.web
		old.DropletGUID = w.app.CurrentDropletGUID
		return errors.Join(store.Processes.Put(tx, &old), store.Deployments.Put(tx, d))
	})
	return d
}

func (w *world) deployment(guid string) (d *store.Deployment) {
	w.update(func(tx *store.Tx) (err error) { d, err = store.Deployments.Get(tx, guid); return err })
	return d
}

func (w *world) settle() {
	w.step()
	w.engine.healthy()
	w.step()
}

func TestARollingDeploymentNeverServesFewer(t *testing.T) {
	w := newWorld(t)
	w.settle()
	d := w.deploy("rolling")
	for range 12 {
		w.step()
		if w.running() < 2 {
			t.Fatalf("only %d instances running during the deployment, want at least 2", w.running())
		}
		w.engine.healthy()
	}
	got := w.deployment(d.GUID)
	if got.Status != store.DeploymentFinalized || got.Reason != store.DeploymentDeployed {
		t.Fatalf("deployment = %s/%s %q, want FINALIZED/DEPLOYED", got.Status, got.Reason, got.Error)
	}
	w.update(func(tx *store.Tx) error {
		app, _ := store.Apps.Get(tx, w.app.GUID)
		if app.CurrentDropletGUID != d.DropletGUID {
			t.Error("the app's current droplet is not the new one")
		}
		if n, _ := store.Processes.Count(tx, store.By("app", w.app.GUID)); n != 1 {
			t.Errorf("%d processes are left, want the new web alone", n)
		}
		return nil
	})
	if w.engine.count() != 2 {
		t.Errorf("%d workloads are left, want 2", w.engine.count())
	}
}

func TestADeploymentThatCrashesRollsBack(t *testing.T) {
	w := newWorld(t)
	w.settle()
	d := w.deploy("rolling")
	w.step()
	for range 6 {
		w.engine.set(func(s *node.Status) {
			if s.Labels[labelProcess] == d.NewProcessGUID {
				s.State, s.Crashes, s.Ready, s.Details = node.Crashed, 3, false, "exited with status 1"
			}
		})
		w.step()
		if w.running() < 2 {
			t.Fatalf("only %d of the old instances run", w.running())
		}
	}
	got := w.deployment(d.GUID)
	if got.Reason != store.DeploymentCanceled || got.Error == "" {
		t.Fatalf("deployment = %s/%s %q, want FINALIZED/CANCELED with the reason", got.Status, got.Reason, got.Error)
	}
	if w.engine.count() != 2 {
		t.Errorf("%d workloads are left, want the 2 old ones", w.engine.count())
	}
}

func TestACanaryWaits(t *testing.T) {
	w := newWorld(t)
	w.settle()
	d := w.deploy("canary", 50)
	for range 5 {
		w.step()
		w.engine.healthy()
	}
	if got := w.deployment(d.GUID); got.Reason != store.DeploymentPaused || w.engine.count() != 3 {
		t.Fatalf("canary = %s with %d workloads, want PAUSED with the new one beside both old ones", got.Reason, w.engine.count())
	}
	w.update(func(tx *store.Tx) error { // what `continue` writes
		got, err := store.Deployments.Get(tx, d.GUID)
		got.Reason, got.CanaryStep = store.DeploymentDeploying, 2
		return errors.Join(err, store.Deployments.Put(tx, got))
	})
	for range 8 {
		w.step()
		w.engine.healthy()
	}
	if got := w.deployment(d.GUID); got.Reason != store.DeploymentDeployed {
		t.Fatalf("canary after continue = %s, want DEPLOYED", got.Reason)
	}
}

func TestCancelGoesBack(t *testing.T) {
	w := newWorld(t)
	w.settle()
	d := w.deploy("rolling")
	w.step()
	w.engine.healthy()
	w.step()
	w.update(func(tx *store.Tx) error {
		got, err := store.Deployments.Get(tx, d.GUID)
		got.Reason = store.DeploymentCanceling
		return errors.Join(err, store.Deployments.Put(tx, got))
	})
	for range 8 {
		w.step()
		w.engine.healthy()
		if w.running() < 2 {
			t.Fatalf("%d instances running while going back, want at least 2", w.running())
		}
	}
	got := w.deployment(d.GUID)
	if got.Reason != store.DeploymentCanceled || w.engine.count() != 2 {
		t.Errorf("after cancel: %s with %d workloads, want CANCELED with 2", got.Reason, w.engine.count())
	}
	w.update(func(tx *store.Tx) error {
		n, err := store.AuditEvents.Count(tx, store.By("type", "audit.app.process.delete"))
		if n != 1 {
			t.Errorf("%d events of the end of the new process, want 1", n)
		}
		return err
	})
}
