package dashboard

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// mapDrawing is the map as SVG.
type mapDrawing struct {
	Width, Height int
	Title         string
	Lines         []mapLine
	Nodes         []mapBox
}

// mapLine is an edge: its line, its label, and what is said of it when one points at it or goes there by keys.
type mapLine struct {
	ID, Path, Class string
	Stroke          string // width of the line
	Label           string
	LabelX, LabelY  string
	LabelWidth      string
	Bad             bool
	Say             string // all of it in one sentence
	Tip             []tipLine
	TipX, TipY      string
	TipHeight       int
}

type tipLine struct {
	Y    int
	Text string
}

// mapBox is a node.
type mapBox struct {
	ID, Icon, Name, Sub, Href, Say string
	X, Y                           string
	Class                          string
	// Mark says how the internet calls, where that is no line of its own.
	Mark    string
	MarkBad bool
}

const (
	tipWidth, tipRow = 250, 16
	labelLetter      = 6.4 // mean width of one
	labelHeight      = 17.0
	mapMarkWidth     = 48.0 // of the mark that stands for the internet, at a node's left
)

// drawMap draws edges between nodes; nil is that it would be too much to look at.
func drawMap(edges []capi.MapEdge, by map[string]*capi.MapNode) *mapDrawing {
	p := &mapPainter{by: by, index: map[string]int{}}
	for _, e := range edges {
		p.outside += btoi(e.From == capi.MapInternet)
	}
	p.sort(edges)
	if len(p.edges) == 0 && len(p.marks) == 0 {
		return &mapDrawing{}
	}
	p.collect()
	if len(p.nodes) > mapNodesMost || len(p.edges) > mapEdgesMost {
		return nil
	}
	return p.paint()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mapPainter draws one map.
type mapPainter struct {
	by      map[string]*capi.MapNode
	edges   []capi.MapEdge          // that are lines, by their ends
	marks   map[string]capi.MapEdge // from the internet, by the node they lead to, where they are no lines
	loops   map[string]capi.MapEdge // from a node to itself
	outside int                     // edges from the internet
	nodes   []*capi.MapNode         // those with lines first
	lined   int                     // how many have
	index   map[string]int
}

// sort separates lines from marks, and puts lines in an order that does not depend on how they fare.
func (p *mapPainter) sort(edges []capi.MapEdge) {
	p.marks, p.loops = map[string]capi.MapEdge{}, map[string]capi.MapEdge{}
	for _, e := range edges {
		switch {
		case p.by[e.From] == nil || p.by[e.To] == nil:
		case e.From == e.To:
			p.loops[e.From] = e
		case e.From == capi.MapInternet && p.outside > mapLinesFromInternet:
			if have, ok := p.marks[e.To]; !ok || have.State != capi.MapFailing {
				p.marks[e.To] = e
			}
		default:
			p.edges = append(p.edges, e)
		}
	}
	slices.SortFunc(p.edges, func(a, b capi.MapEdge) int {
		return cmp.Or(p.order(a.From, b.From), p.order(a.To, b.To), cmp.Compare(a.Kind, b.Kind))
	})
}

// order is that of nodes: the internet, what one may not see, the rest by name.
func (p *mapPainter) order(a, b string) int {
	first := func(id string) int {
		return btoi(id != capi.MapInternet) + btoi(id != capi.MapInternet && id != capi.MapElsewhere)
	}
	return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(p.by[a].Name, p.by[b].Name), cmp.Compare(a, b))
}

// collect numbers the nodes: those with lines first.
func (p *mapPainter) collect() {
	var lined, alone []string
	seen := map[string]bool{}
	note := func(list *[]string, id string) {
		if !seen[id] {
			seen[id] = true
			*list = append(*list, id)
		}
	}
	for _, e := range p.edges {
		note(&lined, e.From)
		note(&lined, e.To)
	}
	for _, more := range []map[string]capi.MapEdge{p.marks, p.loops} {
		for id := range more {
			note(&alone, id)
		}
	}
	slices.SortFunc(lined, p.order)
	slices.SortFunc(alone, p.order)
	for i, id := range slices.Concat(lined, alone) {
		p.index[id] = i
		p.nodes = append(p.nodes, p.by[id])
	}
	p.lined = len(lined)
}

