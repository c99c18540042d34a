package api

import (
	"github.com/cupola-paas/cupola/store"
)

// checkServiceQuota refuses one more managed service instance than the quotas of org and space allow.
func checkServiceQuota(tx *store.Tx, i *store.ServiceInstance, plan *store.ServicePlan) error {
	space, orgQuota, spaceQuota, err := limits(tx, i.SpaceGUID)
	if err != nil {
		return err
	}
	if err := checkPaidPlan(tx, i.SpaceGUID, plan); err != nil {
		return err
	}
	managed := store.By("type", store.ServiceManaged)
	if orgQuota != nil && orgQuota.ServiceInstances != store.Unlimited {
		spaces, err := spacesOf(tx, []string{space.OrgGUID})
		if err != nil {
			return err
		}
		n, err := store.ServiceInstances.Count(tx, store.By("space", spaces...), managed)
		if err != nil || n >= orgQuota.ServiceInstances {
			return firstOf(err, errInvalid("You have exceeded your organization's services limit."))
		}
	}
	if spaceQuota != nil && spaceQuota.ServiceInstances != store.Unlimited {
		n, err := store.ServiceInstances.Count(tx, store.By("space", i.SpaceGUID), managed)
		if err != nil || n >= spaceQuota.ServiceInstances {
			return firstOf(err, errInvalid("You have exceeded your space's services limit."))
		}
	}
	return nil
}

// checkPaidPlan refuses plans that cost something where a quota does.
func checkPaidPlan(tx *store.Tx, spaceGUID string, plan *store.ServicePlan) error {
	if plan.Free {
		return nil
	}
	_, orgQuota, spaceQuota, err := limits(tx, spaceGUID)
	if err != nil {
		return err
	}
	for _, q := range []*store.Quota{orgQuota, spaceQuota} {
		if q != nil && !q.PaidServicesAllowed {
			return errInvalid("The service instance cannot be created because paid service plans are not allowed.")
		}
	}
	return nil
}

// checkKeyQuota refuses one more service key than the quotas allow.
func checkKeyQuota(tx *store.Tx, spaceGUID string) error {
	space, orgQuota, spaceQuota, err := limits(tx, spaceGUID)
	if err != nil {
		return err
	}
	keys := store.By("type", store.BindingKey)
	if orgQuota != nil && orgQuota.ServiceKeys != store.Unlimited {
		spaces, err := spacesOf(tx, []string{space.OrgGUID})
		if err != nil {
			return err
		}
		n, err := store.ServiceBindings.Count(tx, store.By("space", spaces...), keys)
		if err != nil || n >= orgQuota.ServiceKeys {
			return firstOf(err, errInvalid("You have exceeded your organization's limit for service binding of type key."))
		}
	}
	if spaceQuota != nil && spaceQuota.ServiceKeys != store.Unlimited {
		n, err := store.ServiceBindings.Count(tx, store.By("space", spaceGUID), keys)
		if err != nil || n >= spaceQuota.ServiceKeys {
			return firstOf(err, errInvalid("You have exceeded your space's limit for service binding of type key."))
		}
	}
	return nil
}
