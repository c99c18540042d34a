package dashboard

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	// mapDrawn is how many nodes and edges a drawing has; beyond that it says how to see less.
	mapNodesMost, mapEdgesMost = 260, 500
	// mapAppsMost is from how many nodes on the apps of a space are drawn as one, unless asked otherwise.
	mapAppsMost = 60
	// mapLabelsMost is up to how many edges each has its figures beside it; on larger maps those that are not well have.
	mapLabelsMost = 24
	// mapRows is how many edges the table has.
	mapRows = 100
	// mapSpacesMost is how many spaces there are to choose from.
	mapSpacesMost = 500
	// mapLinesFromInternet is up to how many edges from the internet there is a node for it. Beyond that a mark at each
	// app says the same: nobody could follow so many lines.
	mapLinesFromInternet = 14
)

func (d *Dashboard) mapPages() map[string]reader {
	return map[string]reader{"/map": d.serviceMap}
}

// mapView is the service map: a drawing, and a table that says the same in words.
type mapView struct {
	frame
	Window   string // that figures cover
	Group    string // app, space or organization
	Given    string // the group that was asked for; empty: what fits
	Space    string // GUIDs of what was asked for
	App      string
	AppName  string
	Only     bool // what is not well
	Any      bool // something narrows the map
	Spaces   []option
	Troubled []mapRow // edges that are not well
	Rows     []mapRow
	More     int // edges that are not in the table
	Edges    int
	Drawing  *mapDrawing // nil: too much to draw
	Kinds    string      // of what the drawing has that nothing is known of, for the legend
}

// option is one of a choice.
type option struct {
	Value, Text string
	Chosen      bool
}

// mapRow is an edge in words.
type mapRow struct {
	ID       string
	From, To link
	How      string
	State    state
	Rate     string
	Failed   string
	P50, P95 string
	InFlight string
	Why      string // what is the matter, or empty
}

func (d *Dashboard) serviceMap(ctx context.Context, q *ask) (screen, error) {
	v := mapView{Space: q.queryGUID("space"), App: q.queryGUID("app"), Given: q.query("by"), Only: q.query("show") == "troubled"}
	if !slices.Contains([]string{capi.MapApp, capi.MapSpace, capi.MapOrg}, v.Given) {
		v.Given = ""
	}
	v.Any = v.Space != "" || v.App != "" || v.Only
	m, err := v.read(ctx, q.c)
	if err != nil {
		return screen{}, err
	}
	if v.Spaces, err = spaceOptions(ctx, q.c, v.Space); err != nil {
		return screen{}, err
	}
	v.Window = span(time.Duration(m.WindowSeconds/60) * time.Minute)
	v.show(m)
	v.Title, v.Section, v.Live = "Service map", "/map", true
	return screen{"map", &v}, nil
}

// read asks for the apps, and for their spaces or orgs where that would be too much to look at.
func (v *mapView) read(ctx context.Context, c *capi.Client) (*capi.ServiceMap, error) {
	groups := []string{capi.MapApp, capi.MapSpace, capi.MapOrg}
	if v.Given != "" {
		groups = []string{v.Given}
	}
	for i := 0; ; i++ {
		v.Group = groups[i]
		ask := url.Values{"group_by": {v.Group}}
		if v.Space != "" {
			ask.Set("space_guids", v.Space)
		}
		if v.App != "" {
			ask.Set("app_guids", v.App)
		}
		m, err := capi.Get[capi.ServiceMap](ctx, c, "/v3/map?"+ask.Encode())
		if err != nil {
			return nil, err
		}
		if v.App != "" || i == len(groups)-1 || len(m.Nodes) <= mapAppsMost && m.LeftOut == 0 {
			return m, nil
		}
	}
}

// spaceOptions are the spaces to choose from, with their orgs.
func spaceOptions(ctx context.Context, c *capi.Client, chosen string) ([]option, error) {
	list, err := onePage[capi.Space](ctx, c, "/v3/spaces", capi.Filter{"per_page": {strconv.Itoa(mapSpacesMost)}, "include": {"organization"}})
	if err != nil {
		return nil, err
	}
	known := namesOf(list.Included)
	var all []option
	for _, s := range list.Resources {
		all = append(all, option{s.GUID, known.orgs[s.Relationships.Organization.GUID()].Name + " / " + s.Name, s.GUID == chosen})
	}
	slices.SortFunc(all, func(a, b option) int { return cmp.Compare(a.Text, b.Text) })
	return all, nil
}

// show makes words and a drawing of m.
func (v *mapView) show(m *capi.ServiceMap) {
	nodes := map[string]*capi.MapNode{}
	for i := range m.Nodes {
		nodes[m.Nodes[i].ID] = &m.Nodes[i]
		if m.Nodes[i].ID == v.App {
			v.AppName = m.Nodes[i].Name
		}
	}
	edges := m.Edges
	if v.Only {
		edges = slices.DeleteFunc(slices.Clone(edges), func(e capi.MapEdge) bool { return !troubled(e.State) })
	}
	v.Edges = len(edges) + m.LeftOut
	for i := range edges {
		row := mapWords(&edges[i], nodes)
		if troubled(edges[i].State) {
			v.Troubled = append(v.Troubled, row)
		}
		v.Rows = append(v.Rows, row)
	}
	v.Rows = v.Rows[:min(len(v.Rows), mapRows)]
	v.More = v.Edges - len(v.Rows)
	v.Troubled = v.Troubled[:min(len(v.Troubled), 10)]
	v.Drawing = drawMap(edges, nodes)
}

func troubled(state string) bool { return state == capi.MapFailing || state == capi.MapDegraded }
