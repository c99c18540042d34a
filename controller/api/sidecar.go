package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	sidecarsMax     = 50 // of one app
	sidecarTypesMax = 50
)

func (s *Server) sidecarRoutes() []Route {
	see := on(sidecarAt, "Sidecar", SeeSpace, SeeSpace)
	develop := on(sidecarAt, "Sidecar", SeeSpace, Develop)
	return []Route{
		index("/v3/apps/{guid}/sidecars", on(appAt, "App", SeeSpace, SeeSpace), s.listAppSidecars),
		post("/v3/apps/{guid}/sidecars", on(appAt, "App", SeeSpace, Develop), s.createSidecar),
		get("/v3/sidecars/{guid}", see, s.getSidecar),
		patch("/v3/sidecars/{guid}", develop, s.updateSidecar),
		del("/v3/sidecars/{guid}", develop, s.deleteSidecar),
	}
}

var sidecarAt = inSpace(store.Sidecars, func(s *store.Sidecar) string { return s.SpaceGUID })

func sidecarMeta(s *store.Sidecar) *store.Meta { return &s.Meta }

func (s *Server) presentSidecar(_ *store.Tx, sc *store.Sidecar) (capi.Sidecar, error) {
	return capi.Sidecar{
		Resource: resource(&sc.Meta), Name: sc.Name, Command: sc.Command, ProcessTypes: sc.ProcessTypes,
		MemoryInMB: positive(sc.MemoryMB), Origin: sc.Origin,
		Relationships: capi.SidecarRelationships{App: capi.One(sc.AppGUID)},
	}, nil
}

// positive is null for what was not said.
func positive(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// sidecarsOf returns the sidecars of an app in the order of their making.
func sidecarsOf(tx *store.Tx, appGUID string) ([]*store.Sidecar, error) {
	all, _, err := store.Sidecars.List(tx, store.Query[store.Sidecar]{Where: []store.Cond{store.By("app", appGUID)}})
	return all, err
}

func (s *Server) listAppSidecars(c *Ctx) error {
	return s.listSidecars(c, c.Path("guid"), nil)
}

func (s *Server) listProcessSidecars(c *Ctx) error {
	var p *store.Process
	err := c.View(func(tx *store.Tx) (err error) {
		p, err = theProcess(tx, c)
		return err
	})
	if err != nil {
		return notFound(err, "Process")
	}
	return s.listSidecars(c, p.AppGUID, func(sc *store.Sidecar) bool { return slices.Contains(sc.ProcessTypes, p.Type) })
}

func (s *Server) listSidecars(c *Ctx, appGUID string, match func(*store.Sidecar) bool) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		return answerList(c, tx, Listing[store.Sidecar, capi.Sidecar]{
			Table: store.Sidecars, Meta: sidecarMeta, Present: s.presentSidecar, Match: match,
			Where: []store.Cond{store.By("app", appGUID)},
		})
	})
}

func (s *Server) createSidecar(c *Ctx) error {
	var in capi.SidecarCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.answerSidecar(c, http.StatusCreated, func(tx *store.Tx) (*store.Sidecar, error) {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		sc := &store.Sidecar{AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, Origin: store.SidecarByUser}
		update := capi.SidecarUpdate{
			Name: &in.Name, Command: &in.Command, ProcessTypes: capi.Some(in.ProcessTypes), MemoryInMB: in.MemoryInMB,
		}
		return sc, patchSidecar(tx, app, sc, update)
	})
}

