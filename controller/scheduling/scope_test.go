package scheduling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// TestChangesLeadToTheSame: whatever happens to apps, records and workloads, in whatever order, when nothing changes any
// more a look at everything finds nothing to do.
func TestChangesLeadToTheSame(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			random := rand.New(rand.NewPCG(seed, 1))
			apps := []pushed{{w.app, w.web}, w.another("second"), w.another("third")}
			for range 80 {
				w.mishap(random, apps[random.IntN(len(apps))])
				if random.IntN(3) > 0 {
					w.step()
				}
			}
			w.rest()
			w.nothingLeft()
		})
	}
}

// pushed is an app with its web process.
type pushed struct {
	app *store.App
	web *store.Process
}

// another is an app like the world's own.
func (w *world) another(name string) pushed {
	app, web := *w.app, *w.web
	w.update(func(tx *store.Tx) error {
		app.Meta, app.Name = store.Meta{}, name
		if err := store.Apps.Put(tx, &app); err != nil {
			return err
		}
		web.Meta, web.AppGUID = store.Meta{GUID: app.GUID}, app.GUID
		return store.Processes.Put(tx, &web)
	})
	return pushed{&app, &web}
}

// rest steps until nothing changes, all workloads being well.
func (w *world) rest() {
	w.t.Helper()
	for range 50 {
		w.engine.healthy()
		w.step()
		before := w.fingerprint()
		w.step()
		if w.fingerprint() == before {
			return
		}
	}
	w.t.Fatal("it does not come to rest")
}

func (w *world) fingerprint() string {
	out := fmt.Sprint(w.engine.count())
	for _, i := range w.instances() {
		out += fmt.Sprint(" ", i.GUID, i.State, i.Routable)
	}
	return out
}

// nothingLeft compares everything with what is there.
func (w *world) nothingLeft() {
	w.t.Helper()
	s := scope{all: true, apps: map[string]bool{}}
	seen, err := w.statuses(context.Background(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.DB.View(func(tx *store.Tx) error {
		p, err := w.readPlan(tx, s, seen)
		if err == nil && len(p.put)+len(p.remove)+len(p.start)+len(p.stop) > 0 {
			w.t.Errorf("a look at everything finds %d to write, %d to remove, %d to start, %d to stop", len(p.put), len(p.remove), len(p.start), len(p.stop))
		}
		if err != nil {
			return err
		}
		waiting, err := store.Tasks.Count(tx, store.By("state", taskPending))
		if waiting > 0 {
			w.t.Errorf("%d tasks were never started", waiting)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// mishap changes one thing, as the API, a developer or a machine might.
func (w *world) mishap(random *rand.Rand, of pushed) {
	w.t.Helper()
	switch random.IntN(9) {
	case 0:
		w.update(func(tx *store.Tx) error {
			of.web.Instances = random.IntN(4)
			return store.Processes.Put(tx, of.web)
		})
	case 1:
		w.update(func(tx *store.Tx) error {
			of.app.State = []string{store.AppStarted, store.AppStopped}[random.IntN(2)]
			return store.Apps.Put(tx, of.app)
		})
	case 2:
		w.update(func(tx *store.Tx) error {
			of.web.Version = fmt.Sprint(random.IntN(3))
			return store.Processes.Put(tx, of.web)
		})
	case 3: // to have it replaced
		if all := w.instances(); len(all) > 0 {
			w.update(func(tx *store.Tx) error { return store.Instances.Delete(tx, all[random.IntN(len(all))].GUID) })
		}
	case 4: // somebody removed a container
		if id := w.engine.any(random); id != "" {
			_ = w.engine.Stop(context.Background(), id, 0)
		}
	case 5:
		if id := w.engine.any(random); id != "" {
			w.engine.set(func(s *node.Status) {
				if s.ID == id {
					s.State, s.Crashes, s.Details = node.Crashed, s.Crashes+1, "exited with status 1"
				}
			})
		}
	case 6:
		w.engine.healthy()
	case 7: // of an app that is no more, and of nobody
		labels := []map[string]string{{labelApp: "gone", labelProcess: "gone"}, {}}[random.IntN(2)]
		w.engine.put(node.Status{ID: fmt.Sprint("stray-", random.IntN(5)), State: node.Running, Labels: labels})
	case 8:
		w.update(func(tx *store.Tx) error {
			return store.Tasks.Put(tx, &store.Task{
				AppGUID: of.app.GUID, SequenceID: random.IntN(1 << 30), Command: "true", State: taskPending, DropletGUID: of.app.CurrentDropletGUID,
			})
		})
	}
}
