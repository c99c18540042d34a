package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// stackRetry is the wait after a preparation that failed (a mirror that could not be reached, say).
const stackRetry = 30 * time.Second

// stacks prepares the base images at start and writes them into the store; builds wait until then.
type stacks struct {
	db       *store.DB
	config   Config
	registry stack.Registry
	log      *slog.Logger
	// spread has every machine of a cluster fetch an image; nil: all runs on this one.
	spread func(ctx context.Context, image string) error
	// services brings the newest packages into the images of data services as well.
	services func(ctx context.Context) error

	mu       sync.Mutex
	state    string // what goes on, for /readyz; empty: done
	prepared bool   // once; from then on builds have a stack, even while a newer one is made
}

// Run prepares until it worked, and again whenever a job asks for it, until ctx ends.
func (s *stacks) Run(ctx context.Context) error {
	for {
		err := s.prepare(ctx, false)
		if err == nil {
			s.set("")
			return s.serve(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		s.log.Error("stack not prepared; trying again", "error", err, "in", stackRetry)
		s.set(fmt.Sprintf("the stack (%v; trying again every %v)", err, stackRetry))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(stackRetry):
		}
	}
}

// waiting says what readiness waits for, or nothing.
func (s *stacks) waiting() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *stacks) set(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.prepared {
		s.state, s.prepared = state, state == ""
	}
}

// serve takes up the jobs that ask for the newest packages. One that a stop of the server cut off is taken up again.
func (s *stacks) serve(ctx context.Context) error {
	asked := s.db.Watch(ctx, store.Jobs.Name())
	for {
		if err := s.refresh(ctx); err != nil {
			s.log.Error("jobs of stacks can't be read or written", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
		}
	}
}

func (s *stacks) refresh(ctx context.Context) error {
	var jobs []*store.Job
	err := s.db.View(func(tx *store.Tx) (err error) {
		jobs, _, err = store.Jobs.List(tx, store.Query[store.Job]{
			Where: []store.Cond{store.By("state", capi.JobProcessing)},
			Match: func(j *store.Job) bool { return j.Operation == api.StackRefresh },
		})
		return err
	})
	for _, j := range jobs {
		failure := s.prepare(ctx, true)
		if failure == nil {
			failure = s.services(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		j.State = capi.JobComplete
		if failure != nil {
			s.log.Error("stack not refreshed", "error", failure)
			j.State = capi.JobFailed
			j.Errors = []store.JobError{{Code: 10008, Title: "CF-UnprocessableEntity", Detail: "The stack could not be assembled again: " + failure.Error()}}
		}
		err = errors.Join(err, s.db.Update(func(tx *store.Tx) error { return store.Jobs.Put(tx, j) }))
	}
	return err
}

// errGivenImages says that the operator gave the stack's images, so that only the operator can renew them.
var errGivenImages = errors.New("its images were given when the server was started (--builder, --stack-run-image): start it again with newer ones, then patch the apps")

// prepare makes the stack's images usable. When it is to be fresh, a cached stack is not enough.
func (s *stacks) prepare(ctx context.Context, fresh bool) error {
	if fresh && (s.config.Builder != "" || s.config.BuildImage != "") {
		return errGivenImages
	}
	if s.config.Builder != "" {
		return s.write("builder", "the builder image "+s.config.Builder, s.config.Builder, s.config.RunImage)
	}
	prepared, err := s.images(ctx, fresh)
	if err != nil {
		return err
	}
	s.set("the stack (copying it into the registry)")
	build, run, err := prepared.Push(ctx, s.registry, "stacks/"+prepared.ID+"/build", "stacks/"+prepared.ID+"/run")
	if err != nil {
		return err
	}
	s.log.Info("stack ready", "stack", prepared.ID, "version", prepared.Version)
	s.prepull(ctx, prepared.ID, run)
	return s.write(prepared.ID, "version "+prepared.Version, build, run)
}

func (s *stacks) images(ctx context.Context, fresh bool) (*stack.Stack, error) {
	if s.config.BuildImage != "" {
		s.set("the stack (reading " + s.config.BuildImage + ")")
		return stack.FromImages(ctx, s.config.BuildImage, s.config.RunImage)
	}
	s.set("the stack (looking for a prepared one)")
	shown := ""
	return stack.Prepare(ctx, stack.Options{CacheDir: s.config.StackCache, Refresh: fresh, Progress: func(step string, done, total int) {
		s.set(fmt.Sprintf("the stack (%s, %d%%)", step, 100*done/max(1, total)))
		if step != shown {
			shown = step
			s.log.Info("preparing the stack", "step", step)
		}
	}})
}

// prepullTime bounds the wait for the machines of a cluster. Those that are slower go on, and nobody waits for them.
const prepullTime = 5 * time.Minute

// prepull has the machines of a cluster fetch a newer run image before the stack has it, and so before apps are patched: then
// all of them want it at once. A machine that fails fetches it with its first app.
func (s *stacks) prepull(ctx context.Context, name, run string) {
	if s.spread == nil {
		return
	}
	var before string
	err := s.db.View(func(tx *store.Tx) error {
		for st := range store.Stacks.All(tx) {
			if st.Name == name {
				before = st.RunImage
			}
		}
		return nil
	})
	if err != nil || before == "" || before == run {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prepullTime)
	defer cancel()
	began := time.Now()
	if err := s.spread(ctx, run); err != nil {
		s.log.Warn("not every node has the stack's new run image yet; those fetch it with their first app", "error", err)
		return
	}
	s.log.Info("all nodes have the stack's new run image", "stack", name, "took", time.Since(began).Round(time.Millisecond))
}

// write makes the stack the default one. Its images may be newer than those that droplets were built on.
func (s *stacks) write(name, description, build, run string) error {
	return s.db.Update(func(tx *store.Tx) error {
		var mine *store.Stack
		for _, other := range slices.Collect(store.Stacks.All(tx)) {
			if other.Name == name {
				mine = other
				continue
			}
			if other.Default {
				other.Default = false
				if err := store.Stacks.Put(tx, other); err != nil {
					return err
				}
			}
		}
		if mine == nil {
			mine = &store.Stack{Name: name, State: "ACTIVE"}
		}
		if mine.Default && mine.BuildImage == build && mine.RunImage == run && mine.Description == description {
			return nil
		}
		mine.Default, mine.Description, mine.BuildImage, mine.RunImage = true, description, build, run
		return store.Stacks.Put(tx, mine)
	})
}
