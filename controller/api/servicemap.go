package api

import (
	"cmp"
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	// mapEdgesMost is how many edges one answer has.
	mapEdgesMost = 2000
	// mapStillMost is how many bindings, and policies, are looked at that nothing was counted of.
	mapStillMost = 1000
)

// ServiceMap tells who called whom, between the places that place gives to the GUIDs of apps and of data services, and to
// capi.MapInternet and capi.MapElsewhere. What place says false of is left out. It fills the edges and what they cover, no
// nodes. It must not open a transaction.
type ServiceMap func(place func(guid string) (string, bool)) capi.ServiceMap

// serviceMapRoutes are Cupola's own.
func (s *Server) serviceMapRoutes() []Route {
	return []Route{{"GET", "/v3/map", signedIn(), s.getServiceMap, []string{"app_guids", "space_guids", "organization_guids", "group_by"}, nil}}
}

// getServiceMap answers with the edges that begin or end at what was asked for, of what the caller may see. The other end
// of such an edge is named if the caller may see it, and is capi.MapElsewhere if not: that somebody calls is theirs to know,
// who it is is not.
func (s *Server) getServiceMap(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		m, err := newMapper(tx, c)
		if err != nil {
			return nil, err
		}
		out := s.serviceMap(m.place)
		if out.Edges, err = m.still(out.Edges); err != nil {
			return nil, err
		}
		m.pick(&out)
		return out, m.err
	})
}

// mapper gives places to apps and services.
type mapper struct {
	tx      *store.Tx
	group   string          // app, space or organization
	visible map[string]bool // spaces; nil: all
	asked   map[string]bool // spaces; nil: all of the visible
	apps    map[string]bool // nil: all of those in asked
	nodes   map[string]*capi.MapNode
	focused map[string]bool   // nodes that were asked for
	placed  map[string]string // node by GUID
	spaces  map[string]*store.Space
	orgs    map[string]*store.Org
	err     error // of a read on the way
}

func newMapper(tx *store.Tx, c *Ctx) (*mapper, error) {
	m := &mapper{
		tx: tx, group: cmp.Or(c.Filter.Value("group_by"), capi.MapApp), nodes: map[string]*capi.MapNode{}, focused: map[string]bool{},
		placed: map[string]string{}, spaces: map[string]*store.Space{}, orgs: map[string]*store.Org{},
	}
	if !slices.Contains([]string{capi.MapApp, capi.MapSpace, capi.MapOrg}, m.group) {
		return nil, errQuery("group_by must be app, space or organization")
	}
	spaces, all, err := c.visibleSpaces(tx, SeeSpace)
	if err != nil {
		return nil, err
	}
	if !all {
		m.visible = set(spaces)
	}
	if spaces, all, err = c.spacesInView(tx, SeeSpace); err != nil {
		return nil, err
	}
	if !all {
		m.asked = set(spaces)
	}
	if apps, given := c.Filter.List("app_guids"); given {
		m.apps = set(apps)
	}
	return m, nil
}

func set(all []string) map[string]bool {
	out := make(map[string]bool, len(all))
	for _, v := range all {
		out[v] = true
	}
	return out
}

// place is the node of an app or a data service.
func (m *mapper) place(guid string) (string, bool) {
	id, known := m.placed[guid]
	if !known {
		var err error
		if id, err = m.find(guid); err != nil {
			m.err = errors.Join(m.err, err)
		}
		m.placed[guid] = id
	}
	return id, id != ""
}

