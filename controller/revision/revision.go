// Package revision knows what an app was made of at its starts: it compares that with what the app is made of now,
// says in Cloud Controller's words what is new, and brings an app back to it. The API makes revisions and goes back;
// the scheduling loop goes forth again when a way back was cancelled.
package revision

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// Last returns the app's newest revision, or nil.
func Last(tx *store.Tx, appGUID string) (*store.Revision, error) {
	found, _, err := store.Revisions.List(tx, store.Query[store.Revision]{
		Where: []store.Cond{store.By("app", appGUID)}, Desc: true, Limit: 1,
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// Of is the app as it would run the droplet now. It is not written.
func Of(tx *store.Tx, app *store.App, droplet string) (*store.Revision, error) {
	r := &store.Revision{
		AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, DropletGUID: droplet,
		Environment: maps.Clone(app.Environment), Commands: map[string]string{},
	}
	processes, err := byApp(tx, store.Processes, app.GUID)
	if err != nil {
		return nil, err
	}
	for _, p := range processes { // of two webs the newer is last
		r.Commands[p.Type] = p.Command
	}
	sidecars, err := byApp(tx, store.Sidecars, app.GUID)
	for _, sc := range sidecars {
		r.Sidecars = append(r.Sidecars, sc.SidecarSpec)
	}
	return r, err
}

func byApp[T any](tx *store.Tx, table *store.Table[T], appGUID string) ([]*T, error) {
	all, _, err := table.List(tx, store.Query[T]{Where: []store.Cond{store.By("app", appGUID)}})
	return all, err
}

// Reasons says what is new in next. It is empty when both are the same.
func Reasons(last, next *store.Revision) []string {
	var out []string
	if last.DropletGUID != next.DropletGUID {
		out = append(out, "New droplet deployed.")
	}
	if !maps.Equal(last.Environment, next.Environment) {
		out = append(out, "New environment variables deployed.")
	}
	out = append(out, commandReasons(last.Commands, next.Commands)...)
	if len(last.Sidecars)+len(next.Sidecars) > 0 && !reflect.DeepEqual(last.Sidecars, next.Sidecars) {
		out = append(out, "Sidecars updated.")
	}
	return out
}

func commandReasons(last, next map[string]string) (out []string) {
	kinds := append(slices.Collect(maps.Keys(last)), slices.Collect(maps.Keys(next))...)
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		was, is := last[kind], next[kind]
		switch {
		case was == is:
		case was == "":
			out = append(out, fmt.Sprintf("Custom start command added for '%s' process.", kind))
		case is == "":
			out = append(out, fmt.Sprintf("Custom start command removed for '%s' process.", kind))
		default:
			out = append(out, fmt.Sprintf("Custom start command updated for '%s' process.", kind))
		}
	}
	return out
}

// Restore writes what a revision had into the app: environment, commands and sidecars. The droplet, and what the
// app runs of it, is the caller's.
func Restore(tx *store.Tx, app *store.App, r *store.Revision) error {
	app.Environment = maps.Clone(r.Environment)
	if err := store.Apps.Put(tx, app); err != nil {
		return err
	}
	processes, err := byApp(tx, store.Processes, app.GUID)
	if err != nil {
		return err
	}
	for _, p := range processes {
		command, known := r.Commands[p.Type]
		if !known || command == p.Command {
			continue
		}
		p.Command = command
		if err := store.Processes.Put(tx, p); err != nil {
			return err
		}
	}
	return replaceSidecars(tx, app, r.Sidecars)
}

func replaceSidecars(tx *store.Tx, app *store.App, specs []store.SidecarSpec) error {
	have, err := byApp(tx, store.Sidecars, app.GUID)
	if err != nil {
		return err
	}
	for _, sc := range have {
		if err := store.Sidecars.Delete(tx, sc.GUID); err != nil {
			return err
		}
	}
	for _, spec := range specs {
		sc := &store.Sidecar{SidecarSpec: spec, AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, Origin: store.SidecarByUser}
		if err := store.Sidecars.Put(tx, sc); err != nil {
			return err
		}
	}
	return nil
}

// Sidecars returns the sidecars that run in the containers of a process: those of its revision, or of the app
// where it has none.
func Sidecars(tx *store.Tx, p *store.Process) ([]store.SidecarSpec, error) {
	var all []store.SidecarSpec
	if r, err := store.Revisions.Get(tx, p.RevisionGUID); err == nil {
		all = r.Sidecars
	} else {
		records, err := byApp(tx, store.Sidecars, p.AppGUID)
		if err != nil {
			return nil, err
		}
		for _, sc := range records {
			all = append(all, sc.SidecarSpec)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(sc store.SidecarSpec) bool { return !slices.Contains(sc.ProcessTypes, p.Type) }), nil
}
