package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	refreshTime = 45 * time.Minute // of a stack
	patchTime   = 2 * time.Hour    // of all its apps, one after the other
)

// readPatch finds out which apps run on an older run image than the stack has.
func (v *stackView) readPatch(ctx context.Context, q *ask) error {
	f := paged(q.r, "old").With("outdated", "true")
	list, err := onePage[capi.App](ctx, q.c, "/v3/stacks/"+v.Stack.GUID+"/apps", f)
	if err != nil {
		return err
	}
	var spaces []string
	for _, a := range list.Resources {
		spaces = append(spaces, a.Relationships.Space.GUID())
	}
	known, err := readNames(ctx, q.c, unique(spaces))
	if err != nil {
		return err
	}
	for _, a := range list.Resources {
		v.Old = append(v.Old, oldRow{GUID: a.GUID, Name: a.Name, Started: a.State == "STARTED", Place: known.place(a.Relationships.Space.GUID())})
	}
	v.OldPager = newPager(q.r, "old", "older app", f, list.Pagination)
	v.OldAll = list.Pagination.TotalResults
	v.Patching, v.Refreshing = q.s.working("patch "+v.Stack.GUID), q.s.working("refresh "+v.Stack.GUID)
	return nil
}

// oldRow is an app on an old run image.
type oldRow struct {
	GUID, Name string
	Started    bool
	Place      link
}

// refreshStack assembles the stack again with the newest packages, which takes some minutes.
func (d *Dashboard) refreshStack(_ context.Context, q *ask) (string, string, error) {
	c, guid := q.c, q.guid()
	err := d.later(q.s, "refresh "+guid, "The stack was not assembled", refreshTime, func(ctx context.Context, say func(string)) error {
		say("The stack is being assembled again with the newest packages; this takes some minutes. Builds go on with what there is.")
		return c.RefreshStack(ctx, guid)
	})
	return "The stack is being assembled again.", "/stacks/" + guid, err
}

// patchApps puts one app, or all that are outdated, onto the stack's newest run image: one after the other, so that never
// more than one of them replaces its instances. It ends at the first that fails, for the next might fail the same way.
func (d *Dashboard) patchApps(ctx context.Context, q *ask) (string, string, error) {
	c, guid, only := q.c, q.guid(), q.form("app")
	all, err := c.OutdatedApps(ctx, guid)
	if err != nil {
		return "", "", err
	}
	var todo []capi.App
	for _, a := range all {
		if only == "" || a.GUID == only {
			todo = append(todo, a)
		}
	}
	if len(todo) == 0 {
		return "No app is left to patch.", "/stacks/" + guid, nil
	}
	err = d.later(q.s, "patch "+guid, "The patch stopped", patchTime, func(ctx context.Context, say func(string)) error {
		for i, a := range todo {
			say(fmt.Sprintf("Patching %s, %d of %d.", a.Name, i+1, len(todo)))
			if err := patchApp(ctx, c, &a); err != nil {
				return fmt.Errorf("%s: %w", a.Name, err)
			}
		}
		return nil
	})
	return plural(len(todo), "app") + " get the patch, one after the other; instances are replaced without dropping a request.", "/stacks/" + guid, err
}

// patchApp rebases an app's droplet and brings it live: by a deployment where the app runs, with its next start else.
func patchApp(ctx context.Context, c *capi.Client, a *capi.App) error {
	d, err := c.CurrentDroplet(ctx, a.GUID)
	if err != nil {
		return err
	}
	fresh, err := c.RebaseDroplet(ctx, d.GUID)
	if err != nil {
		return err
	}
	if a.State != "STARTED" {
		return c.SetCurrentDroplet(ctx, a.GUID, fresh.GUID)
	}
	made, err := c.CreateDeployment(ctx, capi.DeploymentCreate{Droplet: &capi.GUID{GUID: fresh.GUID}, Strategy: "rolling",
		Relationships: capi.PackageCreateRelationships{App: capi.To(a.GUID)}})
	if err != nil {
		return err
	}
	done, err := c.WaitDeployment(ctx, made.GUID, func(*capi.Deployment) {})
	if err != nil {
		return err
	}
	if done.Status.Reason != "DEPLOYED" {
		return fmt.Errorf("its deployment ended as %s: what ran before goes on", done.Status.Reason)
	}
	return nil
}
