package api

import (
	"errors"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// unwellMost is how many apps the summary names as unwell.
const unwellMost = 200

// summaryRoutes are Cupola's own: what people ask first, without a list of everything.
func (s *Server) summaryRoutes() []Route {
	return []Route{{"GET", "/v3/summary", signedIn(), s.getSummary, []string{"space_guids", "organization_guids"}, nil}}
}

// getSummary counts what the caller may see. Counts come from indexes; of records it reads only the instances that are
// not well.
func (s *Server) getSummary(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		out := capi.Summary{Unwell: capi.Array[capi.UnwellApp]{}}
		count := func(into *int, conds ...store.Cond) {
			if err == nil {
				*into, err = store.Apps.Count(tx, conds...)
			}
		}
		count(&out.Apps.Total, where...)
		count(&out.Apps.Started, append(slices.Clone(where), store.By("state", store.AppStarted))...)
		if err == nil {
			out.Builds.Staging, err = store.Builds.Count(tx, append(slices.Clone(where), store.By("state", "STAGING"))...)
		}
		if err == nil {
			out.Deployments.Active, err = store.Deployments.Count(tx, append(slices.Clone(where), store.By("status", "ACTIVE"))...)
		}
		if err == nil {
			err = summarizeInstances(tx, where, &out)
		}
		return out, err
	})
}

// summarizeInstances counts instances by state and gathers the apps whose instances are not well.
func summarizeInstances(tx *store.Tx, where []store.Cond, out *capi.Summary) error {
	mine := func(string) bool { return true }
	var ofMine []store.Cond
	if len(where) > 0 {
		apps, err := store.Apps.GUIDs(tx, where...)
		if err != nil {
			return err
		}
		in := make(map[string]bool, len(apps))
		for _, guid := range apps {
			in[guid] = true
		}
		mine = func(guid string) bool { return in[guid] }
		ofMine = []store.Cond{store.By("app", apps...)}
	}
	for state, into := range map[string]*int{store.InstanceRunning: &out.Instances.Running, store.InstanceStarting: &out.Instances.Starting} {
		var err error
		if *into, err = store.Instances.Count(tx, append(slices.Clone(ofMine), store.By("state", state))...); err != nil {
			return err
		}
	}
	bad, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("state", store.InstanceCrashed, store.InstanceDown)}})
	if err != nil {
		return err
	}
	return addUnwell(tx, slices.DeleteFunc(bad, func(i *store.Instance) bool { return !mine(i.AppGUID) }), out)
}

func addUnwell(tx *store.Tx, bad []*store.Instance, out *capi.Summary) error {
	at := map[string]int{}
	for _, i := range bad {
		app, err := store.Apps.Get(tx, i.AppGUID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if app.State != store.AppStarted {
			continue
		}
		if i.State == store.InstanceCrashed {
			out.Instances.Crashed++
		} else {
			out.Instances.Down++
		}
		n, known := at[app.GUID]
		if !known {
			out.Apps.Unwell++
			if len(out.Unwell) >= unwellMost {
				continue
			}
			n = len(out.Unwell)
			at[app.GUID] = n
			out.Unwell = append(out.Unwell, capi.UnwellApp{App: capi.GUID{GUID: app.GUID}, Name: app.Name, Space: capi.GUID{GUID: app.SpaceGUID}})
		}
		u := &out.Unwell[n]
		u.Instances++
		if u.Details == "" {
			u.Details, u.Since = i.Details, capi.At(i.Since)
		}
	}
	slices.SortStableFunc(out.Unwell, func(a, b capi.UnwellApp) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
