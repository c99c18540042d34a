package api

import (
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// platformAt is the locator of what belongs to nobody.
func platformAt(*store.Tx, *Ctx) (Place, error) { return Place{}, nil }

// placeOf is the place of what belongs to a space.
func placeOf(tx *store.Tx, spaceGUID string) (Place, error) {
	space, err := store.Spaces.Get(tx, spaceGUID)
	if err != nil {
		return Place{}, err
	}
	return Place{OrgGUID: space.OrgGUID, SpaceGUID: space.GUID}, nil
}

func spaceAt(tx *store.Tx, c *Ctx) (Place, error) { return placeOf(tx, c.Path("guid")) }

func orgAt(tx *store.Tx, c *Ctx) (Place, error) {
	org, err := store.Orgs.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	return Place{OrgGUID: org.GUID}, nil
}

func appAt(tx *store.Tx, c *Ctx) (Place, error) { return placeOfApp(tx, c.Path("guid")) }

func placeOfApp(tx *store.Tx, appGUID string) (Place, error) {
	app, err := store.Apps.Get(tx, appGUID)
	if err != nil {
		return Place{}, err
	}
	return placeOf(tx, app.SpaceGUID)
}

// inSpace makes a locator of a table whose records know their space.
func inSpace[T any](table *store.Table[T], space func(*T) string) Locator {
	return func(tx *store.Tx, c *Ctx) (Place, error) {
		rec, err := table.Get(tx, c.Path("guid"))
		if err != nil {
			return Place{}, err
		}
		return placeOf(tx, space(rec))
	}
}

var (
	processAt    = inSpace(store.Processes, func(p *store.Process) string { return p.SpaceGUID })
	buildAt      = inSpace(store.Builds, func(b *store.Build) string { return b.SpaceGUID })
	dropletAt    = inSpace(store.Droplets, func(d *store.Droplet) string { return d.SpaceGUID })
	deploymentAt = inSpace(store.Deployments, func(d *store.Deployment) string { return d.SpaceGUID })
	taskAt       = inSpace(store.Tasks, func(t *store.Task) string { return t.SpaceGUID })
)

func packageAt(tx *store.Tx, c *Ctx) (Place, error) {
	p, err := store.Packages.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	return placeOfApp(tx, p.AppGUID)
}

// filterSpaces narrows a list to the spaces that the caller may see and, when the query names spaces or
// orgs, to those. The index is that of the table for the space. One condition comes out of it, since each is a scan.
func (c *Ctx) filterSpaces(tx *store.Tx, index string) ([]store.Cond, error) {
	return c.filterSpacesFor(tx, SeeSpace, index)
}

// filterSpacesFor is filterSpaces of the spaces in which the caller may do see.
func (c *Ctx) filterSpacesFor(tx *store.Tx, see Action, index string) ([]store.Cond, error) {
	spaces, all, err := c.spacesInView(tx, see)
	if err != nil || all {
		return nil, err
	}
	return []store.Cond{store.By(index, spaces...)}, nil
}

// spacesInView returns the spaces of which a list shows what takes see; all is true when it is every space.
func (c *Ctx) spacesInView(tx *store.Tx, see Action) (spaces []string, all bool, err error) {
	if spaces, all, err = c.visibleSpaces(tx, see); err != nil {
		return nil, false, err
	}
	narrow := func(asked []string) {
		if all {
			spaces, all = asked, false
			return
		}
		spaces = slices.DeleteFunc(spaces, func(s string) bool { return !slices.Contains(asked, s) })
	}
	if asked, ok := c.Filter.List("space_guids"); ok {
		narrow(asked)
	}
	if orgs, ok := c.Filter.List("organization_guids"); ok {
		asked, err := spacesOf(tx, orgs)
		if err != nil {
			return nil, false, err
		}
		narrow(asked)
	}
	return spaces, all, nil
}

func spacesOf(tx *store.Tx, orgs []string) ([]string, error) {
	return store.Spaces.GUIDs(tx, store.By("org", orgs...))
}

// filterBy adds a condition for each query parameter that was given; pairs are parameter, index.
func (c *Ctx) filterBy(conds []store.Cond, pairs ...string) []store.Cond {
	for i := 0; i < len(pairs); i += 2 {
		if values, ok := c.Filter.List(pairs[i]); ok {
			conds = append(conds, store.By(pairs[i+1], values...))
		}
	}
	return conds
}

// flagOn reports whether a feature flag is on; byDefault is what it is until somebody sets it.
func flagOn(tx *store.Tx, name string, byDefault bool) (bool, error) {
	f, err := store.FeatureFlags.Get(tx, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return byDefault, nil
	case err != nil:
		return false, err
	}
	return f.Enabled, nil
}

// needFlag refuses callers other than admins while a feature flag is off (contract, 3.2), with what the operator wrote
// to tell them, if anything.
func (c *Ctx) needFlag(tx *store.Tx, name string, byDefault bool) error {
	on, err := flagOn(tx, name, byDefault)
	if err != nil || on || c.Admin() {
		return err
	}
	why := name
	if f, err := store.FeatureFlags.Get(tx, name); err == nil && f.CustomErrorMessage != "" {
		why = f.CustomErrorMessage
	}
	return capi.FeatureDisabled.Errorf("Feature Disabled: %s", why)
}

// allowLifecycle refuses apps, and builds of apps, of a kind that the operator has not switched on.
func (c *Ctx) allowLifecycle(tx *store.Tx, kind string) error {
	switch kind {
	case capi.LifecycleDocker:
		return c.needFlag(tx, "diego_docker", flagDefault("diego_docker"))
	case capi.LifecycleCNB:
		return c.needFlag(tx, "diego_cnb", flagDefault("diego_cnb"))
	}
	return nil
}
