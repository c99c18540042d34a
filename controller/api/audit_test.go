package api

import (
	"context"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// told is a request and the audit events that it must leave, without the prefix "audit.", once each.
type told struct {
	events string
	row    row
	do     func(w *world, guids map[string]string) // in place of row, for what is no plain request
}

const rel = `"relationships":{"app":{"data":{"guid":"{app}"}}}`

// auditTable has every type of the contract, 5.9, that the API writes for apps, routes, places and the platform, in an
// order in which the requests can be made. Those of brokers are tested with the services; crashes, readiness and the ends of
// processes with the scheduling loop; ends of builds with the staging loop; entering an instance with the access to it.
var auditTable = []told{
	{events: "organization.create", row: row{method: "POST", path: "/v3/organizations", body: `{"name":"told"}`, status: 201, save: "newOrg"}},
	{events: "organization.update", row: row{method: "PATCH", path: "/v3/organizations/{newOrg}", body: `{"name":"told-2"}`, status: 200}},
	{events: "space.create", row: row{method: "POST", path: "/v3/spaces", body: `{"name":"told","relationships":{"organization":{"data":{"guid":"{org}"}}}}`, status: 201, save: "newSpace"}},
	{events: "space.update", row: row{method: "PATCH", path: "/v3/spaces/{newSpace}", body: `{"name":"told-2"}`, status: 200}},
	{events: "organization_quota.create", row: row{method: "POST", path: "/v3/organization_quotas", body: `{"name":"told"}`, status: 201, save: "orgQuota"}},
	{events: "organization_quota.update", row: row{method: "PATCH", path: "/v3/organization_quotas/{orgQuota}", body: `{"name":"told-2"}`, status: 200}},
	{events: "organization_quota.apply", row: row{method: "POST", path: "/v3/organization_quotas/{orgQuota}/relationships/organizations", body: `{"data":[{"guid":"{otherOrg}"}]}`, status: 200}},
	{events: "space_quota.create", row: row{method: "POST", path: "/v3/space_quotas", body: `{"name":"told","relationships":{"organization":{"data":{"guid":"{org}"}}}}`, status: 201, save: "spaceQuota"}},
	{events: "space_quota.update", row: row{method: "PATCH", path: "/v3/space_quotas/{spaceQuota}", body: `{"name":"told-2"}`, status: 200}},
	{events: "space_quota.apply", row: row{method: "POST", path: "/v3/space_quotas/{spaceQuota}/relationships/spaces", body: `{"data":[{"guid":"{newSpace}"}]}`, status: 200}},
	{events: "space_quota.remove", row: row{method: "DELETE", path: "/v3/space_quotas/{spaceQuota}/relationships/spaces/{newSpace}", status: 204}},
	{events: "space_quota.delete", row: row{method: "DELETE", path: "/v3/space_quotas/{spaceQuota}", status: 202}},
	{events: "stack.create", row: row{method: "POST", path: "/v3/stacks", body: `{"name":"told"}`, status: 201, save: "stack"}},
	{events: "stack.update", row: row{method: "PATCH", path: "/v3/stacks/{stack}", body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200}},
	{events: "stack.delete", row: row{method: "DELETE", path: "/v3/stacks/{stack}", status: 204}},
	{events: "buildpack.create", row: row{method: "POST", path: "/v3/buildpacks", body: `{"name":"told_buildpack"}`, status: 201, save: "buildpack"}},
	{events: "buildpack.update", row: row{method: "PATCH", path: "/v3/buildpacks/{buildpack}", body: `{"locked":false}`, status: 200}},
	{events: "buildpack.upload", do: func(w *world, g map[string]string) {
		w.uploadBits(g["buildpack"], "told.zip", buildpackZip(w.t.(*testing.T), map[string]string{"bin/detect": "#!/bin/sh", "bin/compile": "#!/bin/sh", "bin/release": "#!/bin/sh"}))
	}},
	{events: "buildpack.delete", row: row{method: "DELETE", path: "/v3/buildpacks/{buildpack}", status: 202}},

	{events: "app.create app.process.create", row: row{method: "POST", path: "/v3/apps", body: `{"name":"told","relationships":{"space":{"data":{"guid":"{space}"}}}}`, status: 201, save: "app"}},
	{events: "app.update", row: row{method: "PATCH", path: "/v3/apps/{app}", body: `{"name":"told-2"}`, status: 200}},
	{events: "app.update", row: row{method: "PATCH", path: "/v3/apps/{app}/environment_variables", body: `{"var":{"A":"b"}}`, status: 200}},
	{events: "app.environment.show", row: row{method: "GET", path: "/v3/apps/{app}/env", status: 200}},
	{events: "app.environment_variables.show", row: row{method: "GET", path: "/v3/apps/{app}/environment_variables", status: 200}},
	{events: "app.package.create", row: row{method: "POST", path: "/v3/packages", body: `{"type":"bits",` + rel + `}`, status: 201, save: "package"}},
	{events: "app.package.upload", do: func(w *world, g map[string]string) {
		w.uploadZip(g["package"], nil, zipOf(w.t.(*testing.T), map[string]string{"a": "b"})).want(200)
	}},
	{events: "app.package.download", row: row{method: "GET", path: "/v3/packages/{package}/download", status: 200}},
	{events: "app.package.create", row: row{method: "POST", path: "/v3/packages?source_guid={package}", body: `{` + rel + `}`, status: 201, save: "copy"}},
	{events: "app.package.delete", row: row{method: "DELETE", path: "/v3/packages/{copy}", status: 202}},
	{events: "app.build.create", row: row{method: "POST", path: "/v3/builds", body: `{"package":{"guid":"{package}"}}`, status: 201, save: "build"}},
	{events: "app.droplet.create", row: row{method: "POST", path: "/v3/droplets", body: `{` + rel + `,"process_types":{"web":"run","worker":"work"}}`, status: 201, save: "droplet"}},
	{events: "app.droplet.upload", do: func(w *world, g map[string]string) {
		w.uploadDroplet(g["droplet"], []byte("archive")).want(202)
		w.finishDroplet(g["droplet"])
	}},
	{events: "app.droplet.download", row: row{method: "GET", path: "/v3/droplets/{droplet}/download", status: 200}},
	{events: "app.droplet.create", row: row{method: "POST", path: "/v3/droplets?source_guid={droplet}", body: `{` + rel + `}`, status: 201, save: "dropletCopy"}},
	{events: "app.droplet.mapped app.process.create", row: row{method: "PATCH", path: "/v3/apps/{app}/relationships/current_droplet", body: `{"data":{"guid":"{droplet}"}}`, status: 200}},
	{events: "app.process.update", row: row{method: "PATCH", path: "/v3/processes/{app}", body: `{"command":"serve"}`, status: 200}},
	{events: "app.process.scale", do: posted("/v3/processes/{app}/actions/scale", `{"instances":2}`)},
	{events: "app.start app.revision.create", row: row{method: "POST", path: "/v3/apps/{app}/actions/start", status: 200}},
	{events: "app.restart", row: row{method: "POST", path: "/v3/apps/{app}/actions/restart", status: 200}},
	{events: "app.revision.environment_variables.show", do: func(w *world, g map[string]string) {
		list := w.as("admin", "GET", "/v3/apps/"+g["app"]+"/revisions", nil).want(200)
		w.as("admin", "GET", "/v3/revisions/"+list.str("resources", 0, "guid")+"/environment_variables", nil).want(200)
	}},
	{events: "app.process.terminate_instance", do: func(w *world, g map[string]string) {
		version := w.as("admin", "GET", "/v3/processes/"+g["app"], nil).str("version")
		w.update(func(tx *store.Tx) error {
			return store.Instances.Put(tx, &store.Instance{AppGUID: g["app"], ProcessGUID: g["app"], ProcessType: "web", Version: version, State: store.InstanceRunning})
		})
		w.as("admin", "DELETE", "/v3/processes/"+g["app"]+"/instances/0", nil).want(204)
	}},
	{events: "app.task.create", do: posted("/v3/apps/{app}/tasks", `{"command":"work"}`)},
	{events: "app.task.cancel", do: posted("/v3/tasks/{posted}/actions/cancel", "")},
	{events: "app.deployment.create app.process.create", row: row{method: "POST", path: "/v3/deployments", body: `{"strategy":"canary",` + rel + `}`, status: 201, save: "deployment"}},
	{events: "app.deployment.continue", do: func(w *world, g map[string]string) {
		w.update(func(tx *store.Tx) error {
			d, err := store.Deployments.Get(tx, g["deployment"])
			w.must(err)
			d.Reason = store.DeploymentPaused
			return store.Deployments.Put(tx, d)
		})
		w.as("admin", "POST", "/v3/deployments/"+g["deployment"]+"/actions/continue", nil).want(200)
	}},
	{events: "app.deployment.cancel", row: row{method: "POST", path: "/v3/deployments/{deployment}/actions/cancel", status: 200}},
	{events: "app.apply_manifest app.update", row: row{method: "POST", path: "/v3/spaces/{space}/actions/apply_manifest", body: "applications: [{name: told-2, env: {X: y}}]", status: 202}},
	{events: "app.process.create app.apply_manifest app.update", row: row{method: "POST", path: "/v3/spaces/{space}/actions/apply_manifest", body: "applications: [{name: told-2, processes: [{type: clock}]}]", status: 202}},

	{events: "route.create", row: row{method: "POST", path: "/v3/routes", body: `{"host":"told","relationships":{"space":{"data":{"guid":"{space}"}},"domain":{"data":{"guid":"{domain}"}}}}`, status: 201, save: "route"}},
	{events: "route.update", row: row{method: "PATCH", path: "/v3/routes/{route}", body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200}},
	{events: "app.map-route", row: row{method: "POST", path: "/v3/routes/{route}/destinations", body: `{"destinations":[{"app":{"guid":"{app}"}}]}`, status: 200}},
	{events: "app.unmap-route", row: row{method: "PATCH", path: "/v3/routes/{route}/destinations", body: `{"destinations":[]}`, status: 200}},
	{events: "route.share", row: row{method: "POST", path: "/v3/routes/{route}/relationships/shared_spaces", body: `{"data":[{"guid":"{newSpace}"}]}`, status: 200}},
	{events: "route.unshare", row: row{method: "DELETE", path: "/v3/routes/{route}/relationships/shared_spaces/{newSpace}", status: 204}},
	{events: "route.transfer-owner", row: row{method: "PATCH", path: "/v3/routes/{route}/relationships/space", body: `{"data":{"guid":"{newSpace}"}}`, status: 200}},
	{events: "route.delete-request", row: row{method: "DELETE", path: "/v3/routes/{route}", status: 202}},

	{do: func(w *world, g map[string]string) { // what the scheduling loop does in the end
		w.update(func(tx *store.Tx) error {
			d, err := store.Deployments.Get(tx, g["deployment"])
			w.must(err)
			d.Status, d.Reason = store.DeploymentFinalized, store.DeploymentCanceled
			return store.Deployments.Put(tx, d)
		})
	}},
	{events: "app.stop", row: row{method: "POST", path: "/v3/apps/{app}/actions/stop", status: 200}},
	{events: "app.droplet.delete", row: row{method: "DELETE", path: "/v3/droplets/{dropletCopy}", status: 202}},
	{events: "app.delete-request app.process.delete", row: row{method: "DELETE", path: "/v3/apps/{app}", status: 202}},
	{events: "space.delete-request", row: row{method: "DELETE", path: "/v3/spaces/{newSpace}", status: 202}},
	{events: "organization.delete-request", row: row{method: "DELETE", path: "/v3/organizations/{newOrg}", status: 202}},
}

// posted makes a request that is answered with 202 and no job; {posted} stands for what the last one made.
func posted(path, body string) func(*world, map[string]string) {
	return func(w *world, guids map[string]string) {
		w.t.Helper()
		for name, guid := range guids {
			path = strings.ReplaceAll(path, "{"+name+"}", guid)
		}
		guids["posted"] = w.as("admin", "POST", path, body).want(202).guid()
	}
}

// finishDroplet does what the staging loop does with an uploaded droplet.
func (w *world) finishDroplet(guid string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		d, err := store.Droplets.Get(tx, guid)
		w.must(err)
		d.State, d.ImageDigest, d.Stack = store.StateStaged, "sha256:abc", "cupola"
		return store.Droplets.Put(tx, d)
	})
}

