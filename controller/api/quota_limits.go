package api

import (
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// unlimitedQuota is a quota before anything is said of it.
func unlimitedQuota() *store.Quota {
	const none = store.Unlimited
	return &store.Quota{
		TotalMemoryMB: none, ProcessMemoryMB: none, TotalInstances: none, AppTasks: none, LogRateBytes: none,
		PaidServicesAllowed: true, ServiceInstances: none, ServiceKeys: none, Routes: none, ReservedPorts: none, Domains: none,
	}
}

// limit is null for what is not limited.
func limit(n int) *int {
	if n == store.Unlimited {
		return nil
	}
	return &n
}

func presentQuota(q *store.Quota) (capi.QuotaApps, capi.QuotaServices, capi.QuotaRoutes) {
	return capi.QuotaApps{
			TotalMemoryInMB: limit(q.TotalMemoryMB), PerProcessMemoryInMB: limit(q.ProcessMemoryMB),
			TotalInstances: limit(q.TotalInstances), PerAppTasks: limit(q.AppTasks), LogRateLimit: limit(q.LogRateBytes),
		}, capi.QuotaServices{
			PaidServicesAllowed: q.PaidServicesAllowed, TotalServiceInstances: limit(q.ServiceInstances), TotalServiceKeys: limit(q.ServiceKeys),
		}, capi.QuotaRoutes{TotalRoutes: limit(q.Routes), TotalReservedPorts: limit(q.ReservedPorts)}
}

// limitsMax is the most that a limit can be: what fits a signed 32-bit number, as clients have it. One of bytes may be what
// a process may have.
const (
	limitsMax  = 1<<31 - 1
	logRateMax = 1 << 40
)

// patchQuota merges what a request says into q, which then has a name: null removes a limit.
func patchQuota(q *store.Quota, in capi.QuotaUpdate) error {
	if in.Name.Set {
		q.Name = in.Name.Or("")
	}
	type change struct {
		name string
		to   *int
		in   capi.Optional[capi.Int]
		max  int
	}
	var changes []change
	if a := in.Apps; a != nil {
		changes = append(changes,
			change{"Apps total memory in mb", &q.TotalMemoryMB, a.TotalMemoryInMB, limitsMax},
			change{"Apps per process memory in mb", &q.ProcessMemoryMB, a.PerProcessMemoryInMB, limitsMax},
			change{"Apps total instances", &q.TotalInstances, a.TotalInstances, limitsMax},
			change{"Apps per app tasks", &q.AppTasks, a.PerAppTasks, limitsMax},
			change{"Apps log rate limit in bytes per second", &q.LogRateBytes, a.LogRateLimit, logRateMax})
	}
	if v := in.Services; v != nil {
		if v.PaidServicesAllowed != nil {
			q.PaidServicesAllowed = *v.PaidServicesAllowed
		}
		changes = append(changes,
			change{"Services total service instances", &q.ServiceInstances, v.TotalServiceInstances, limitsMax},
			change{"Services total service keys", &q.ServiceKeys, v.TotalServiceKeys, limitsMax})
	}
	if r := in.Routes; r != nil {
		changes = append(changes,
			change{"Routes total routes", &q.Routes, r.TotalRoutes, limitsMax},
			change{"Routes total reserved ports", &q.ReservedPorts, r.TotalReservedPorts, limitsMax})
	}
	if d := in.Domains; d != nil {
		changes = append(changes, change{"Domains total domains", &q.Domains, d.TotalDomains, limitsMax})
	}
	for _, c := range changes {
		if !c.in.Set {
			continue
		}
		n := int(c.in.Or(store.Unlimited))
		if c.in.Value != nil && (n < 0 || n > c.max) {
			return capi.Invalid("%s must be from 0 to %d, or null for no limit", c.name, c.max)
		}
		*c.to = n
	}
	return validateName("Name", q.Name)
}
