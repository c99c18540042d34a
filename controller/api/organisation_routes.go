package api

import (
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// organisationRoutes are orgs, spaces, roles, users, quotas, domains, buildpacks, stacks, flags, root and events.
func (s *Server) organisationRoutes() []Route {
	return slices.Concat(
		s.rootRoutes(), s.orgRoutes(), s.spaceRoutes(), s.roleRoutes(), s.userRoutes(), s.orgQuotaRoutes(), s.spaceQuotaRoutes(),
		s.domainRoutes(), s.routerGroupRoutes(), s.requestStatsRoutes(), s.buildpackRoutes(), s.stackRoutes(), s.featureFlagRoutes(), s.envGroupRoutes(),
		s.securityGroupRoutes(), s.networkPolicyRoutes(), s.isolationSegmentRoutes(), s.serviceRoutes(), s.auditEventRoutes(),
	)
}

// answer reads in one moment of the store and answers 200 with what was read.
func (c *Ctx) answer(read func(*store.Tx) (any, error)) error {
	var out any
	err := c.View(func(tx *store.Tx) (err error) {
		out, err = read(tx)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// change writes in one transaction and answers with what it returns.
func (c *Ctx) change(status int, write func(*store.Tx) (any, error)) error {
	var out any
	err := c.Update(func(tx *store.Tx) (err error) {
		out, err = write(tx)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(status, out)
}

// remove deletes in one transaction and answers with the job that did it, which is complete.
func (c *Ctx) remove(operation, kind string, write func(*store.Tx) error) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) (err error) {
		if err = write(tx); err == nil {
			job, err = completeJob(tx, operation, kind, "") // the resource is gone: there is nothing to link to
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.Accepted(job.GUID, nil)
}

// allowPlatform lets only operators pass, in the handler of a route whose access is not in the table.
func (c *Ctx) allowPlatform(tx *store.Tx, noun string) error {
	return c.Allow(tx, Place{}, noun, SeePlatform, Administer)
}

// without is a list less one value.
func without(list []string, value string) []string {
	return slices.DeleteFunc(list, func(v string) bool { return v == value })
}
