package api

import (
	"fmt"

	"github.com/cupola-paas/cupola/store"
)

// limits returns the quotas that hold in a space: that of its org and its own. Those not set are nil.
func limits(tx *store.Tx, spaceGUID string) (space *store.Space, orgQuota, spaceQuota *store.Quota, err error) {
	if space, err = store.Spaces.Get(tx, spaceGUID); err != nil {
		return nil, nil, nil, err
	}
	org, err := store.Orgs.Get(tx, space.OrgGUID)
	if err != nil {
		return nil, nil, nil, err
	}
	if org.QuotaGUID != "" {
		if orgQuota, err = store.OrgQuotas.Get(tx, org.QuotaGUID); orElse(err, nil) != nil {
			return nil, nil, nil, err
		}
	}
	if space.QuotaGUID != "" {
		if spaceQuota, err = store.SpaceQuotas.Get(tx, space.QuotaGUID); orElse(err, nil) != nil {
			return nil, nil, nil, err
		}
	}
	return space, orgQuota, spaceQuota, nil
}

// checkProcessMemory refuses more memory for one instance than the quotas allow.
func checkProcessMemory(tx *store.Tx, spaceGUID string, memoryMB int) error {
	_, orgQuota, spaceQuota, err := limits(tx, spaceGUID)
	if err != nil {
		return err
	}
	for _, q := range []*store.Quota{orgQuota, spaceQuota} {
		if q != nil && q.ProcessMemoryMB != store.Unlimited && memoryMB > q.ProcessMemoryMB {
			return errInvalid(fmt.Sprintf("memory instance_memory_limit_exceeded: quota '%s' allows %d MB for one instance, this asks for %d MB", q.Name, q.ProcessMemoryMB, memoryMB))
		}
	}
	return nil
}

// checkMemory compares what started apps want, as written in tx, with the quotas of the org and the space.
func checkMemory(tx *store.Tx, spaceGUID string) error {
	space, orgQuota, spaceQuota, err := limits(tx, spaceGUID)
	if err != nil {
		return err
	}
	if limited(spaceQuota) {
		if err := checkUsage(tx, spaceQuota, "space_quota_exceeded", []string{spaceGUID}); err != nil {
			return err
		}
	}
	if !limited(orgQuota) {
		return nil
	}
	spaces, err := spacesOf(tx, []string{space.OrgGUID})
	if err != nil {
		return err
	}
	return checkUsage(tx, orgQuota, "quota_exceeded", spaces)
}

func limited(q *store.Quota) bool {
	return q != nil && (q.TotalMemoryMB != store.Unlimited || q.TotalInstances != store.Unlimited)
}

func checkUsage(tx *store.Tx, q *store.Quota, word string, spaces []string) error {
	memoryMB, instances, err := startedUsage(tx, spaces)
	switch {
	case err != nil:
		return err
	case q.TotalMemoryMB != store.Unlimited && memoryMB > q.TotalMemoryMB:
		return errInvalid(fmt.Sprintf("memory %s: quota '%s' allows %d MB in all; with this, started apps would use %d MB", word, q.Name, q.TotalMemoryMB, memoryMB))
	case q.TotalInstances != store.Unlimited && instances > q.TotalInstances:
		return errInvalid(fmt.Sprintf("app_instance_limit %s: quota '%s' allows %d instances in all; with this, there would be %d", word, q.Name, q.TotalInstances, instances))
	}
	return nil
}

// startedUsage sums what the started apps of the spaces want.
func startedUsage(tx *store.Tx, spaces []string) (memoryMB, instances int, err error) {
	apps, _, err := store.Apps.List(tx, store.Query[store.App]{
		Where: []store.Cond{store.By("space", spaces...), store.By("state", store.AppStarted)},
	})
	if err != nil || len(apps) == 0 {
		return 0, 0, err
	}
	guids := make([]string, len(apps))
	for i, a := range apps {
		guids[i] = a.GUID
	}
	processes, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", guids...)}})
	for _, p := range processes {
		memoryMB += p.Instances * p.MemoryMB
		instances += p.Instances
	}
	return memoryMB, instances, err
}