func (m *mapper) find(guid string) (string, error) {
	if guid == capi.MapInternet || guid == capi.MapElsewhere {
		return m.nowhere(guid), nil
	}
	app, err := store.Apps.Get(m.tx, guid)
	if err == nil {
		return m.at(capi.MapNode{ID: guid, Kind: capi.MapApp, Name: app.Name}, app.SpaceGUID, []string{app.SpaceGUID})
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	service, err := store.ServiceInstances.Get(m.tx, guid)
	if err == nil {
		return m.at(capi.MapNode{ID: guid, Kind: capi.MapService, Name: service.Name}, service.SpaceGUID, service.Spaces())
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return m.nowhere(capi.MapElsewhere), nil // it was deleted meanwhile
}

func (m *mapper) nowhere(id string) string {
	m.nodes[id] = &capi.MapNode{ID: id, Kind: id, Name: map[string]string{capi.MapInternet: "internet", capi.MapElsewhere: "another space"}[id]}
	return id
}

// at is the node of what lies in a space, and can be seen in some.
func (m *mapper) at(n capi.MapNode, spaceGUID string, seenIn []string) (string, error) {
	if m.visible != nil && !slices.ContainsFunc(seenIn, func(s string) bool { return m.visible[s] }) {
		return m.nowhere(capi.MapElsewhere), nil
	}
	space, org, err := m.spaceAndOrg(spaceGUID)
	if err != nil {
		return "", err
	}
	focused := m.asked == nil || slices.ContainsFunc(seenIn, func(s string) bool { return m.asked[s] })
	if m.apps != nil {
		focused = focused && m.apps[n.ID]
	}
	n.Space, n.Organization = &capi.MapRef{GUID: space.GUID, Name: space.Name}, &capi.MapRef{GUID: org.GUID, Name: org.Name}
	switch m.group {
	case capi.MapSpace:
		n.ID, n.Kind, n.Name = space.GUID, capi.MapSpace, space.Name
	case capi.MapOrg:
		n.ID, n.Kind, n.Name, n.Space = org.GUID, capi.MapOrg, org.Name, nil
	}
	m.nodes[n.ID] = &n
	m.focused[n.ID] = m.focused[n.ID] || focused
	return n.ID, nil
}

func (m *mapper) spaceAndOrg(guid string) (*store.Space, *store.Org, error) {
	space, err := m.spaces[guid], error(nil)
	if space == nil {
		if space, err = store.Spaces.Get(m.tx, guid); err != nil {
			return nil, nil, err
		}
		m.spaces[guid] = space
	}
	org := m.orgs[space.OrgGUID]
	if org == nil {
		if org, err = store.Orgs.Get(m.tx, space.OrgGUID); err != nil {
			return nil, nil, err
		}
		m.orgs[space.OrgGUID] = org
	}
	return space, org, nil
}

// still adds what is set up but was not counted: policies between apps, and bindings to services.
func (m *mapper) still(edges []capi.MapEdge) ([]capi.MapEdge, error) {
	have := map[[2]string]bool{}
	for _, e := range edges {
		if e.Kind == capi.MapDirect {
			have[[2]string{e.From, e.To}] = true
		}
	}
	add := func(from, to, kind string) {
		a, okA := m.place(from)
		b, okB := m.place(to)
		if ends := [2]string{a, b}; okA && okB && !have[ends] && (a != b || m.group == capi.MapApp) {
			have[ends] = true
			edges = append(edges, capi.MapEdge{From: a, To: b, Kind: kind, State: capi.MapUnknown})
		}
	}
	bindings := store.Query[store.ServiceBinding]{Where: []store.Cond{store.By("type", "app")}, Limit: mapStillMost}
	if m.asked != nil {
		bindings.Where = append(bindings.Where, store.By("space", sortedKeys(m.asked)...))
	}
	all, _, err := store.ServiceBindings.List(m.tx, bindings)
	for _, b := range all {
		add(b.AppGUID, b.InstanceGUID, capi.MapBound)
	}
	policies, _, errPolicies := store.NetworkPolicies.List(m.tx, store.Query[store.NetworkPolicy]{Limit: mapStillMost})
	for _, p := range policies {
		add(p.SourceAppGUID, p.DestinationAppGUID, capi.MapDirect)
	}
	return edges, errors.Join(err, errPolicies)
}

// pick keeps the edges of what was asked for, the most important first, and gives them their nodes.
func (m *mapper) pick(out *capi.ServiceMap) {
	edges := slices.DeleteFunc(out.Edges, func(e capi.MapEdge) bool { return !m.focused[e.From] && !m.focused[e.To] })
	slices.SortStableFunc(edges, func(a, b capi.MapEdge) int {
		return cmp.Or(cmp.Compare(urgency(a.State), urgency(b.State)), cmp.Compare(often(b), often(a)), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	out.LeftOut = max(0, len(edges)-mapEdgesMost)
	out.Edges, out.Nodes = edges[:len(edges)-out.LeftOut], capi.Array[capi.MapNode]{}
	used := map[string]bool{}
	for _, e := range out.Edges {
		used[e.From], used[e.To] = true, true
	}
	for id := range used {
		out.Nodes = append(out.Nodes, *m.nodes[id])
	}
	slices.SortFunc(out.Nodes, func(a, b capi.MapNode) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
}

// urgency orders states, the worst first.
func urgency(state string) int {
	switch state {
	case capi.MapFailing:
		return 0
	case capi.MapDegraded:
		return 1
	case capi.MapOK, capi.MapActive:
		return 2
	}
	return 3
}

func often(e capi.MapEdge) float64 {
	if e.PerSecond == nil {
		return 0
	}
	return *e.PerSecond
}
