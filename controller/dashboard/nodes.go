package dashboard

import (
	"context"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// nodePages are those of the machines, of certificates and disks: what operators watch.
func (d *Dashboard) nodePages() map[string]reader {
	return map[string]reader{"/nodes": d.nodes, "/nodes/{guid}": d.nodePage, "/certificates": d.certificates}
}

func (d *Dashboard) nodeActions() map[string]writer {
	return map[string]writer{"/nodes/{guid}/{action}": d.nodeAction}
}

// nodesView is the list of machines.
type nodesView struct {
	frame
	Nodes  []nodeRow
	Move   *moveView // of what runs, from one engine to the other; nil: there was none
	Disks  []diskRow
	Broken string // why disks are missing
	Single bool   // there is no cluster
}

type nodeRow struct {
	GUID, Name, Address, Pool, Zone, Version string
	Router                                   string // how its router is; empty: it has none
	RouterOnly                               bool
	State                                    state
	Problem                                  string // what is wrong and how to mend it; empty: nothing
	Memory                                   meter
	Count, Builds                            int
	Builder, Draining, Down, Single          bool
}

// meter is how much of a whole is used.
type meter struct {
	Percent     int
	Label, Text string
}

func (d *Dashboard) nodes(ctx context.Context, q *ask) (screen, error) {
	v := nodesView{}
	all, err := readNodes(ctx, q.c)
	if err != nil {
		return screen{}, err
	}
	v.Nodes = all
	if v.Single = len(all) == 1 && all[0].Single; !v.Single {
		if v.Move, err = readMove(ctx, q.c); err != nil {
			return screen{}, err
		}
	}
	v.Disks, err = readDisks(ctx, q.c)
	v.Broken = broken(err)
	v.Title, v.Section, v.Live = "Nodes", "/nodes", true
	return screen{"nodes", &v}, nil
}

func readNodes(ctx context.Context, c *capi.Client) ([]nodeRow, error) {
	all, err := capi.Get[capi.Nodes](ctx, c, "/v3/admin/nodes")
	if err != nil {
		return nil, err
	}
	var rows []nodeRow
	for _, n := range all.Resources {
		rows = append(rows, nodeRow{
			GUID: n.GUID, Name: n.Name, Address: n.Address, Pool: n.Pool, Zone: n.Zone, Version: n.Version, State: nodeState(n.State), Problem: upper(n.Problem), Count: n.Count, Single: n.Single, Router: strings.ToLower(n.Router), RouterOnly: n.RouterOnly,
			Builder: n.Builder, Builds: n.Builds,
			Draining: n.State == capi.NodeDraining || n.State == capi.NodeDrained, Down: n.State == capi.NodeDown,
			Memory: meter{percent(int64(n.Reserved), int64(n.Memory)), "Memory of " + n.Name, megabytes(n.Reserved) + " of " + megabytes(n.Memory) + " given away"},
		})
	}
	return rows, nil
}

func nodeState(s string) state {
	switch s {
	case capi.NodeReady:
		return state{toneOK, "ready"}
	case capi.NodeDraining:
		return state{toneWait, "draining"}
	case capi.NodeDrained:
		return state{toneOff, "drained"}
	case capi.NodeDown:
		return state{toneBad, "down"}
	case capi.NodeFull:
		return state{toneBad, "disk full"}
	case capi.NodeAway:
		return state{toneBad, "no answer"}
	case capi.NodeJoining:
		return state{toneWait, "joining"}
	case capi.NodeSkewed:
		return state{toneBad, "clock off"}
	}
	return state{toneOff, "without an agent"}
}

// nodeView is the page of one machine with what runs there.
type nodeView struct {
	frame
	Node      nodeRow
	Instances []nodeInstanceRow
	Pager     pager
}

type nodeInstanceRow struct {
	App, Place link
	Name       string
	State      state
	Memory     string
}

func (d *Dashboard) nodePage(ctx context.Context, q *ask) (screen, error) {
	all, err := readNodes(ctx, q.c)
	if err != nil {
		return screen{}, err
	}
	at := slices.IndexFunc(all, func(n nodeRow) bool { return n.GUID == q.guid() })
	if at < 0 {
		return screen{}, errNoPage
	}
	v := nodeView{Node: all[at]}
	f := paged(q.r, "page")
	list, err := onePage[capi.NodeInstance](ctx, q.c, "/v3/admin/nodes/"+q.guid()+"/instances", f)
	if err != nil {
		return screen{}, err
	}
	var spaces []string
	for _, i := range list.Resources {
		spaces = append(spaces, i.Space.GUID)
	}
	known, err := readNames(ctx, q.c, unique(spaces))
	if err != nil {
		return screen{}, err
	}
	for _, i := range list.Resources {
		row := nodeInstanceRow{App: link{i.Name, "/apps/" + i.App.GUID}, Place: known.place(i.Space.GUID), Name: instanceName(i.Process, i.Index), State: instanceState(i.State), Memory: megabytes(i.Memory)}
		if i.Name == "" {
			row.App = link{Text: "an app that is being deleted"}
		}
		v.Instances = append(v.Instances, row)
	}
	v.Pager = newPager(q.r, "page", "instance", f, list.Pagination)
	v.Title, v.Section, v.Live = v.Node.Name, "/nodes", true
	return screen{"node", &v}, nil
}

func (d *Dashboard) nodeAction(ctx context.Context, q *ask) (string, string, error) {
	path := "/v3/admin/nodes/" + q.guid()
	switch q.r.PathValue("action") {
	case "drain":
		return "The node takes no more instances. Those that it has are stopped as soon as others have taken their places.", "/nodes/" + q.guid(), q.c.Act(ctx, "POST", path+"/actions/drain", nil)
	case "resume":
		return "Instances are placed on the node again.", "/nodes/" + q.guid(), q.c.Act(ctx, "POST", path+"/actions/resume", nil)
	case "remove":
		return "The node is forgotten.", "/nodes", q.c.Act(ctx, "DELETE", path, nil)
	}
	return "", "", errNoPage
}

// diskRow is a disk with its largest parts.
type diskRow struct {
	Name, Path, Free string
	State            state
	Use              meter
	Parts            []link // name and size
	Remedy           string
}

func readDisks(ctx context.Context, c *capi.Client) ([]diskRow, error) {
	all, err := capi.Get[capi.Disks](ctx, c, "/v3/admin/disks")
	if err != nil {
		return nil, err
	}
	var rows []diskRow
	for _, one := range all.Resources {
		used := one.Total - one.Free
		row := diskRow{
			Name: one.Name, Path: one.Path, Free: size(one.Free), State: diskState(one.State), Remedy: upper(one.Remedy),
			Use: meter{percent(used, one.Total), "Disk of " + one.Name, size(used) + " of " + size(one.Total) + " used"},
		}
		for _, part := range one.Parts[:min(len(one.Parts), 6)] {
			row.Parts = append(row.Parts, link{Text: part.Name + " " + size(part.Bytes)})
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func diskState(s string) state {
	switch s {
	case capi.DiskLow:
		return state{toneWait, "getting full"}
	case capi.DiskFull:
		return state{toneBad, "full"}
	}
	return state{toneOK, "room enough"}
}
