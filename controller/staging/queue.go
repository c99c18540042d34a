package staging

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/store"
)

// queue orders waiting builds fairly. Turns go round the orgs: the next is always that of the org with the fewest
// builds under way, of several such the one whose turn is the longest ago. Within an org the oldest comes first.
type queue struct {
	turn  int
	turns map[string]int // by org: when it had its last turn
}

// waiter is a build that waits.
type waiter struct {
	build *store.Build
	org   string
}

// order sorts waiting, which comes oldest first. running counts the builds under way by org.
func (q *queue) order(waiting []waiter, running map[string]int) []waiter {
	perOrg, orgs := map[string][]waiter{}, []string{}
	for _, w := range waiting {
		if perOrg[w.org] == nil {
			orgs = append(orgs, w.org)
		}
		perOrg[w.org] = append(perOrg[w.org], w)
	}
	busy, turns, turn := map[string]int{}, map[string]int{}, q.turn
	for _, org := range orgs {
		busy[org], turns[org] = running[org], q.turns[org]
	}
	sorted := make([]waiter, 0, len(waiting))
	for len(orgs) > 0 {
		next := slices.MinFunc(orgs, func(a, b string) int {
			return cmp.Or(cmp.Compare(busy[a], busy[b]), cmp.Compare(turns[a], turns[b]))
		})
		sorted = append(sorted, perOrg[next][0])
		turn++
		busy[next], turns[next] = busy[next]+1, turn
		if perOrg[next] = perOrg[next][1:]; len(perOrg[next]) == 0 {
			orgs = slices.DeleteFunc(orgs, func(o string) bool { return o == next })
		}
	}
	return sorted
}

// took notes that an org has had a turn.
func (q *queue) took(org string) {
	if q.turns == nil {
		q.turns = map[string]int{}
	}
	q.turn++
	q.turns[org] = q.turn
}

// ahead says how many builds have their turn earlier.
func ahead(n int) string {
	switch n {
	case 0:
		return "Waiting: this build is the next"
	case 1:
		return "Waiting: 1 build is ahead of this one"
	}
	return fmt.Sprintf("Waiting: %d builds are ahead of this one", n)
}

// parallel is how many builds this machine can bear.
func parallel(limits buildpack.Limits) int {
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return runtime.NumCPU()
	}
	return Parallel(runtime.NumCPU(), int(machine.Totalram*uint64(machine.Unit)>>20), limits)
}

// Parallel is how many builds a machine can bear beside its apps: one for each processor, as far as half of the memory goes.
func Parallel(cores, memoryMB int, limits buildpack.Limits) int {
	return max(1, min(cores, memoryMB/2/cmp.Or(limits.MemoryMB, 1024)))
}