// TestEveryAuditEvent makes each request and looks for the events that it is to leave, with the actor and without any other
// of the types of the table.
func TestEveryAuditEvent(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.WriteDroplet = func(_ context.Context, _, _, _ string, to io.Writer) error {
			_, err := io.WriteString(to, "archive")
			return err
		}
	})
	guids := map[string]string{}
	for _, role := range []string{"organization_user", "organization_auditor", "organization_manager", "organization_billing_manager"} {
		w.toldOfRole(guids, role, "organization", w.org)
	}
	for _, role := range []string{"space_auditor", "space_developer", "space_manager", "space_supporter"} {
		w.toldOfRole(guids, role, "space", w.space)
	}
	for _, c := range auditTable {
		w.tells(guids, c)
	}
}

// toldOfRole gives somebody a role and takes it away. Others of the same event are left alone by the table.
func (w *world) toldOfRole(guids map[string]string, role, where, guid string) {
	w.t.Helper()
	if guids["user"] == "" {
		guids["user"] = "told-user"
		w.addUser(guids["user"], "told@example.com", "uaa")
		if role != "organization_user" {
			w.t.Fatal("a user of a space must be one of its org first")
		}
	}
	body := `{"type":"` + role + `","relationships":{"user":{"data":{"guid":"{user}"}},"` + where + `":{"data":{"guid":"` + guid + `"}}}}`
	w.tells(guids, told{events: "user." + role + "_add", row: row{method: "POST", path: "/v3/roles", body: body, status: 201, save: "role"}})
	if role == "organization_user" {
		return // the others need it
	}
	w.tells(guids, told{events: "user." + role + "_remove", row: row{method: "DELETE", path: "/v3/roles/{role}", status: 202}})
}

