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
	return underQuotas(tx, spaceGUID, func(q *store.Quota, ofSpace bool, spaces []string) error {
		if ofSpace {
			return checkUsage(tx, q, "space_quota_exceeded", spaces)
		}
		return checkUsage(tx, q, "quota_exceeded", spaces)
	})
}

// underQuotas has the quota of a space checked, then that of its org, with the spaces that each counts; those alone that limit something.
func underQuotas(tx *store.Tx, spaceGUID string, check func(q *store.Quota, ofSpace bool, spaces []string) error) error {
	space, orgQuota, spaceQuota, err := limits(tx, spaceGUID)
	if err != nil {
		return err
	}
	if limited(spaceQuota) {
		if err := check(spaceQuota, true, []string{spaceGUID}); err != nil {
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
	return check(orgQuota, false, spaces)
}

func limited(q *store.Quota) bool {
	return q != nil && (q.TotalMemoryMB != store.Unlimited || q.TotalInstances != store.Unlimited || q.LogRateBytes != store.Unlimited)
}

func checkUsage(tx *store.Tx, q *store.Quota, word string, spaces []string) error {
	u, err := startedUsage(tx, spaces)
	switch {
	case err != nil:
		return err
	case q.TotalMemoryMB != store.Unlimited && u.memoryMB > q.TotalMemoryMB:
		return errInvalid(fmt.Sprintf("memory %s: quota '%s' allows %d MB in all; with this, started apps and tasks would use %d MB", word, q.Name, q.TotalMemoryMB, u.memoryMB))
	case q.TotalInstances != store.Unlimited && u.instances > q.TotalInstances:
		return errInvalid(fmt.Sprintf("app_instance_limit %s: quota '%s' allows %d instances in all; with this, there would be %d", word, q.Name, q.TotalInstances, u.instances))
	case q.LogRateBytes != store.Unlimited && u.unlimitedLogs:
		return errInvalid(fmt.Sprintf("log_rate_limit cannot be unlimited under the quota '%s', which allows %d bytes a second in all: set one with --log-rate-limit", q.Name, q.LogRateBytes))
	case q.LogRateBytes != store.Unlimited && u.logRateBytes > q.LogRateBytes:
		return errInvalid(fmt.Sprintf("log_rate_limit exceeds %s: quota '%s' allows %d bytes a second in all; with this, there would be %d", word, q.Name, q.LogRateBytes, u.logRateBytes))
	}
	return nil
}

// checkStaging refuses a build for whose memory or log rate the quotas have no room beside what started apps and tasks may use.
// Other builds are not counted: those of an org take turns. One without a log rate limit is let through, as in Cloud Controller.
func checkStaging(tx *store.Tx, b *store.Build) error {
	return underQuotas(tx, b.SpaceGUID, func(q *store.Quota, ofSpace bool, spaces []string) error {
		whose := "organization"
		if ofSpace {
			whose = "space"
		}
		u, err := startedUsage(tx, spaces)
		switch {
		case err != nil:
			return err
		case q.TotalMemoryMB != store.Unlimited && u.memoryMB+b.StagingMemoryMB > q.TotalMemoryMB:
			return errInvalid(fmt.Sprintf("%s's memory limit exceeded: staging requires %dM memory, quota '%s' allows %dM in all, and started apps and tasks use %dM",
				whose, b.StagingMemoryMB, q.Name, q.TotalMemoryMB, u.memoryMB))
		case q.LogRateBytes != store.Unlimited && b.LogRate() != store.Unlimited && u.logRateBytes+b.LogRate() > q.LogRateBytes:
			return errInvalid(fmt.Sprintf("%s's log rate limit exceeded: staging requires %d bytes per second, quota '%s' allows %d in all, and started apps and tasks use %d",
				whose, b.LogRate(), q.Name, q.LogRateBytes, u.logRateBytes))
		}
		return nil
	})
}

// consumption is what started apps and running tasks may use together.
type consumption struct {
	memoryMB, instances, logRateBytes int
	unlimitedLogs                     bool // something may log without a limit
}

func (u *consumption) add(n, memoryMB, logRateBytes int) {
	u.memoryMB += n * memoryMB
	switch {
	case n == 0:
	case logRateBytes < 0:
		u.unlimitedLogs = true
	default:
		u.logRateBytes += n * logRateBytes
	}
}

// startedUsage sums what the started apps and the running tasks of the spaces want.
func startedUsage(tx *store.Tx, spaces []string) (u consumption, err error) {
	apps, _, err := store.Apps.List(tx, store.Query[store.App]{
		Where: []store.Cond{store.By("space", spaces...), store.By("state", store.AppStarted)},
	})
	if err != nil {
		return u, err
	}
	guids := make([]string, len(apps))
	for i, a := range apps {
		guids[i] = a.GUID
	}
	processes, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", guids...)}})
	if err != nil {
		return u, err
	}
	for _, p := range processes {
		u.add(p.Instances, p.MemoryMB, p.LogRateBytes)
		u.instances += p.Instances
	}
	tasks, _, err := store.Tasks.List(tx, store.Query[store.Task]{Where: []store.Cond{store.By("space", spaces...), openTasks()}})
	for _, t := range tasks {
		u.add(1, t.MemoryMB, t.LogRateBytes)
	}
	return u, err
}

// openTasks are those that run or are about to.
func openTasks() store.Cond { return store.By("state", taskPending, taskRunning, taskCanceling) }

// checkTasks refuses more tasks of one app at a time than the quotas allow, counting those written in tx.
func checkTasks(tx *store.Tx, app *store.App) error {
	_, orgQuota, spaceQuota, err := limits(tx, app.SpaceGUID)
	if err != nil {
		return err
	}
	running, err := store.Tasks.Count(tx, store.By("app", app.GUID), openTasks())
	if err != nil {
		return err
	}
	for _, q := range []*store.Quota{orgQuota, spaceQuota} {
		if q != nil && q.AppTasks != store.Unlimited && running > q.AppTasks {
			return errInvalid(fmt.Sprintf("app_task_limit quota_exceeded: quota '%s' allows an app %d tasks at a time", q.Name, q.AppTasks))
		}
	}
	return checkMemory(tx, app.SpaceGUID)
}
