package api

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) buildpackRoutes() []Route {
	const one = "/v3/buildpacks/{guid}"
	admin := on(platformAt, "Buildpack", SeePlatform, Administer)
	return []Route{
		index("/v3/buildpacks", signedIn(), s.listBuildpacks, "names", "stacks", "lifecycle").ordered("position", "lifecycle"),
		post("/v3/buildpacks", admin, s.createBuildpack),
		get(one, on(platformAt, "Buildpack", SeePlatform, SeePlatform), s.getBuildpack),
		patch(one, admin, s.updateBuildpack),
		del(one, admin, s.deleteBuildpack),
		post(one+"/upload", admin, s.uploadBuildpack),
	}
}

func (s *Server) presentBuildpack(b *store.Buildpack) capi.Buildpack {
	base := "/v3/buildpacks/" + b.GUID
	return capi.Buildpack{
		Resource: resource(&b.Meta), Name: b.Name, Stack: nullable(b.Stack), State: b.State, Filename: nullable(b.Filename),
		Position: b.Position, Enabled: b.Enabled, Locked: b.Locked, Lifecycle: b.Lifecycle, Metadata: metadata(&b.Meta),
		Links: capi.Links{"self": s.link(base), "upload": s.action(base + "/upload")},
	}
}

func buildpackTarget(b *store.Buildpack) store.Actor {
	return store.Actor{GUID: b.GUID, Type: "buildpack", Name: b.Name}
}

// listBuildpacks is in the order in which they are tried: by lifecycle, then position. A catalogue is small, so it
// is ordered in memory.
func (s *Server) listBuildpacks(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		q := listQuery(c.Filter, Listing[store.Buildpack, capi.Buildpack]{
			Meta:  func(b *store.Buildpack) *store.Meta { return &b.Meta },
			Where: c.filterBy(nil, "names", "name", "stacks", "stack", "lifecycle", "lifecycle"),
		})
		q.Offset, q.Limit = 0, 0
		all, _, err := store.Buildpacks.List(tx, q)
		if c.Filter.OrderBy == "" {
			slices.SortStableFunc(all, compareBuildpacks)
		}
		shown := make([]capi.Buildpack, len(all))
		for i, b := range all {
			shown[i] = s.presentBuildpack(b)
		}
		return pageOf(c, shown), err
	})
}

func compareBuildpacks(a, b *store.Buildpack) int {
	if byLifecycle := strings.Compare(a.Lifecycle, b.Lifecycle); byLifecycle != 0 {
		return byLifecycle
	}
	return a.Position - b.Position
}

// buildpackOf is the buildpack of the path.
func (c *Ctx) buildpackOf(tx *store.Tx) (*store.Buildpack, error) {
	b, err := store.Buildpacks.Get(tx, c.Path("guid"))
	return b, notFound(err, "Buildpack")
}

func (s *Server) getBuildpack(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		b, err := c.buildpackOf(tx)
		if err != nil {
			return nil, err
		}
		return s.presentBuildpack(b), nil
	})
}

func (s *Server) createBuildpack(c *Ctx) error {
	var in capi.BuildpackUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		b := &store.Buildpack{Enabled: true, State: store.StateAwaitingUpload, Lifecycle: capi.LifecycleBuildpack}
		if in.Lifecycle != nil {
			b.Lifecycle = *in.Lifecycle
		}
		position := 1
		if in.Position != nil {
			position = int(*in.Position)
		}
		if err := firstOf(patchBuildpack(tx, b, in), placeBuildpack(tx, b, position), c.auditBuildpack(tx, b, "create")); err != nil {
			return nil, err
		}
		return s.presentBuildpack(b), nil
	})
}

var buildpackGrammar = regexp.MustCompile(`^[-\w][-\w.+]*$`)