func (s *Server) answerSidecar(c *Ctx, status int, change func(*store.Tx) (*store.Sidecar, error)) error {
	var shown capi.Sidecar
	err := c.Update(func(tx *store.Tx) error {
		sc, err := change(tx)
		if err != nil {
			return err
		}
		shown, err = s.presentSidecar(tx, sc)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(status, shown)
}

// patchSidecar merges what a request says, checks the whole, and writes it.
func patchSidecar(tx *store.Tx, app *store.App, sc *store.Sidecar, in capi.SidecarUpdate) error {
	if app.Lifecycle.Type == capi.LifecycleDocker {
		return errInvalid("Sidecars are not supported for apps of the docker lifecycle: start the second program from the image's own entrypoint")
	}
	if in.Name != nil {
		sc.Name = *in.Name
	}
	if in.Command != nil {
		sc.Command = *in.Command
	}
	if in.ProcessTypes.Set {
		sc.ProcessTypes = in.ProcessTypes.Or(nil)
	}
	if in.MemoryInMB.Set {
		if n := int(in.MemoryInMB.Or(0)); in.MemoryInMB.Value != nil && (n < 1 || n > sizeMaxMB) {
			return errInvalid(fmt.Sprintf("Memory in mb must be between 1 and %d", sizeMaxMB))
		}
		sc.MemoryMB = int(in.MemoryInMB.Or(0))
	}
	if err := validateSidecar(sc.SidecarSpec); err != nil {
		return err
	}
	if err := store.Sidecars.Put(tx, sc); err != nil {
		if isConflict(err) {
			return errInvalid(fmt.Sprintf("Sidecar with name '%s' already exists for given app", clip(sc.Name, nameChars)))
		}
		return err
	}
	return checkSidecars(tx, app, sidecarTooLarge)
}

func validateSidecar(sc store.SidecarSpec) error {
	if err := validateName("Name", sc.Name); err != nil {
		return err
	}
	if sc.Command == "" {
		return errInvalid("Command can't be blank")
	}
	if err := validateCommand(sc.Command); err != nil {
		return err
	}
	if len(sc.ProcessTypes) == 0 || len(sc.ProcessTypes) > sidecarTypesMax {
		return errInvalid(fmt.Sprintf("Process types must have at least 1 process_type, and %d at most", sidecarTypesMax))
	}
	for _, kind := range sc.ProcessTypes {
		if err := validateName("Process type", kind); err != nil {
			return err
		}
	}
	return nil
}

func sidecarTooLarge(kind string) error {
	return errInvalid(fmt.Sprintf("The memory allocation defined is too large to run with the dependent %q process", kind))
}

func processTooSmall(string) error {
	return errInvalid("The requested memory allocation is not large enough to run all of your sidecar processes.")
}

// checkSidecars refuses an app whose sidecars together leave a process they belong to no memory of its own.
func checkSidecars(tx *store.Tx, app *store.App, refuse func(processType string) error) error {
	sidecars, err := sidecarsOf(tx, app.GUID)
	if err != nil || len(sidecars) == 0 {
		return err
	}
	if len(sidecars) > sidecarsMax {
		return errInvalid(fmt.Sprintf("An app may have %d sidecars at most", sidecarsMax))
	}
	processes, err := processesOf(tx, app.GUID)
	if err != nil {
		return err
	}
	for _, p := range processes {
		sum := 0
		for _, sc := range sidecars {
			if slices.Contains(sc.ProcessTypes, p.Type) {
				sum += sc.MemoryMB
			}
		}
		if sum > 0 && sum >= p.MemoryMB {
			return refuse(p.Type)
		}
	}
	return nil
}

func (s *Server) getSidecar(c *Ctx) error {
	var shown capi.Sidecar
	err := c.View(func(tx *store.Tx) error {
		sc, err := store.Sidecars.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Sidecar")
		}
		shown, err = s.presentSidecar(tx, sc)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) updateSidecar(c *Ctx) error {
	var in capi.SidecarUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.answerSidecar(c, http.StatusOK, func(tx *store.Tx) (*store.Sidecar, error) {
		sc, err := store.Sidecars.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		app, err := store.Apps.Get(tx, sc.AppGUID)
		if err != nil {
			return nil, err
		}
		sc.Origin = store.SidecarByUser // a buildpack's sidecar that somebody changed is theirs
		return sc, patchSidecar(tx, app, sc, in)
	})
}

func (s *Server) deleteSidecar(c *Ctx) error {
	if err := c.Update(func(tx *store.Tx) error { return store.Sidecars.Delete(tx, c.Path("guid")) }); err != nil {
		return err
	}
	return c.NoContent()
}

// syncSidecars gives the app the sidecars that its droplet brings, in place of those that an earlier one brought. A
// person's sidecar of the same name stays.
func syncSidecars(tx *store.Tx, app *store.App, d *store.Droplet) error {
	have, err := sidecarsOf(tx, app.GUID)
	if err != nil {
		return err
	}
	byUser := map[string]bool{}
	for _, sc := range have {
		if sc.Origin == store.SidecarByUser {
			byUser[sc.Name] = true
			continue
		}
		if err := store.Sidecars.Delete(tx, sc.GUID); err != nil {
			return err
		}
	}
	for _, spec := range d.Sidecars {
		if byUser[spec.Name] {
			continue
		}
		sc := &store.Sidecar{SidecarSpec: spec, AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, Origin: store.SidecarByBuildpack}
		if err := store.Sidecars.Put(tx, sc); err != nil {
			return err
		}
	}
	return nil
}
