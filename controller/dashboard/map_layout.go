package dashboard

import (
	"cmp"
	"math"
	"slices"
)

// The map's measures, in the drawing's own units; on a screen one is a CSS pixel.
const (
	mapNodeWidth   = 152.0
	mapNodeHeight  = 34.0
	mapRowHeight   = 52.0  // from node to node in a column
	mapColumnWidth = 258.0 // from column to column
	mapMargin      = 14.0
	mapPort        = 7.0 // from line to line at a node
	// mapCentred is up to how many rows columns are in the middle; in taller drawings they begin at the top, where people
	// begin to look.
	mapCentred = 12
)

// graph is what is to be drawn: nodes by index, in an order that depends on nothing but themselves, and edges between
// them. How well an edge fares does not matter here, so that a drawing holds still while figures change.
type graph struct {
	nodes int
	edges [][2]int
}

// drawing says where everything is.
type drawing struct {
	width, height float64
	nodes         []point   // the upper left corners
	lines         [][]point // of each edge: where it leaves, passes columns at their left and right, and arrives
}

type point struct{ X, Y float64 }

// shift moves all of it to the right.
func (d *drawing) shift(by float64) {
	for n := range d.nodes {
		d.nodes[n].X += by
	}
	for _, line := range d.lines {
		for i := range line {
			line[i].X += by
		}
	}
	d.width += by
}

// layout draws a graph in columns, so that edges lead to the right as far as there are no circles. It is that of
// Sugiyama: circles are cut, nodes go one column behind their last caller, edges that are longer than a column pass through
// places of their own, and columns are sorted by where their neighbours are.
func layout(g graph) drawing {
	l := &layered{graph: g, back: make([]bool, len(g.edges))}
	l.cutCircles()
	l.assignColumns()
	l.placeEdges()
	for range 6 {
		l.sweep(true)
		l.sweep(false)
	}
	return l.draw()
}

// layered is a layout under way. Cells are nodes, then the places that long edges pass through.
type layered struct {
	graph
	back    []bool // edges that are drawn against the columns
	column  []int  // of each cell
	columns [][]int
	row     []float64 // of each cell
	passes  [][]int   // cells of each edge, its ends included, from left to right
	left    [][]int   // neighbours of each cell in the column before, and behind
	right   [][]int
}

// ends are an edge's nodes from left to right.
func (l *layered) ends(e int) (int, int) {
	if l.back[e] {
		return l.edges[e][1], l.edges[e][0]
	}
	return l.edges[e][0], l.edges[e][1]
}

// cutCircles finds edges that lead back to a node that a walk from the first nodes is still busy with.
func (l *layered) cutCircles() {
	out := make([][]int, l.nodes)
	called := make([]bool, l.nodes)
	for e, ends := range l.edges {
		out[ends[0]] = append(out[ends[0]], e)
		called[ends[1]] = true
	}
	const busy, done = 1, 2
	state := make([]int, l.nodes)
	var walk func(int)
	walk = func(n int) {
		state[n] = busy
		for _, e := range out[n] {
			switch to := l.edges[e][1]; state[to] {
			case busy:
				l.back[e] = true
			case 0:
				walk(to)
			}
		}
		state[n] = done
	}
	for _, first := range []bool{true, false} { // those whom nobody calls first
		for n := range l.nodes {
			if state[n] == 0 && first != called[n] {
				walk(n)
			}
		}
	}
}

