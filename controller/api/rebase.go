package api

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// rebaseLimit is the most that a rebase may take; it moves no layers.
const rebaseLimit = time.Minute

// StackRefresh is the operation of a job that assembles a stack again, with the newest packages. The controller
// takes such jobs up.
const StackRefresh = "stack.refresh"

// outdated is the condition that an app's droplet stands on another run image than the stack has now. What is not known to
// stand on the new one counts as outdated.
func outdated(tx *store.Tx, st *store.Stack) (store.Cond, error) {
	old, err := store.Droplets.GUIDs(tx, store.By("stack", st.Name), store.NotBy("run_image", st.RunImage))
	return store.By("droplet", old...), err
}

// rebaseDroplet makes a droplet like the one of the path on its stack's newest run image, without a build. It answers
// the droplet itself when that stands on it already.
func (s *Server) rebaseDroplet(c *Ctx) error {
	d, run, err := c.rebasable()
	if err != nil {
		return err
	}
	if d.RunImage == run {
		return c.answer(func(tx *store.Tx) (any, error) { return s.showDroplet(c, tx, d) })
	}
	if s.rebase == nil {
		return errInvalid("This platform cannot rebase droplets.")
	}
	ctx, cancel := context.WithTimeout(c.Context(), rebaseLimit)
	defer cancel()
	digest, err := s.rebase(ctx, d.Repository, d.ImageDigest, run)
	if err != nil {
		return err
	}
	fresh := *d
	fresh.Meta, fresh.ProcessTypes = store.Meta{}, maps.Clone(d.ProcessTypes)
	fresh.RunImage, fresh.ImageDigest = run, digest
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		app, err := store.Apps.Get(tx, d.AppGUID)
		if err != nil {
			return nil, err
		}
		err = firstOf(store.Droplets.Put(tx, &fresh), c.audit(tx, Event{
			Type: "audit.app.droplet.create", Target: appTarget(app), Place: c.place,
			Data: map[string]any{"droplet_guid": fresh.GUID, "rebased_from": d.GUID},
		}))
		if err != nil {
			return nil, err
		}
		return s.showDroplet(c, tx, &fresh)
	})
}

// rebasable is the droplet of the path and the run image that it belongs on.
func (c *Ctx) rebasable() (d *store.Droplet, run string, err error) {
	err = c.View(func(tx *store.Tx) error {
		if d, err = store.Droplets.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		if d.Docker.Image != "" {
			return errInvalid("The droplet is a Docker image, which has no stack: push a newer image.")
		}
		if d.State != store.StateStaged {
			return errInvalid("The droplet is " + d.State + ", not STAGED.")
		}
		st, err := store.Stacks.Find(tx, "name", d.Stack)
		if err != nil || st.RunImage == "" {
			return orElse(err, errInvalid("The droplet's stack has no run image: stage the app again on another stack."))
		}
		run = st.RunImage
		return nil
	})
	return d, run, err
}

// refreshStack begins to assemble the stack again; the job tells when it is done.
func (s *Server) refreshStack(c *Ctx) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) error {
		st, err := c.stackOf(tx)
		if err != nil {
			return err
		}
		if !st.Default {
			return errInvalid("Only the stack that the platform assembles can be refreshed; this one is kept for older apps.")
		}
		running, _, err := store.Jobs.List(tx, store.Query[store.Job]{
			Where: []store.Cond{store.By("state", capi.JobProcessing)},
			Match: func(j *store.Job) bool { return j.Operation == StackRefresh },
		})
		if err != nil {
			return err
		}
		if len(running) > 0 {
			job = running[0] // who asks twice waits for the same
			return nil
		}
		job = &store.Job{Operation: StackRefresh, State: capi.JobProcessing, ResourceType: "stack", ResourceGUID: st.GUID}
		return firstOf(store.Jobs.Put(tx, job), c.audit(tx, Event{Type: "audit.stack.refresh", Target: stackTarget(st)}))
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}
