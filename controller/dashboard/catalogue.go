package dashboard

import (
	"context"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
)

// routesView is the page of the routes.
type routesView struct {
	frame
	Routes []routeRow
	Pager  pager
}

type routeRow struct {
	Link     link
	Protocol string
	Place    link
	Apps     []link
}

func (d *Dashboard) routesPage(w http.ResponseWriter, r *http.Request, s *session) error {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	f := paged(r, "page").With("include", "space.organization")
	list, err := onePage[capi.Route](ctx, s.client, "/v3/routes", f)
	if err != nil {
		return err
	}
	apps, err := destinationApps(ctx, s.client, list.Resources)
	if err != nil {
		return err
	}
	v := routesView{Pager: newPager(r, "page", "route", f, list.Pagination)}
	known := namesOf(list.Included)
	for _, one := range list.Resources {
		row := routeRow{Link: link{one.URL, d.routeURL(one.Protocol, one.URL)}, Protocol: one.Protocol, Place: known.place(one.Relationships.Space.GUID())}
		seen := map[string]bool{}
		for _, to := range one.Destinations {
			if name, ok := apps[to.App.GUID]; ok && !seen[to.App.GUID] {
				seen[to.App.GUID] = true
				row.Apps = append(row.Apps, link{name, "/apps/" + to.App.GUID})
			}
		}
		v.Routes = append(v.Routes, row)
	}
	v.frame = newFrame(s, "Routes", "routes")
	d.render(w, http.StatusOK, "routes", &v)
	return nil
}

// destinationApps are the names of the apps that routes lead to, by GUID, asked for in bounded groups.
func destinationApps(ctx context.Context, c *capi.Client, routes []capi.Route) (map[string]string, error) {
	names := map[string]string{}
	var guids []string
	for _, r := range routes {
		for _, to := range r.Destinations {
			if _, ok := names[to.App.GUID]; !ok {
				names[to.App.GUID] = ""
				guids = append(guids, to.App.GUID)
			}
		}
	}
	for from := 0; from < len(guids); from += 100 {
		some := guids[from:min(from+100, len(guids))]
		list, err := onePage[capi.App](ctx, c, "/v3/apps", capi.Filter{"guids": some, "per_page": {"100"}})
		if err != nil {
			return nil, err
		}
		for _, a := range list.Resources {
			names[a.GUID] = a.Name
		}
	}
	for guid, name := range names {
		if name == "" { // in a space that the reader may not see
			delete(names, guid)
		}
	}
	return names, nil
}

// buildpacksView is the page of what apps are built with and on.
type buildpacksView struct {
	frame
	Buildpacks []buildpackRow
	Stacks     []stackRow
	Pager      pager
}

type buildpackRow struct {
	Position               int
	Name, Stack, Lifecycle string
	State                  state
}

type stackRow struct {
	Name, Description string
	State             state
	Default           bool
}

func (d *Dashboard) buildpacksPage(w http.ResponseWriter, r *http.Request, s *session) error {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	f := paged(r, "page")
	list, err := onePage[capi.Buildpack](ctx, s.client, "/v3/buildpacks", f)
	if err != nil {
		return err
	}
	stacks, err := onePage[capi.Stack](ctx, s.client, "/v3/stacks", capi.Filter{"per_page": {"50"}})
	if err != nil {
		return err
	}
	v := buildpacksView{Pager: newPager(r, "page", "buildpack", f, list.Pagination)}
	for _, b := range list.Resources {
		v.Buildpacks = append(v.Buildpacks, buildpackRow{
			Position: b.Position, Name: b.Name, Stack: text(b.Stack), Lifecycle: b.Lifecycle, State: buildpackState(b),
		})
	}
	for _, one := range stacks.Resources {
		row := stackRow{Name: one.Name, Description: text(one.Description), Default: one.Default, State: state{toneOK, "active"}}
		if one.State != "" && one.State != "ACTIVE" {
			row.State = state{toneWait, one.State}
		}
		v.Stacks = append(v.Stacks, row)
	}
	v.frame = newFrame(s, "Buildpacks and stacks", "buildpacks")
	d.render(w, http.StatusOK, "buildpacks", &v)
	return nil
}

func buildpackState(b capi.Buildpack) state {
	switch {
	case b.State != "READY":
		return state{toneWait, "awaiting upload"}
	case !b.Enabled:
		return state{toneOff, "disabled"}
	case b.Locked:
		return state{toneOK, "ready, locked"}
	}
	return state{toneOK, "ready"}
}

// text is what s points to, or a dash.
func text(s *string) string {
	if s == nil || *s == "" {
		return "–"
	}
	return *s
}