// paint draws the nodes with lines in columns, and the others below in rows.
func (p *mapPainter) paint() *mapDrawing {
	g := graph{nodes: p.lined}
	for _, e := range p.edges {
		g.edges = append(g.edges, [2]int{p.index[e.From], p.index[e.To]})
	}
	var d drawing
	if p.lined > 0 {
		d = layout(g)
	}
	if len(p.marks) > 0 {
		d.shift(mapMarkWidth)
	}
	d = below(d, len(p.nodes)-p.lined)
	out := &mapDrawing{Width: int(math.Ceil(d.width)), Height: int(math.Ceil(d.height))}
	for i, n := range p.nodes {
		out.Nodes = append(out.Nodes, p.box(n, d.nodes[i]))
	}
	out.Lines = p.lines(d)
	bad := 0
	for _, e := range slices.Concat(p.edges, slicesOf(p.marks)) {
		bad += btoi(e.State == capi.MapFailing)
	}
	out.Title = fmt.Sprintf("Service map of %s and %s, %s. The table below says the same.",
		plural(len(p.nodes), "place"), plural(len(p.edges)+len(p.marks), "connection"), failing(bad))
	return out
}

func failing(n int) string {
	if n == 0 {
		return "none of which is failing"
	}
	return fmt.Sprintf("%d of which fail", n)
}

func slicesOf(m map[string]capi.MapEdge) (all []capi.MapEdge) {
	for _, e := range m {
		all = append(all, e)
	}
	return all
}

// below adds nodes without lines in rows under a drawing.
func below(d drawing, alone int) drawing {
	if alone == 0 {
		return d
	}
	const across = mapNodeWidth + mapMarkWidth + mapMargin
	perRow := max(int((math.Max(d.width, 980)-mapMargin)/across), 1)
	top := d.height
	if top == 0 {
		top = mapMargin
	}
	for i := range alone {
		x, y := mapMargin+mapMarkWidth+float64(i%perRow)*across, top+float64(i/perRow)*mapRowHeight
		d.nodes = append(d.nodes, point{x, y})
		d.width, d.height = math.Max(d.width, x+mapNodeWidth+mapMargin), y+mapNodeHeight+mapMargin
	}
	return d
}

var mapIcons = map[string]string{
	capi.MapApp: "apps", capi.MapService: "services", capi.MapSpace: "builds", capi.MapOrg: "orgs", capi.MapInternet: "domains", capi.MapElsewhere: "off",
}

func (p *mapPainter) box(n *capi.MapNode, at point) mapBox {
	b := mapBox{ID: n.ID, Icon: icons[mapIcons[n.Kind]], Name: clip(n.Name, 17), Href: mapLink(n).Href, X: num(at.X), Y: num(at.Y), Class: n.Kind}
	b.Say = n.Name
	if n.Kind == capi.MapSpace {
		b.Name, b.Say = clip(mapPlace(n), 17), mapPlace(n)
	}
	if e, inside := p.loops[n.ID]; inside {
		b.Sub, _, _ = strings.Cut("within: "+mapLabel(&e), " · ")
		b.Say += " " + b.Sub + " (" + mapSentence(&e) + ")"
	}
	if n.Space != nil && n.Kind != capi.MapSpace {
		b.Say += ", in " + mapPlace(n)
	}
	if e, ok := p.marks[n.ID]; ok {
		b.Mark, b.MarkBad = mapLabel(&e), troubled(e.State)
		b.Say += ". From the internet: " + mapSentence(&e)
		b.Mark, _, _ = strings.Cut(b.Mark, " · ")
	}
	return b
}

// mapSentence is all that is known of an edge.
func mapSentence(e *capi.MapEdge) string {
	return strings.Join(append([]string{mapStates[e.State].Text}, mapFacts(e)...), ", ")
}

// mapFacts are the figures of an edge, in words.
func mapFacts(e *capi.MapEdge) (all []string) {
	noun := "connections"
	if e.Kind == capi.MapHTTP {
		noun = "requests"
	}
	switch {
	case e.PerSecond == nil:
		all = append(all, "nothing of it is counted")
	case *e.PerSecond > 0:
		all = append(all, rate(*e.PerSecond)+" ("+noun+")")
	}
	if e.Failed != nil && *e.Failed > 0 {
		all = append(all, fmt.Sprintf("%d of %d failed", *e.Failed, *e.Calls))
	}
	if l := e.LatencyMS; l != nil {
		all = append(all, "half within "+milliseconds(l.P50), "95 % within "+milliseconds(l.P95))
	}
	if e.InFlight != nil && *e.InFlight > 0 {
		all = append(all, fmt.Sprintf("%d in flight", *e.InFlight))
	}
	if e.StuckSeconds != nil {
		all = append(all, mapLabel(e))
	}
	if e.Kind == capi.MapDirect && e.PerSecond != nil {
		all = append(all, "how they fare is not known")
	}
	return all
}

