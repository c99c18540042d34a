package dashboard

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestLayoutHolds draws random graphs, with circles, of up to 200 nodes: the same graph is always drawn the same, no two
// nodes touch, all is within the drawing, lines begin and end at their nodes, and lead to the right unless there is a circle.
func TestLayoutHolds(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 3))
		g := graph{nodes: 1 + random.IntN(200)}
		circles := seed%2 == 0
		seen := map[[2]int]bool{}
		for range random.IntN(3 * g.nodes) {
			a, b := random.IntN(g.nodes), random.IntN(g.nodes)
			if !circles && a > b {
				a, b = b, a
			}
			if a == b || circles && seen[[2]int{a, b}] {
				continue
			}
			seen[[2]int{a, b}] = true
			g.edges = append(g.edges, [2]int{a, b})
		}
		d := layout(g)
		if again := layout(g); !reflect.DeepEqual(d, again) {
			t.Fatalf("seed %d: the same graph is drawn in two ways", seed)
		}
		for n, p := range d.nodes {
			if p.X < 0 || p.Y < 0 || p.X+mapNodeWidth > d.width || p.Y+mapNodeHeight > d.height {
				t.Fatalf("seed %d: node %d at %v is not within %g by %g", seed, n, p, d.width, d.height)
			}
			for m, q := range d.nodes[:n] {
				if p.X < q.X+mapNodeWidth && q.X < p.X+mapNodeWidth && p.Y < q.Y+mapNodeHeight && q.Y < p.Y+mapNodeHeight {
					t.Fatalf("seed %d: nodes %d at %v and %d at %v lie on each other", seed, n, p, m, q)
				}
			}
		}
		for e, line := range d.lines {
			from, to := d.nodes[g.edges[e][0]], d.nodes[g.edges[e][1]]
			first, last := line[0], line[len(line)-1]
			if !onSide(first, from) || !onSide(last, to) {
				t.Fatalf("seed %d: the line %v does not lead from the node at %v to that at %v", seed, line, from, to)
			}
			if !circles && first.X >= last.X {
				t.Fatalf("seed %d: the line %v leads back, and there is no circle", seed, line)
			}
		}
	}
}

// onSide reports whether p is at the left or the right side of the node at n.
func onSide(p, n point) bool {
	return (p.X == n.X || p.X == n.X+mapNodeWidth) && p.Y >= n.Y && p.Y <= n.Y+mapNodeHeight
}