func (w *world) tells(guids map[string]string, c told) {
	w.t.Helper()
	before := w.auditCounts()
	if c.do != nil {
		c.do(w, guids)
	} else {
		c.row.as, c.row.name = "admin", c.events
		w.playWith(guids, []row{c.row})
	}
	got := w.auditCounts()
	maps.DeleteFunc(got, func(kind string, n int) bool { return n == before[kind] })
	for _, kind := range strings.Fields(c.events) {
		if got["audit."+kind]-before["audit."+kind] < 1 {
			w.t.Errorf("%s: no such event; there are %v", kind, got)
		}
		delete(got, "audit."+kind)
	}
	if len(got) > 0 {
		w.t.Errorf("%s: further events: %v", c.events, got)
	}
}

// auditCounts counts the events by type; each must have an actor, a target and a place, if its target has one.
func (w *world) auditCounts() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	w.view(func(tx *store.Tx) error {
		for e := range store.AuditEvents.All(tx) {
			if counts[e.Type]++; e.Actor.GUID == "" || e.Actor.Type == "" || e.Target.GUID == "" || e.Target.Type == "" {
				w.t.Errorf("%s has actor %+v and target %+v", e.Type, e.Actor, e.Target)
			}
			if strings.HasPrefix(e.Type, "audit.app.") && (e.SpaceGUID != w.space || e.OrgGUID != w.org) {
				w.t.Errorf("%s is of space %q and org %q", e.Type, e.SpaceGUID, e.OrgGUID)
			}
		}
		return nil
	})
	return counts
}