// lines are the edges' lines. Labels that would lie on each other move down.
func (p *mapPainter) lines(d drawing) []mapLine {
	all := make([]mapLine, 0, len(p.edges))
	out, in := make([]int, len(p.nodes)), make([]int, len(p.nodes))
	for _, e := range p.edges {
		out[p.index[e.From]]++
		in[p.index[e.To]]++
	}
	labels := labelling{}
	for i := range p.edges {
		e := &p.edges[i]
		l := p.line(e, d.lines[i])
		if text := mapLabel(e); text != "" && (len(p.edges) <= mapLabelsMost || troubled(e.State)) {
			near := d.lines[i][:2] // where fewer lines come together
			if out[p.index[e.From]] > in[p.index[e.To]] {
				near = d.lines[i][len(d.lines[i])-2:]
			}
			l.Bad = troubled(e.State)
			l.Label = text
			width := labelLetter*float64(len([]rune(text))) + 12 + 14*float64(btoi(l.Bad))
			at := labels.place(point{(near[0].X + near[1].X) / 2, (near[0].Y + near[1].Y) / 2}, width)
			l.LabelX, l.LabelY, l.LabelWidth = num(at.X-width/2), num(at.Y-labelHeight/2), num(width)
		}
		all = append(all, l)
	}
	return all
}

func (p *mapPainter) line(e *capi.MapEdge, along []point) mapLine {
	l := mapLine{ID: mapEdgeID(e), Path: curve(along), Class: e.State, Stroke: num(strokeOf(e))}
	from, to := mapName(p.by[e.From]), mapName(p.by[e.To])
	l.Say = fmt.Sprintf("%s to %s, %s: %s", from, to, mapKinds[e.Kind], mapSentence(e))
	texts := append([]string{clip(from+" → "+to, 38), mapKinds[e.Kind] + ": " + mapStates[e.State].Text}, mapFacts(e)...)
	for i, text := range texts {
		l.Tip = append(l.Tip, tipLine{Y: 20 + i*tipRow, Text: clip(text, 42)})
	}
	l.TipHeight = 14 + len(texts)*tipRow
	mid := along[len(along)/2]
	l.TipX, l.TipY = num(math.Max(2, mid.X-tipWidth/2)), num(math.Max(2, mid.Y-float64(l.TipHeight)-8))
	return l
}

// strokeOf is wider for more calls: a little for each power of ten.
func strokeOf(e *capi.MapEdge) float64 {
	width := 1.4
	if e.PerSecond != nil {
		width += math.Min(math.Log10(1+*e.PerSecond*10), 4) * 0.6
	}
	if e.State == capi.MapFailing {
		width += 1.2
	}
	return width
}

// curve leads through points, level at each of them.
func curve(along []point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", num(along[0].X), num(along[0].Y))
	for i := 1; i < len(along); i++ {
		a, c := along[i-1], along[i]
		if a.Y == c.Y {
			fmt.Fprintf(&b, "H%s", num(c.X))
			continue
		}
		bend := (c.X - a.X) / 2
		fmt.Fprintf(&b, "C%s %s %s %s %s %s", num(a.X+bend), num(a.Y), num(c.X-bend), num(c.Y), num(c.X), num(c.Y))
	}
	return b.String()
}

// labelling finds room for labels.
type labelling struct {
	taken []struct{ x1, x2, y1, y2 float64 }
}

// place is the nearest free room at or below.
func (l *labelling) place(at point, width float64) point {
	for moved := true; moved; {
		moved = false
		for _, t := range l.taken {
			if at.X-width/2 < t.x2 && at.X+width/2 > t.x1 && at.Y-labelHeight/2 < t.y2 && at.Y+labelHeight/2 > t.y1 {
				at.Y, moved = t.y2+labelHeight/2+1, true
			}
		}
	}
	l.taken = append(l.taken, struct{ x1, x2, y1, y2 float64 }{at.X - width/2, at.X + width/2, at.Y - labelHeight/2, at.Y + labelHeight/2})
	return at
}

// num is a coordinate with at most one digit behind the point.
func num(v float64) string { return decimals(v, 1) }

// clip is a text of at most n letters.
func clip(text string, n int) string {
	letters := []rune(text)
	if len(letters) <= n {
		return text
	}
	return string(letters[:n-1]) + "…"
}