// patchBuildpack merges what a request says, but for the position, and checks the whole.
func patchBuildpack(tx *store.Tx, b *store.Buildpack, in capi.BuildpackUpdate) error {
	if in.Name != nil {
		b.Name = *in.Name
	}
	if in.Stack.Set {
		b.Stack = in.Stack.Or("")
	}
	if in.Enabled != nil {
		b.Enabled = *in.Enabled
	}
	if in.Locked != nil {
		b.Locked = *in.Locked
	}
	switch {
	case b.Lifecycle != capi.LifecycleBuildpack && b.Lifecycle != capi.LifecycleCNB:
		return errInvalid("Lifecycle must be either 'buildpack' or 'cnb'")
	case in.Position != nil && (*in.Position < 1 || *in.Position > 10_000):
		return errInvalid("Position must be greater than or equal to 1")
	}
	if err := validateName("Name", b.Name); err != nil {
		return err
	}
	if !buildpackGrammar.MatchString(b.Name) {
		return errInvalid("Name can only contain alphanumeric characters, '-', '_', '.' and '+'")
	}
	if b.Stack != "" {
		if _, err := store.Stacks.Find(tx, "name", b.Stack); err != nil {
			return orElse(err, errInvalid(fmt.Sprintf("Stack '%s' does not exist", clip(b.Stack, 100))))
		}
	}
	return patchMetadata(&b.Meta, in.Metadata)
}

// placeBuildpack writes b at a position among those of its lifecycle and moves the others, so that positions are
// dense from 1.
func placeBuildpack(tx *store.Tx, b *store.Buildpack, position int) error {
	others, err := inOrder(tx, b)
	if err != nil {
		return err
	}
	all := slices.Insert(others, min(max(position, 1), len(others)+1)-1, b)
	return renumber(tx, all, b)
}

// inOrder are the other buildpacks of b's lifecycle by position.
func inOrder(tx *store.Tx, b *store.Buildpack) ([]*store.Buildpack, error) {
	others, _, err := store.Buildpacks.List(tx, store.Query[store.Buildpack]{
		Where: []store.Cond{store.By("lifecycle", b.Lifecycle)}, OrderBy: "position",
		Match: func(o *store.Buildpack) bool { return o.GUID != b.GUID || b.GUID == "" },
	})
	return others, err
}

// renumber writes the positions that changed, and always the record changed.
func renumber(tx *store.Tx, all []*store.Buildpack, changed *store.Buildpack) error {
	for i, o := range all {
		if o.Position == i+1 && o != changed {
			continue
		}
		o.Position = i + 1
		err := store.Buildpacks.Put(tx, o)
		if isConflict(err) {
			stack := "an unassigned stack"
			if o.Stack != "" {
				stack = "stack '" + o.Stack + "'"
			}
			return capi.UnprocessableEntity.Errorf("Buildpack with name '%s' and %s already exists", o.Name, stack)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Ctx) auditBuildpack(tx *store.Tx, b *store.Buildpack, what string) error {
	return c.audit(tx, Event{Type: "audit.buildpack." + what, Target: buildpackTarget(b), Data: request(map[string]any{
		"name": b.Name, "stack": nullable(b.Stack), "enabled": b.Enabled, "locked": b.Locked, "lifecycle": b.Lifecycle,
	})})
}

func (s *Server) updateBuildpack(c *Ctx) error {
	var in capi.BuildpackUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		b, err := c.buildpackOf(tx)
		if err != nil {
			return nil, err
		}
		if in.Lifecycle != nil && *in.Lifecycle != b.Lifecycle {
			return nil, errInvalid("Lifecycle of a buildpack cannot be changed")
		}
		if in.Stack.Set && b.Stack != "" && in.Stack.Or("") != b.Stack {
			return nil, errInvalid("Buildpack stack cannot be changed")
		}
		position := b.Position
		if in.Position != nil {
			position = int(*in.Position)
		}
		if err := firstOf(patchBuildpack(tx, b, in), placeBuildpack(tx, b, position), c.auditBuildpack(tx, b, "update")); err != nil {
			return nil, err
		}
		return s.presentBuildpack(b), nil
	})
}

func (s *Server) deleteBuildpack(c *Ctx) error {
	return c.remove("buildpack.delete", "buildpack", func(tx *store.Tx) error {
		b, err := c.buildpackOf(tx)
		if err != nil {
			return err
		}
		others, err := inOrder(tx, b)
		if err != nil {
			return err
		}
		return firstOf(store.Buildpacks.Delete(tx, b.GUID), renumber(tx, others, nil), c.auditBuildpack(tx, b, "delete"))
	})
}
