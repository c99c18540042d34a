package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// overviewView is the page of the apps, with the orgs and spaces beside them.
type overviewView struct {
	frame
	API    string
	Place  *place // whose apps alone are shown; nil: all
	Name   string // the one name that is looked for
	Apps   []appRow
	Pager  pager
	Orgs   []orgRow
	Places pager
	Broken string // why orgs and spaces are missing
	More   int    // spaces that are not shown
	Teach  place  // org and space for the commands of the empty page
}

// place is a space in its org.
type place struct{ GUID, Org, Space string }

type appRow struct {
	GUID, Name string
	Place      link
	State      state
	Counts     []string // per process type
	Routes     []link   // the first ones
	More       int      // routes that are not shown
	Changed    time.Time
}

type orgRow struct {
	Name   string
	Spaces []spaceRow
}

type spaceRow struct {
	GUID, Name string
	Current    bool
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request, s *session) error {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	v := overviewView{API: d.apiURL, Name: r.URL.Query().Get("name")}
	var wg sync.WaitGroup
	wg.Go(func() { v.Broken = broken(d.readPlaces(ctx, r, s.client, &v)) })
	err := d.readApps(ctx, r, s.client, &v)
	wg.Wait()
	if err != nil {
		return err
	}
	v.frame = newFrame(s, "Apps", "apps")
	v.Teach = v.teach()
	d.render(w, http.StatusOK, "overview", &v)
	return nil
}

// broken is the sentence for a part of a page that could not be read.
func broken(err error) string {
	if err == nil {
		return ""
	}
	return explain(err)
}

// teach picks the org and space that the commands of the empty page name.
func (v *overviewView) teach() place {
	if v.Place != nil {
		return *v.Place
	}
	for _, o := range v.Orgs {
		for _, s := range o.Spaces {
			return place{s.GUID, o.Name, s.Name}
		}
	}
	if len(v.Orgs) > 0 {
		return place{Org: v.Orgs[0].Name}
	}
	return place{}
}

func (d *Dashboard) readApps(ctx context.Context, r *http.Request, c *capi.Client, v *overviewView) error {
	f := paged(r, "page").With("order_by", "name").With("include", "space.organization")
	if guid := r.URL.Query().Get("space"); guidGrammar.MatchString(guid) {
		f = f.With("space_guids", guid)
		var err error
		if v.Place, err = readPlace(ctx, c, guid); err != nil {
			return err
		}
	}
	if v.Name != "" {
		f = f.With("names", v.Name)
	}
	list, err := onePage[capi.App](ctx, c, "/v3/apps", f)
	if err != nil {
		return err
	}
	v.Pager = newPager(r, "page", "app", f, list.Pagination)
	v.Apps, err = d.appRows(ctx, c, list)
	return err
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
	case running == all:
		return state{toneOK, "running"}, counts
	case crashed > 0 && running == 0:
		return state{toneBad, "crashed"}, counts
	case running > 0:
		return state{toneWait, "partly running"}, counts
	}
	return state{toneWait, "starting"}, counts
}

// readPlaces reads a page of orgs and the spaces in them.
func (d *Dashboard) readPlaces(ctx context.Context, r *http.Request, c *capi.Client, v *overviewView) error {
	f := paged(r, "orgs").With("order_by", "name")
	orgs, err := onePage[capi.Organization](ctx, c, "/v3/organizations", f)
	if err != nil {
		return err
	}
	v.Places = newPager(r, "orgs", "org", f, orgs.Pagination)
	if len(orgs.Resources) == 0 {
		return nil
	}
	var guids []string
	for _, o := range orgs.Resources {
		guids = append(guids, o.GUID)
	}
	spaces, err := onePage[capi.Space](ctx, c, "/v3/spaces", capi.Filter{"organization_guids": guids, "order_by": {"name"}, "per_page": {"500"}})
	if err != nil {
		return err
	}
	v.More = spaces.Pagination.TotalResults - len(spaces.Resources)
	byOrg := map[string][]spaceRow{}
	for _, s := range spaces.Resources {
		org := s.Relationships.Organization.GUID()
		byOrg[org] = append(byOrg[org], spaceRow{s.GUID, s.Name, s.GUID == r.URL.Query().Get("space")})
	}
	for _, o := range orgs.Resources {
		v.Orgs = append(v.Orgs, orgRow{o.Name, byOrg[o.GUID]})
	}
	return nil
}
