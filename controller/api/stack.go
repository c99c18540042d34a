package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// States of a stack besides the first, in which everything is staged on it.
const (
	stackRestricted = "RESTRICTED"
	stackDeprecated = "DEPRECATED"
	stackDisabled   = "DISABLED"
)

var stackStates = []string{"ACTIVE", stackRestricted, stackDeprecated, stackDisabled}

func (s *Server) stackRoutes() []Route {
	see := on(platformAt, "Stack", SeePlatform, SeePlatform)
	admin := on(platformAt, "Stack", SeePlatform, Administer)
	return []Route{
		index("/v3/stacks", signedIn(), s.listStacks, "names", "default").ordered("name"),
		post("/v3/stacks", admin, s.createStack),
		get("/v3/stacks/{guid}", see, s.getStack),
		patch("/v3/stacks/{guid}", admin, s.updateStack),
		del("/v3/stacks/{guid}", admin, s.deleteStack),
		post("/v3/stacks/{guid}/actions/refresh", admin, s.refreshStack),
		index("/v3/stacks/{guid}/apps", see, s.listStackApps, "outdated"),
	}
}

func (s *Server) presentStack(_ *store.Tx, st *store.Stack) (capi.Stack, error) {
	return capi.Stack{
		Resource: resource(&st.Meta), Name: st.Name, Description: nullable(st.Description), State: st.State, StateReason: nullable(st.StateReason),
		Default: st.Default, BuildRootfsImage: st.BuildImage, RunRootfsImage: st.RunImage, Metadata: metadata(&st.Meta),
		Links: capi.Links{"self": s.link("/v3/stacks/" + st.GUID)},
	}, nil
}

// allowStack refuses to stage on a stack that operators have closed, for all apps or for new ones, and warns of one that they
// will close. The empty name is of apps without a stack.
func (c *Ctx) allowStack(tx *store.Tx, name string, newApp bool) error {
	if name == "" {
		return nil
	}
	st, err := store.Stacks.Find(tx, "name", name)
	if err != nil {
		return orElse(err, nil) // what becomes of apps whose stack is gone is said elsewhere
	}
	why := ""
	if st.StateReason != "" {
		why = ": " + st.StateReason
	}
	switch {
	case st.State == stackDisabled:
		return errInvalid(fmt.Sprintf("Stack '%s' is disabled, nothing is staged on it any more%s", name, why))
	case st.State == stackRestricted && newApp:
		return errInvalid(fmt.Sprintf("Stack '%s' is restricted, new apps are not staged on it any more%s", name, why))
	case st.State == stackDeprecated, st.State == stackRestricted:
		c.Warn(fmt.Sprintf("Stack '%s' is %s and will not be there for ever%s", name, strings.ToLower(st.State), why))
	}
	return nil
}

func stackTarget(st *store.Stack) store.Actor {
	return store.Actor{GUID: st.GUID, Type: "stack", Name: st.Name}
}

func (s *Server) listStacks(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		if _, _, err := c.Filter.Bool("default"); err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.Stack, capi.Stack]{
			Table: store.Stacks, Meta: func(st *store.Stack) *store.Meta { return &st.Meta },
			Where: c.filterBy(nil, "names", "name", "default", "default"), Present: s.presentStack,
		})
	})
}

// stackOf is the stack of the path.
func (c *Ctx) stackOf(tx *store.Tx) (*store.Stack, error) {
	st, err := store.Stacks.Get(tx, c.Path("guid"))
	return st, notFound(err, "Stack")
}

func (s *Server) getStack(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		st, err := c.stackOf(tx)
		if err != nil {
			return nil, err
		}
		return s.presentStack(tx, st)
	})
}

func (s *Server) listStackApps(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		st, err := c.stackOf(tx)
		if err != nil {
			return nil, err
		}
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("stack", st.Name))
		wanted, given, err := c.Filter.Bool("outdated")
		if err != nil {
			return nil, err
		}
		if given {
			old, err := outdated(tx, st)
			if err != nil {
				return nil, err
			}
			old.Not = !wanted
			where = append(where, old)
		}
		return answerList(c, tx, Listing[store.App, capi.App]{Table: store.Apps, Meta: appMeta, Where: where, Present: s.presentApp})
	})
}

func (s *Server) createStack(c *Ctx) error {
	var in capi.StackUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		st := &store.Stack{State: stackStates[0]}
		if in.Name != nil {
			st.Name = *in.Name
		}
		if in.Description != nil {
			st.Description = clip(*in.Description, 250)
		}
		if err := firstOf(patchStack(st, in), c.putStack(tx, st, "create")); err != nil {
			return nil, err
		}
		return s.presentStack(tx, st)
	})
}

// patchStack merges what may change in a stack.
func patchStack(st *store.Stack, in capi.StackUpdate) error {
	if err := validateName("Name", st.Name); err != nil {
		return err
	}
	if in.State != nil {
		if !slices.Contains(stackStates, *in.State) {
			return errInvalid(fmt.Sprintf("State must be one of %q", stackStates))
		}
		st.State = *in.State
	}
	if in.StateReason.Set {
		st.StateReason = clip(in.StateReason.Or(""), 1000)
	}
	return patchMetadata(&st.Meta, in.Metadata)
}

func (c *Ctx) putStack(tx *store.Tx, st *store.Stack, what string) error {
	err := store.Stacks.Put(tx, st)
	if isConflict(err) {
		return errInvalid("Name must be unique")
	}
	return firstOf(err, c.audit(tx, Event{Type: "audit.stack." + what, Target: stackTarget(st), Data: request(map[string]any{"name": st.Name, "state": st.State})}))
}

func (s *Server) updateStack(c *Ctx) error {
	var in capi.StackUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Name != nil || in.Description != nil {
		return errInvalid("Unknown field(s): name and description of a stack can't be changed")
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		st, err := c.stackOf(tx)
		if err != nil {
			return nil, err
		}
		if err := firstOf(patchStack(st, in), c.putStack(tx, st, "update")); err != nil {
			return nil, err
		}
		return s.presentStack(tx, st)
	})
}

func (s *Server) deleteStack(c *Ctx) error {
	err := c.Update(func(tx *store.Tx) error {
		st, err := c.stackOf(tx)
		if err != nil {
			return err
		}
		used, err := store.Apps.Count(tx, store.By("stack", st.Name))
		if err != nil || used > 0 || st.Default {
			return firstOf(err, errInvalid(fmt.Sprintf("Cannot delete stack '%s' because apps are currently using the stack or it is the default.", st.Name)))
		}
		return firstOf(store.Stacks.Delete(tx, st.GUID), c.audit(tx, Event{Type: "audit.stack.delete", Target: stackTarget(st)}))
	})
	if err != nil {
		return err
	}
	return c.NoContent()
}
