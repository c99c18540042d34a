package api

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/store"
)

// choosePort gives a TCP route its port: the one that was asked for, if the domain's router group lends it and no
// route of the group has it, or a random one of those that are left.
func choosePort(tx *store.Tx, domain *store.Domain, r *store.Route) error {
	group, err := store.RouterGroups.Get(tx, domain.RouterGroupGUID)
	if err != nil {
		return orElse(err, errInvalid(fmt.Sprintf("The router group of domain '%s' is gone: use a different domain.", domain.Name)))
	}
	ports, err := ParsePortRanges(group.ReservablePorts)
	if err != nil {
		return fmt.Errorf("router group %s: %w", group.Name, err)
	}
	taken, err := portsTaken(tx, group)
	if err != nil {
		return err
	}
	if r.Port != 0 {
		if !ports.Has(r.Port) || taken[r.Port] {
			return errInvalid(fmt.Sprintf("Port '%d' is not available. Try a different port or use a different domain.", r.Port))
		}
		return nil
	}
	count := ports.count()
	start := rand.IntN(count)
	for i := range count {
		if port := ports.at((start + i) % count); !taken[port] {
			r.Port = port
			return nil
		}
	}
	return errInvalid(fmt.Sprintf("There are no more ports available for router group: %s. Please contact your administrator for more information.", group.Name))
}

// portsTaken are the ports of all routes whose domains belong to the group: a port has no name to tell them apart.
func portsTaken(tx *store.Tx, group *store.RouterGroup) (map[int]bool, error) {
	domains, _, err := store.Domains.List(tx, store.Query[store.Domain]{Where: []store.Cond{store.By("router_group", group.GUID)}})
	if err != nil {
		return nil, err
	}
	guids := make([]string, len(domains))
	for i, d := range domains {
		guids[i] = d.GUID
	}
	taken := map[int]bool{}
	return taken, each(tx, store.Routes, func(_ *store.Tx, r *store.Route) error {
		taken[r.Port] = true
		return nil
	}, store.By("domain", guids...))
}

// checkRouteQuota refuses a route, or a port, that the quotas of space and org do not leave room for.
func checkRouteQuota(tx *store.Tx, place Place, tcp bool) error {
	space, orgQuota, spaceQuota, err := limits(tx, place.SpaceGUID)
	if err != nil {
		return err
	}
	if spaceQuota != nil {
		if err := checkRouteCount(tx, spaceQuota, tcp, fmt.Sprintf("space '%s'", space.Name), place.SpaceGUID); err != nil {
			return err
		}
	}
	if orgQuota == nil || orgQuota.Routes == store.Unlimited && (!tcp || orgQuota.ReservedPorts == store.Unlimited) {
		return nil
	}
	org, err := store.Orgs.Get(tx, place.OrgGUID)
	if err != nil {
		return err
	}
	spaces, err := spacesOf(tx, []string{place.OrgGUID})
	if err != nil {
		return err
	}
	return checkRouteCount(tx, orgQuota, tcp, fmt.Sprintf("organization '%s'", org.Name), spaces...)
}

func checkRouteCount(tx *store.Tx, q *store.Quota, tcp bool, of string, spaces ...string) error {
	if q.Routes != store.Unlimited {
		n, err := store.Routes.Count(tx, store.By("space", spaces...))
		if err != nil || n >= q.Routes {
			return firstOf(err, errInvalid(fmt.Sprintf("Routes quota exceeded for %s.", of)))
		}
	}
	if !tcp || q.ReservedPorts == store.Unlimited {
		return nil
	}
	all, err := store.Routes.Count(tx, store.By("space", spaces...))
	if err != nil {
		return err
	}
	withoutPort, err := store.Routes.Count(tx, store.By("space", spaces...), store.By("port", "0"))
	if err != nil || all-withoutPort >= q.ReservedPorts {
		return firstOf(err, errInvalid(fmt.Sprintf("Reserved route ports quota exceeded for %s.", of)))
	}
	return nil
}

// syncPorts lets the processes of one type of an app listen on the ports of their destinations from their next start
// on. The usual port comes first: it is $PORT. Instances that run can be reached on the others at once.
func syncPorts(tx *store.Tx, appGUID, processType string) error {
	var ports []int
	err := each(tx, store.Routes, func(_ *store.Tx, r *store.Route) error {
		for _, d := range r.Destinations {
			if d.AppGUID == appGUID && d.ProcessType == processType {
				ports = append(ports, destinationPort(d))
			}
		}
		return nil
	}, store.By("app", appGUID))
	if err != nil {
		return err
	}
	slices.Sort(ports)
	ports = slices.Compact(ports)
	if len(ports) > 0 {
		ports = append([]int{appenv.DefaultPort}, slices.DeleteFunc(ports, func(p int) bool { return p == appenv.DefaultPort })...)
	}
	if processType == "web" && len(ports) == 1 {
		ports = nil // what a web process has anyway
	}
	return each(tx, store.Processes, func(tx *store.Tx, p *store.Process) error {
		if slices.Equal(p.Ports, ports) {
			return nil
		}
		p.Ports = slices.Clone(ports)
		return store.Processes.Put(tx, p)
	}, store.By("app_type", appGUID+"/"+processType))
}

// syncPortsOf does so for every process that one of the destinations leads to.
func syncPortsOf(tx *store.Tx, all ...store.Destination) error {
	done := map[[2]string]bool{}
	for _, d := range all {
		key := [2]string{d.AppGUID, d.ProcessType}
		if done[key] {
			continue
		}
		done[key] = true
		if err := syncPorts(tx, d.AppGUID, d.ProcessType); err != nil {
			return err
		}
	}
	return nil
}