// assignColumns puts each node one column behind the last of those that lead to it.
func (l *layered) assignColumns() {
	l.column = make([]int, l.nodes)
	in, waits := make([][]int, l.nodes), make([]int, l.nodes)
	for e := range l.edges {
		from, to := l.ends(e)
		in[from] = append(in[from], to)
		waits[to]++
	}
	var ready []int
	for n, w := range waits {
		if w == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		for _, to := range in[n] {
			l.column[to] = max(l.column[to], l.column[n]+1)
			if waits[to]--; waits[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
}

// placeEdges makes the cells that edges pass through, and the columns in their first order.
func (l *layered) placeEdges() {
	for e := range l.edges {
		from, to := l.ends(e)
		pass := []int{from}
		for c := l.column[from] + 1; c < l.column[to]; c++ {
			pass = append(pass, len(l.column))
			l.column = append(l.column, c)
		}
		l.passes = append(l.passes, append(pass, to))
	}
	l.left, l.right, l.row = make([][]int, len(l.column)), make([][]int, len(l.column)), make([]float64, len(l.column))
	for _, pass := range l.passes {
		for i := 1; i < len(pass); i++ {
			l.right[pass[i-1]] = append(l.right[pass[i-1]], pass[i])
			l.left[pass[i]] = append(l.left[pass[i]], pass[i-1])
		}
	}
	l.columns = make([][]int, slices.Max(append(slices.Clone(l.column), 0))+1)
	for cell, c := range l.column {
		l.row[cell] = float64(len(l.columns[c]))
		l.columns[c] = append(l.columns[c], cell)
	}
	l.settle()
}

// sweep sorts each column by the mean row of its neighbours in the one before, or behind.
func (l *layered) sweep(fromLeft bool) {
	near := l.right
	if fromLeft {
		near = l.left
	}
	for i := range l.columns {
		c := i
		if !fromLeft {
			c = len(l.columns) - 1 - i
		}
		wish := map[int]float64{}
		for _, cell := range l.columns[c] {
			wish[cell] = l.row[cell]
			if len(near[cell]) > 0 {
				sum := 0.0
				for _, n := range near[cell] {
					sum += l.row[n]
				}
				wish[cell] = sum / float64(len(near[cell]))
			}
		}
		slices.SortStableFunc(l.columns[c], func(a, b int) int { return cmp.Compare(wish[a], wish[b]) })
		l.settleColumn(c)
	}
}

// settle gives rows to cells by their order.
func (l *layered) settle() {
	for c := range l.columns {
		l.settleColumn(c)
	}
}

func (l *layered) settleColumn(c int) {
	tallest := 0
	for _, column := range l.columns {
		tallest = max(tallest, len(column))
	}
	first := 0.0
	if tallest <= mapCentred {
		first = float64(tallest-len(l.columns[c])) / 2
	}
	for i, cell := range l.columns[c] {
		l.row[cell] = first + float64(i)
	}
}

// draw turns columns and rows into points.
func (l *layered) draw() drawing {
	d := drawing{nodes: make([]point, l.nodes), lines: make([][]point, len(l.edges))}
	at := func(cell int) point {
		return point{mapMargin + float64(l.column[cell])*mapColumnWidth, mapMargin + l.row[cell]*mapRowHeight}
	}
	for n := range l.nodes {
		d.nodes[n] = at(n)
	}
	for cell := range l.column {
		p := at(cell)
		d.width, d.height = math.Max(d.width, p.X+mapNodeWidth+mapMargin), math.Max(d.height, p.Y+mapNodeHeight+mapMargin)
	}
	shift := l.ports()
	for e, pass := range l.passes {
		var line []point
		for i, cell := range pass {
			p := at(cell)
			y := p.Y + mapNodeHeight/2
			if i > 0 {
				line = append(line, point{p.X, y + shift[[3]int{e, cell, 0}]})
			}
			if i < len(pass)-1 {
				line = append(line, point{p.X + mapNodeWidth, y + shift[[3]int{e, cell, 1}]})
			}
		}
		if l.back[e] {
			slices.Reverse(line)
		}
		d.lines[e] = line
	}
	return d
}

// ports says how far from the middle of a node's side, left 0 or right 1, an edge ends there: by where it leads, so that
// lines don't cross at the node and two between the same nodes are two.
func (l *layered) ports() map[[3]int]float64 {
	type end struct {
		edge  int
		other float64 // row
	}
	sides := map[[2]int][]end{}
	for e, pass := range l.passes {
		first, last := pass[0], pass[len(pass)-1]
		sides[[2]int{first, 1}] = append(sides[[2]int{first, 1}], end{e, l.row[pass[1]]})
		sides[[2]int{last, 0}] = append(sides[[2]int{last, 0}], end{e, l.row[pass[len(pass)-2]]})
	}
	shift := map[[3]int]float64{}
	for side, ends := range sides {
		slices.SortStableFunc(ends, func(a, b end) int { return cmp.Or(cmp.Compare(a.other, b.other), cmp.Compare(a.edge, b.edge)) })
		room := math.Min(mapPort, (mapNodeHeight-8)/math.Max(1, float64(len(ends)-1)))
		for i, e := range ends {
			shift[[3]int{e.edge, side[0], side[1]}] = (float64(i) - float64(len(ends)-1)/2) * room
		}
	}
	return shift
}
