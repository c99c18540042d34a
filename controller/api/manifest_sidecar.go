package api

import (
	"slices"

	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// setSidecars reads the sidecars of an application.
func (a *manifestApp) setSidecars(v *yaml3.Node) error {
	list, err := listOf("sidecars", v)
	if err != nil {
		return err
	}
	for _, n := range list {
		var sc store.SidecarSpec
		if err := fields(n, func(key, v *yaml3.Node) error { return sidecarField(&sc, key, v) }); err != nil {
			return err
		}
		if err := validateSidecar(sc); err != nil {
			return complain(n, "sidecar: %v", err)
		}
		if slices.ContainsFunc(a.sidecars, func(s store.SidecarSpec) bool { return s.Name == sc.Name }) {
			return complain(n, "the sidecar '%s' is there twice", clip(sc.Name, 100))
		}
		a.sidecars = append(a.sidecars, sc)
	}
	return nil
}

func sidecarField(sc *store.SidecarSpec, key, v *yaml3.Node) (err error) {
	switch key.Value {
	case "name":
		sc.Name, err = textOf("sidecar name", v)
	case "command":
		sc.Command, err = textOf("sidecar command", v)
	case "memory":
		sc.MemoryMB, err = megabytesOf("sidecar memory", v)
	case "process_types":
		kinds, err := listOf("process_types", v)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			kind, err := textOf("process_types", k)
			if err != nil {
				return err
			}
			sc.ProcessTypes = append(sc.ProcessTypes, kind)
		}
	default:
		return complain(key, "a sidecar has no attribute '%s'", clip(key.Value, 100))
	}
	return err
}

// setSidecars makes and changes the sidecars that the manifest names; others stay as they are.
func (a *applier) setSidecars() error {
	if len(a.want.sidecars) == 0 {
		return checkSidecars(a.tx, a.app, processTooSmall)
	}
	have, err := sidecarsOf(a.tx, a.app.GUID)
	if err != nil {
		return err
	}
	for _, want := range a.want.sidecars {
		sc := &store.Sidecar{AppGUID: a.app.GUID, SpaceGUID: a.app.SpaceGUID, Origin: store.SidecarByUser}
		if i := slices.IndexFunc(have, func(s *store.Sidecar) bool { return s.Name == want.Name }); i >= 0 {
			sc = have[i]
			if sameSidecar(sc.SidecarSpec, want) {
				continue
			}
		}
		sc.SidecarSpec, sc.Origin = want, store.SidecarByUser
		if err := patchSidecar(a.tx, a.app, sc, capi.SidecarUpdate{}); err != nil {
			return err
		}
	}
	return nil
}

func sameSidecar(a, b store.SidecarSpec) bool {
	return a.Name == b.Name && a.Command == b.Command && a.MemoryMB == b.MemoryMB && slices.Equal(a.ProcessTypes, b.ProcessTypes)
}

type exportedSidecar struct {
	Name         string   `yaml:"name"`
	ProcessTypes []string `yaml:"process_types"`
	Command      string   `yaml:"command"`
	Memory       string   `yaml:"memory,omitempty"`
}

func exportSidecars(tx *store.Tx, app *store.App) ([]exportedSidecar, error) {
	all, err := sidecarsOf(tx, app.GUID)
	var out []exportedSidecar
	for _, sc := range all {
		e := exportedSidecar{Name: sc.Name, ProcessTypes: sc.ProcessTypes, Command: sc.Command}
		if sc.MemoryMB > 0 {
			e.Memory = megabyteText(sc.MemoryMB)
		}
		out = append(out, e)
	}
	return out, err
}
