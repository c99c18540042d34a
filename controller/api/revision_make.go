package api

import (
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/revision"
	"github.com/cupola-paas/cupola/store"
)

// revisionsMax is how many revisions an app keeps; the oldest go.
const revisionsMax = 100

// revise returns the revision that the app, as written in tx, is about to run: the newest one if nothing has
// changed since, else a new one. It is nil where the app has the feature turned off. why is a reason that the
// caller knows; it forces a new revision.
func (c *Ctx) revise(tx *store.Tx, app *store.App, droplet string, why ...string) (*store.Revision, error) {
	feature, err := findFeature("revisions")
	if err != nil || !feature.enabled(app) || droplet == "" {
		return nil, err
	}
	next, err := revision.Of(tx, app, droplet)
	if err != nil {
		return nil, err
	}
	last, err := revision.Last(tx, app.GUID)
	if err != nil {
		return nil, err
	}
	reasons := []string{"Initial revision."}
	next.Version = 1
	if last != nil {
		reasons = append(why, revision.Reasons(last, next)...)
		next.Version = last.Version + 1
	}
	if len(reasons) == 0 {
		return last, nil
	}
	slices.Sort(reasons)
	next.Description = strings.Join(reasons, " ")
	return next, c.putRevision(tx, app, next)
}

func (c *Ctx) putRevision(tx *store.Tx, app *store.App, r *store.Revision) error {
	if err := store.Revisions.Put(tx, r); err != nil {
		return err
	}
	if err := dropOldRevisions(tx, app.GUID); err != nil {
		return err
	}
	place, err := placeOf(tx, app.SpaceGUID)
	if err != nil {
		return err
	}
	return c.audit(tx, Event{Type: "audit.app.revision.create", Target: appTarget(app), Place: place,
		Data: map[string]any{"revision_guid": r.GUID, "revision_version": r.Version}})
}

func dropOldRevisions(tx *store.Tx, appGUID string) error {
	where := []store.Cond{store.By("app", appGUID)}
	old, _, err := store.Revisions.List(tx, store.Query[store.Revision]{Where: where, Desc: true, Offset: revisionsMax})
	for _, r := range old {
		err = firstOf(err, store.Revisions.Delete(tx, r.GUID))
	}
	return err
}

// revisionToRollBackTo returns the revision that a deployment names, if it can be deployed and differs from what
// runs.
func revisionToRollBackTo(tx *store.Tx, app *store.App, guid string) (*store.Revision, error) {
	missing := errInvalid("The revision does not exist")
	r, err := store.Revisions.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, missing)
	}
	if r.AppGUID != app.GUID {
		return nil, missing
	}
	if ok, err := isDeployable(tx, r); err != nil || !ok {
		return nil, firstOf(err, errInvalid("Unable to deploy this revision, the droplet for this revision no longer exists."))
	}
	last, err := revision.Last(tx, app.GUID)
	if err != nil {
		return nil, err
	}
	if last != nil && len(revision.Reasons(last, r)) == 0 {
		return nil, errInvalid("Unable to rollback. The code and configuration you are rolling back to is the same as the deployed revision.")
	}
	return r, nil
}

// revisionRef is what a deployment shows.
func revisionRef(d *store.Deployment) *capi.DeploymentRevision {
	if d.RevisionGUID == "" {
		return nil
	}
	return &capi.DeploymentRevision{GUID: d.RevisionGUID, Version: d.RevisionVersion}
}
