package discovery

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/store"
)

// names are the internal routes of one moment and where they lead. They are built whole and not changed.
type names struct {
	domains []string             // internal ones, lower case, without a final dot
	routes  map[string][]backend // by full name

	once    sync.Once // of tell
	version string
	text    []byte
}

// backend is an instance that a route leads to.
type backend struct {
	index   int
	address netip.Addr
}

// readNames reads the internal domains' routes; the work follows their number alone.
func readNames(tx *store.Tx, reachable func(netip.Addr) bool) (*names, error) {
	n := &names{routes: map[string][]backend{}}
	for d := range store.Domains.All(tx) {
		if !d.Internal {
			continue
		}
		domain := strings.ToLower(d.Name)
		n.domains = append(n.domains, domain)
		routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("domain", d.GUID)}})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			name := domain
			if r.Host != "" {
				name = strings.ToLower(r.Host) + "." + domain
			}
			backends, err := readBackends(tx, r, reachable)
			if err != nil {
				return nil, err
			}
			n.routes[name] = append(n.routes[name], backends...)
		}
	}
	return n, nil
}

// readBackends leaves out instances on other machines whose addresses mean nothing elsewhere.
func readBackends(tx *store.Tx, r *store.Route, reachable func(netip.Addr) bool) ([]backend, error) {
	all := []backend{}
	for _, d := range r.Destinations {
		instances, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", d.AppGUID)}})
		if err != nil {
			return nil, err
		}
		for _, i := range instances {
			address, err := netip.ParseAddr(i.Address)
			here := i.Host == "" || err == nil && reachable != nil && reachable(address)
			if err == nil && here && i.Routable && i.State == store.InstanceRunning && i.ProcessType == d.ProcessType {
				all = append(all, backend{i.Index, address})
			}
		}
	}
	return all, nil
}

// internal reports whether a name is in one of the domains that are ours alone to answer for.
func (n *names) internal(name string) bool {
	for _, d := range n.domains {
		if name == d || strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return false
}

// lookup returns where a name leads, in a new order each time, and whether there is such a name: a route, a
// route with an instance's index before it, or what a wildcard route covers.
func (n *names) lookup(name string) (addresses []netip.Addr, exists bool) {
	if backends, ok := n.routes[name]; ok {
		return shuffled(backends, -1), true
	}
	label, rest, _ := strings.Cut(name, ".")
	if index, err := strconv.Atoi(label); err == nil && strconv.Itoa(index) == label {
		if backends, ok := n.routes[rest]; ok {
			found := shuffled(backends, index)
			return found, len(found) > 0
		}
	}
	for parent := rest; parent != "" && n.internal(parent); _, parent, _ = strings.Cut(parent, ".") {
		if backends, ok := n.routes["*."+parent]; ok {
			return shuffled(backends, -1), true
		}
	}
	return nil, false
}

// shuffled are the addresses of all backends, or of those with that index.
func shuffled(backends []backend, index int) []netip.Addr {
	var all []netip.Addr
	for _, b := range backends {
		if index < 0 || b.index == index {
			all = append(all, b.address)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
