package api

import (
	"context"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/store"
)

func TestSSHAccess(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Links.AppSSH = "ssh.example.com:2222" })
	var app *store.App
	var web *store.Process
	var instance *store.Instance
	w.update(func(tx *store.Tx) error {
		app = &store.App{Name: "dora", SpaceGUID: w.space, State: store.AppStarted}
		w.must(store.Apps.Put(tx, app))
		web = &store.Process{AppGUID: app.GUID, SpaceGUID: w.space, Type: "web", Instances: 2}
		w.must(store.Processes.Put(tx, web))
		old := &store.Instance{AppGUID: app.GUID, ProcessGUID: web.GUID, Index: 1, State: store.InstanceRunning}
		instance = &store.Instance{AppGUID: app.GUID, ProcessGUID: web.GUID, Index: 1, State: store.InstanceRunning}
		crashed := &store.Instance{AppGUID: app.GUID, ProcessGUID: web.GUID, Index: 0, State: store.InstanceCrashed}
		for _, who := range []string{"developer", "admin"} {
			groups := w.people[who].Scopes
			w.must(store.Users.Put(tx, &store.User{Meta: store.Meta{GUID: who + "-guid"}, Username: who, Origin: "uaa", Groups: groups}))
		}
		w.must(store.Instances.Put(tx, old), store.Instances.Put(tx, instance), store.Instances.Put(tx, crashed))
		return nil
	})
	spaceSSH := func(off bool) func() {
		return func() {
			w.update(func(tx *store.Tx) error {
				space, err := store.Spaces.Get(tx, w.space)
				w.must(err)
				space.SSHDisabled = off
				return store.Spaces.Put(tx, space)
			})
		}
	}
	appSSH := func(on bool) func() {
		return func() {
			app.Features = map[string]bool{"ssh": on}
			w.update(func(tx *store.Tx) error { return store.Apps.Put(tx, app) })
		}
	}
	suspend := func(yes bool) func() {
		return func() {
			w.update(func(tx *store.Tx) error {
				org, err := store.Orgs.Get(tx, w.org)
				w.must(err)
				org.Suspended = yes
				return store.Orgs.Put(tx, org)
			})
		}
	}
	nothing := func() {}
	for _, c := range []struct {
		name, as, guid string
		index          int
		before, after  func()
		refused        string // part of the error; empty: let in
	}{
		{"developer by app", "developer", app.GUID, 1, nothing, nothing, ""},
		{"developer by process", "developer", web.GUID, 1, nothing, nothing, ""},
		{"admin", "admin", app.GUID, 1, nothing, nothing, ""},
		{"supporter", "supporter", app.GUID, 1, nothing, nothing, "not authorized"},
		{"auditor", "auditor", app.GUID, 1, nothing, nothing, "not authorized"},
		{"manager", "manager", app.GUID, 1, nothing, nothing, "not authorized"},
		{"org manager", "orgmanager", app.GUID, 1, nothing, nothing, "not authorized"},
		{"stranger", "stranger", app.GUID, 1, nothing, nothing, "App not found"},
		{"read-only admin", "readonly", app.GUID, 1, nothing, nothing, "not authorized"},
		{"crashed instance", "developer", app.GUID, 0, nothing, nothing, "instance 0"},
		{"no such instance", "developer", app.GUID, 2, nothing, nothing, "instance 2"},
		{"space switched off", "developer", app.GUID, 1, spaceSSH(true), spaceSSH(false), "disabled for space 'space'"},
		{"app switched off", "admin", app.GUID, 1, appSSH(false), appSSH(true), "disabled for app"},
		{"org suspended", "developer", app.GUID, 1, suspend(true), suspend(false), "suspended"},
		{"admin in a suspended org", "admin", app.GUID, 1, suspend(true), suspend(false), ""},
	} {
		c.before()
		target, err := w.s.EnterSSH(context.Background(), w.people[c.as], c.guid, c.index, "192.0.2.1:5")
		c.after()
		kind := "audit.app.ssh-authorized"
		switch {
		case c.refused == "" && (err != nil || target.InstanceGUID != instance.GUID):
			t.Errorf("%s: %+v, %v; want instance %s", c.name, target, err, instance.GUID)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
		if c.refused != "" {
			kind = "audit.app.ssh-unauthorized"
		}
		last := w.as("admin", "GET", "/v3/audit_events?order_by=-created_at&per_page=1&target_guids="+app.GUID, nil).want(200)
		if got, who := last.str("resources", 0, "type"), last.str("resources", 0, "actor", "guid"); got != kind || who != c.as+"-guid" {
			t.Errorf("%s: event %s by %s, want %s by %s", c.name, got, who, kind, c.as)
		}
	}
	if !w.log.contains(app.GUID + " SSH Remote access refused to 192.0.2.1:5: ssh is disabled for app") {
		t.Error("the app's log does not tell of a refusal")
	}
	if _, err := w.s.EnterSSH(context.Background(), w.people["admin"], "no-such-app", 0, "x"); err == nil {
		t.Error("came into an app that is not there")
	}
	t.Run("stays", func(t *testing.T) { sshStays(t, w, SSHTarget{AppGUID: app.GUID}, spaceSSH) })
}

// sshStays: what is taken away after the login counts.
func sshStays(t *testing.T, w *world, target SSHTarget, spaceSSH func(bool) func()) {
	stays := func(who *auth.Identity) bool { return w.s.StaysSSH(context.Background(), who, target) }
	developer, admin := w.people["developer"], w.people["admin"]
	if !stays(developer) || !stays(admin) {
		t.Fatal("nobody stays")
	}
	if spaceSSH(true)(); stays(developer) {
		t.Error("a developer stays in a space without SSH")
	}
	spaceSSH(false)()
	w.update(func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, admin.UserGUID)
		w.must(err)
		user.Groups = nil
		return store.Users.Put(tx, user)
	})
	if stays(admin) {
		t.Error("who is no admin any more stays")
	}
	w.update(func(tx *store.Tx) error {
		roles, _, err := store.Roles.List(tx, store.Query[store.Role]{Where: []store.Cond{store.By("user", developer.UserGUID)}})
		w.must(err)
		return store.Roles.Delete(tx, roles[0].GUID)
	})
	if stays(developer) {
		t.Error("who lost the role stays")
	}
}
