package routing

import (
	"cmp"
	"net"
	"slices"
	"strconv"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// build makes the router's route of the store's. It reports false for one that the router has no business with: it is
// internal, leads nowhere, takes one of the platform's own names (it was made before the name was), or is not valid, which
// must not hold up the others.
func (p *pass) build(tx *store.Tx, r *store.Route) (out router.Route, ok bool, err error) {
	d, known := p.domains[r.DomainGUID]
	if !known || d.internal || len(r.Destinations) == 0 {
		return out, false, nil
	}
	out.AppGUID, out.LoadBalancing = r.Destinations[0].AppGUID, r.Options["loadbalancing"]
	if r.Port != 0 {
		if out.Port = r.Port; out.LoadBalancing == router.Hash {
			out.LoadBalancing = "" // there is no header to hash
		}
	} else {
		out.ServiceURL = r.RouteServiceURL
		out.Host, out.Path, out.HashHeader = Host(r.Host, d.name), r.Path, r.Options["hash_header"]
		if balance, err := strconv.ParseFloat(r.Options["hash_balance"], 64); err == nil {
			out.HashBalance = balance
		}
		if p.taken[out.Host] {
			return out, false, nil
		}
		if d.scope != "" {
			if out.Admits, err = admission(tx, r, d.scope); err != nil {
				return out, false, err
			}
		}
	}
	if out.Endpoints, err = p.endpoints(tx, r); err != nil {
		return out, false, err
	}
	if err := out.Validate(); err != nil {
		p.loop.Log.Error("route left out of the table", "route", r.GUID, "error", err)
		return out, false, nil
	}
	return out, true, nil
}

// endpoints are the routable instances of all destinations.
func (p *pass) endpoints(tx *store.Tx, r *store.Route) ([]router.Endpoint, error) {
	var all []router.Endpoint
	sizes := make([]int, len(r.Destinations))
	for n, dest := range r.Destinations {
		instances, err := p.instancesOf(tx, dest)
		if err != nil {
			return nil, err
		}
		sizes[n] = len(instances)
		for _, i := range instances {
			all = append(all, p.endpoint(r, dest, i))
		}
	}
	unit := weightUnit(sizes)
	at := 0
	for n, dest := range r.Destinations {
		for range sizes[n] {
			if dest.Weight != nil {
				all[at].Weight = min(max(1, *dest.Weight*unit/sizes[n]), router.MaxWeight)
			}
			at++
		}
	}
	return all, nil
}

// weightUnit is a number that each size divides, where there is a small one: a destination's weight is shared by its
// instances, however many each has.
func weightUnit(sizes []int) int {
	unit := 1
	for _, n := range sizes {
		if n == 0 {
			continue
		}
		a, b := unit, n
		for b != 0 {
			a, b = b, a%b
		}
		if unit = unit / a * n; unit > router.MaxWeight/100 {
			return router.MaxWeight / 100 // rounded then
		}
	}
	return unit
}

func (p *pass) endpoint(r *store.Route, dest store.Destination, i *store.Instance) router.Endpoint {
	e := router.Endpoint{
		Address:     address(i, port(dest, i)),
		InstanceID:  i.GUID,
		Index:       i.Index,
		ProcessGUID: i.ProcessGUID,
		AppGUID:     i.AppGUID,
		Zone:        i.Zone,
	}
	if i.Host == "" {
		e.Inside, e.Zone = true, cmp.Or(i.Zone, p.loop.Zone)
	}
	if r.Port == 0 {
		e.Protocol = dest.Protocol
	}
	return e
}

// address is where the router reaches a port of an instance.
func address(i *store.Instance, port int) string {
	if i.Host == "" {
		return net.JoinHostPort(i.Address, strconv.Itoa(port))
	}
	if p := i.HostPorts[port]; p != 0 {
		return net.JoinHostPort(i.Host, strconv.Itoa(p))
	}
	return net.JoinHostPort(i.Host, strconv.Itoa(port)) // not published: refused there, and seen in the access log
}

func port(dest store.Destination, i *store.Instance) int {
	switch {
	case dest.Port != 0:
		return dest.Port
	case len(i.Ports) > 0:
		return i.Ports[0]
	}
	return DefaultPort
}

// instancesOf are the routable instances of a destination, by index.
func (p *pass) instancesOf(tx *store.Tx, dest store.Destination) ([]*store.Instance, error) {
	key := processKey{dest.AppGUID, dest.ProcessType}
	if p.loaded != nil && !p.loaded[dest.AppGUID] {
		p.loaded[dest.AppGUID] = true
		instances, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("app", dest.AppGUID)}})
		if err != nil {
			return nil, err
		}
		for _, i := range instances {
			p.addInstance(i)
		}
	}
	list := p.instances[key]
	slices.SortFunc(list, func(a, b *store.Instance) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.GUID, b.GUID))
	})
	return list, nil
}

func (p *pass) addInstance(i *store.Instance) {
	if !routable(i) {
		return
	}
	key := processKey{i.AppGUID, i.ProcessType}
	p.instances[key] = append(p.instances[key], i)
	p.appOf[i.GUID] = i.AppGUID
}

func routable(i *store.Instance) bool {
	return i.Routable && i.State == store.InstanceRunning && i.Address != ""
}

// Host joins the host part of a route with its domain; a route without a host is the domain itself.
func Host(host, domain string) string {
	if host == "" {
		return domain
	}
	return host + "." + domain
}
