package dashboard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// appsView is the list of apps.
type appsView struct {
	frame
	API     string
	Place   *place // whose apps alone are shown; nil: all
	Search  string // a part of the name
	Show    string // started, stopped, unwell or empty
	Sort    string
	Columns []column
	Apps    []appRow
	Pager   pager
	Teach   place // org and space for the commands of the empty page
	Any     bool  // something narrows the list
}

type appRow struct {
	GUID, Name string
	Place      link
	State      state
	Counts     []string // per process type
	Routes     []link   // the first ones
	More       int      // routes that are not shown
	Changed    time.Time
}

// appOrders are what the list may be sorted by.
var appOrders = []string{"name", "-name", "state", "-state", "updated_at", "-updated_at", "created_at", "-created_at"}

func (d *Dashboard) appList(ctx context.Context, q *ask) (screen, error) {
	v := appsView{API: d.apiURL, Search: cut(q.query("q"), 255), Show: q.query("show"), Sort: q.query("sort")}
	if !slices.Contains(appOrders, v.Sort) {
		v.Sort = "name"
	}
	f := paged(q.r, "page").With("order_by", v.Sort).With("include", "space.organization")
	f, err := v.narrow(ctx, q, f)
	if err != nil {
		return screen{}, err
	}
	list, err := onePage[capi.App](ctx, q.c, "/v3/apps", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "app", f, list.Pagination)
	v.Columns = sorted(q.r, v.Sort, "App", "name", "State", "state", "Instances", "", "Space", "", "Changed", "updated_at")
	if v.Place != nil {
		v.Columns = slices.Delete(v.Columns, 3, 4)
	}
	if v.Apps, err = d.appRows(ctx, q.c, list); err != nil {
		return screen{}, err
	}
	if len(v.Apps) == 0 && !v.Any {
		if v.Teach, err = teach(ctx, q.c); err != nil {
			return screen{}, err
		}
	}
	v.Title, v.Section, v.Live = "Apps", "/apps", true
	return screen{"apps", &v}, nil
}

// narrow adds what the address asks for to the filter.
func (v *appsView) narrow(ctx context.Context, q *ask, f capi.Filter) (capi.Filter, error) {
	if guid := q.queryGUID("space"); guid != "" {
		f, v.Any = f.With("space_guids", guid), true
		var err error
		if v.Place, err = readPlace(ctx, q.c, guid); err != nil {
			return nil, err
		}
	}
	if guid := q.queryGUID("org"); guid != "" {
		f, v.Any = f.With("organization_guids", guid), true
	}
	if v.Search != "" {
		f, v.Any = f.With("partial_names", v.Search), true
	}
	switch v.Show {
	case "started":
		f, v.Any = f.With("app_states", "STARTED"), true
	case "stopped":
		f, v.Any = f.With("app_states", "STOPPED"), true
	case "unwell":
		v.Any = true
		s, err := capi.Get[capi.Summary](ctx, q.c, "/v3/summary")
		if err != nil {
			return nil, err
		}
		guids := []string{"none"}
		for _, u := range s.Unwell {
			guids = append(guids, u.App.GUID)
		}
		f = f.With("guids", guids...)
	default:
		v.Show = ""
	}
	return f, nil
}

func readPlace(ctx context.Context, c *capi.Client, spaceGUID string) (*place, error) {
	space, err := c.Space(ctx, spaceGUID)
	if err != nil {
		return nil, err
	}
	org, err := c.Organization(ctx, space.Relationships.Organization.GUID())
	if err != nil {
		return nil, err
	}
	return &place{space.GUID, org.Name, space.Name}, nil
}

// appRows joins the apps of one page with their processes and routes: two more reads, however many apps.
func (d *Dashboard) appRows(ctx context.Context, c *capi.Client, list *capi.List[capi.App]) ([]appRow, error) {
	if len(list.Resources) == 0 {
		return nil, nil
	}
	var guids []string
	for _, a := range list.Resources {
		guids = append(guids, a.GUID)
	}
	of := capi.Filter{"app_guids": guids, "per_page": {"1000"}}
	processes, err := onePage[capi.Process](ctx, c, "/v3/processes", of.With("embed", "process_instances"))
	if err != nil {
		return nil, err
	}
	routes, err := onePage[capi.Route](ctx, c, "/v3/routes", of)
	if err != nil {
		return nil, err
	}
	byApp := map[string][]capi.Process{}
	for _, p := range processes.Resources {
		guid := p.Relationships.App.GUID()
		byApp[guid] = append(byApp[guid], p)
	}
	links := d.linksByApp(routes.Resources)
	known := namesOf(list.Included)
	rows := make([]appRow, 0, len(guids))
	for _, a := range list.Resources {
		row := appRow{GUID: a.GUID, Name: a.Name, Place: known.place(a.Relationships.Space.GUID()), Changed: a.UpdatedAt.Time}
		row.State, row.Counts = appState(a.State, byApp[a.GUID])
		row.Routes = links[a.GUID]
		if len(row.Routes) > 2 {
			row.Routes, row.More = row.Routes[:2], len(row.Routes)-2
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (d *Dashboard) linksByApp(routes []capi.Route) map[string][]link {
	links := map[string][]link{}
	for _, r := range routes {
		seen := map[string]bool{}
		for _, to := range r.Destinations {
			if guid := to.App.GUID; !seen[guid] {
				seen[guid] = true
				links[guid] = append(links[guid], link{r.URL, d.routeURL(r.Protocol, r.URL)})
			}
		}
	}
	return links
}

// appState sums up the instances of an app, and counts them by process type.
func appState(wanted string, processes []capi.Process) (state, []string) {
	running, all, crashed := 0, 0, 0
	var counts []string
	for _, p := range processes {
		n := 0
		if p.Embedded != nil {
			for _, i := range *p.Embedded {
				switch i.State {
				case "RUNNING":
					n++
				case "CRASHED":
					crashed++
				}
			}
		}
		running, all = running+n, all+p.Instances
		if p.Instances > 0 || n > 0 || p.Type == "web" {
			counts = append(counts, fmt.Sprintf("%s %d/%d", p.Type, n, p.Instances))
		}
	}
	switch {
	case wanted != "STARTED":
		return state{toneOff, "stopped"}, counts
	case all == 0:
		return state{toneOff, "no instances"}, counts
	case running >= all:
		return state{toneOK, "running"}, counts
	case crashed > 0 && running == 0:
		return state{toneBad, "crashed"}, counts
	case running > 0:
		return state{toneWait, "partly running"}, counts
	}
	return state{toneWait, "starting"}, counts
}
