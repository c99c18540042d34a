package api

import (
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// row is one request of a table. In path, body and fragments {name} stands for a GUID that an earlier row named
// by save, or that the world began with: {org} {space} {otherOrg} {otherSpace} {domain}.
type row struct {
	name, as, method, path, body string
	status                       int
	want                         []string
	not                          string // what the answer must not have
	save                         string
}

func has(fragments ...string) []string { return fragments }

// play makes the requests one after another, as they rest on one another.
func (w *world) play(rows []row) map[string]string {
	w.t.Helper()
	return w.playWith(map[string]string{}, rows)
}

// playWith is play with GUIDs that are known already; it adds to them.
func (w *world) playWith(guids map[string]string, rows []row) map[string]string {
	w.t.Helper()
	for name, guid := range map[string]string{"org": w.org, "space": w.space, "otherOrg": w.otherOrg, "otherSpace": w.otherSpace, "domain": w.domain} {
		guids[name] = guid
	}
	fill := func(text string) string {
		for k, v := range guids {
			text = strings.ReplaceAll(text, "{"+k+"}", v)
		}
		return text
	}
	for _, r := range rows {
		var body any
		if r.body != "" {
			body = fill(r.body)
		}
		got := w.as(r.as, r.method, fill(r.path), body)
		if got.status != r.status {
			w.t.Errorf("%s: %s: status %d, want %d: %s", r.name, got.what, got.status, r.status, got.text)
			continue
		}
		for _, f := range r.want {
			if !strings.Contains(got.text, fill(f)) {
				w.t.Errorf("%s: %s: answer lacks %s: %s", r.name, got.what, fill(f), got.text)
			}
		}
		if r.not != "" && strings.Contains(got.text, fill(r.not)) {
			w.t.Errorf("%s: %s: answer has %s: %s", r.name, got.what, fill(r.not), got.text)
		}
		if got.status == 202 && !strings.HasPrefix(got.header.Get("Location"), testURL+"/v3/jobs/") {
			w.t.Errorf("%s: Location %q, want a job", r.name, got.header.Get("Location"))
		}
		if got.status != 202 && got.header.Get("Location") != "" {
			w.t.Errorf("%s: a Location without 202", r.name)
		}
		if r.save != "" {
			guids[r.save] = got.guid()
		}
	}
	return guids
}

// addUser makes a user of the UAA.
func (w *world) addUser(guid, name, origin string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		return store.Users.Put(tx, &store.User{Meta: store.Meta{GUID: guid}, Username: name, Origin: origin})
	})
}

// events counts the audit events of a type.
func (w *world) events(kind string) int {
	w.t.Helper()
	n := 0
	w.view(func(tx *store.Tx) (err error) {
		n, err = store.AuditEvents.Count(tx, store.By("type", kind))
		return err
	})
	return n
}

func TestRoot(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Links = Links{Login: "https://login.x", UAA: "https://uaa.x", LogCache: "https://log-cache.x", AppSSH: "ssh.x:2222", AppSSHFingerprint: "fp"}
	})
	w.play([]row{
		{name: "root", method: "GET", path: "/", status: 200, want: has(
			`"cloud_controller_v3":{"href":"https://api.example.com/v3","meta":{"version":"3.224.0"}}`, `"login":{"href":"https://login.x"}`,
			`"log_cache":{"href":"https://log-cache.x"}`, `"routing":null`, `"oauth_client":"ssh-proxy"`, `"href":"ssh.x:2222"`)},
		{name: "v3", method: "GET", path: "/v3", status: 200, want: has(`"apps":{"href":"https://api.example.com/v3/apps"}`)},
		{name: "slash", method: "GET", path: "/v3/", status: 200, want: has(`"self"`)},
		{name: "info", method: "GET", path: "/v3/info", status: 200, want: has(`"osbapi_version":"2.15"`, `"custom":{}`)},
	})
}

func TestOrgs(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		q := unlimitedQuota()
		q.Name = "default"
		return store.OrgQuotas.Put(tx, q)
	})
	long := strings.Repeat("é", 256)
	w.play([]row{
		{name: "create", as: "admin", method: "POST", path: "/v3/organizations", body: `{"name":"new","metadata":{"labels":{"a":"b"}}}`, status: 201,
			want: has(`"name":"new"`, `"suspended":false`, `"labels":{"a":"b"}`, `"annotations":{}`, `"quota":{"data":{"guid":`), save: "new"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/organizations", body: `{"name":"NEW"}`, status: 422, want: has(`Organization 'NEW' already exists.`, "10008")},
		{name: "blank", as: "admin", method: "POST", path: "/v3/organizations", body: `{}`, status: 422, want: has("blank")},
		{name: "long", as: "admin", method: "POST", path: "/v3/organizations", body: `{"name":"` + long + `"}`, status: 422, want: has("too long")},
		{name: "unknown field", as: "admin", method: "POST", path: "/v3/organizations", body: `{"name":"x","nme":1}`, status: 422, want: has("Unknown field(s): 'nme'")},
		{name: "not an operator", as: "orgmanager", method: "POST", path: "/v3/organizations", body: `{"name":"mine"}`, status: 403, want: has("10003")},
		{name: "no token", method: "GET", path: "/v3/organizations", status: 401, want: has("10002")},
		{name: "all", as: "admin", method: "GET", path: "/v3/organizations?order_by=-name", status: 200, want: has(`"total_results":3`)},
		{name: "own", as: "developer", method: "GET", path: "/v3/organizations", status: 200, want: has(`"total_results":1`, "{org}")},
		{name: "none", as: "nobody", method: "GET", path: "/v3/organizations", status: 200, want: has(`"total_results":0`, `"total_pages":1`, `"resources":[]`, `"next":null`)},
		{name: "by name", as: "admin", method: "GET", path: "/v3/organizations?names=new,nothing", status: 200, want: has(`"total_results":1`)},
		{name: "by label", as: "admin", method: "GET", path: "/v3/organizations?label_selector=a%3Db", status: 200, want: has(`"total_results":1`, "{new}")},
		{name: "unseen", as: "developer", method: "GET", path: "/v3/organizations/{new}", status: 404, want: has("Organization not found", "10010")},
		{name: "seen", as: "auditor", method: "GET", path: "/v3/organizations/{org}", status: 200, want: has(`"name":"org"`)},
		{name: "rename", as: "orgmanager", method: "PATCH", path: "/v3/organizations/{org}/", body: `{"name":"renamed"}`, status: 200, want: has(`"name":"renamed"`)},
		{name: "rename by others", as: "developer", method: "PATCH", path: "/v3/organizations/{org}", body: `{"name":"x"}`, status: 403},
		{name: "suspend by manager", as: "orgmanager", method: "PATCH", path: "/v3/organizations/{org}", body: `{"suspended":true}`, status: 403},
		{name: "suspend", as: "admin", method: "PATCH", path: "/v3/organizations/{org}", body: `{"suspended":true}`, status: 200, want: has(`"suspended":true`)},
		{name: "change in a suspended org", as: "orgmanager", method: "PATCH", path: "/v3/organizations/{org}", body: `{"name":"x"}`, status: 403, want: has("10017")},
		{name: "usage", as: "orgmanager", method: "GET", path: "/v3/organizations/{org}/usage_summary", status: 200, want: has(`"started_instances":0`)},
		{name: "users", as: "orgmanager", method: "GET", path: "/v3/organizations/{org}/users", status: 200, want: has(`"resources":[]`)},
		{name: "delete by manager", as: "orgmanager", method: "DELETE", path: "/v3/organizations/{org}", status: 403},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/organizations/{org}/", status: 202},
		{name: "gone", as: "admin", method: "GET", path: "/v3/organizations/{org}", status: 404},
		{name: "space gone", as: "admin", method: "GET", path: "/v3/spaces/{space}", status: 404, want: has("Space not found")},
		{name: "roles gone", as: "admin", method: "GET", path: "/v3/roles?organization_guids={org}", status: 200, want: has(`"total_results":0`)},
	})
	if n := w.events("audit.organization.create") + w.events("audit.organization.delete-request"); n != 2 {
		t.Errorf("%d events of create and delete, want 2", n)
	}
}

func TestOrgDeletionIsRecursive(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		private := &store.Domain{Name: "private.example.org", OrgGUID: w.org}
		quota := unlimitedQuota()
		quota.Name, quota.OrgGUID = "q", w.org
		app := &store.App{Name: "app", SpaceGUID: w.space, State: store.AppStarted}
		w.must(store.Domains.Put(tx, private), store.SpaceQuotas.Put(tx, quota), store.Apps.Put(tx, app))
		return firstOf(
			store.Processes.Put(tx, newProcess(app, "web")),
			store.Routes.Put(tx, &store.Route{Host: "a", DomainGUID: private.GUID, SpaceGUID: w.space, Destinations: []store.Destination{{GUID: "d", AppGUID: app.GUID}}}),
			store.Routes.Put(tx, &store.Route{Host: "shared", DomainGUID: w.domain, SpaceGUID: w.otherSpace, SharedSpaceGUIDs: []string{w.space}, Destinations: []store.Destination{{GUID: "e", AppGUID: app.GUID}}}),
			store.IsolationSegments.Put(tx, &store.IsolationSegment{Name: "seg", OrgGUIDs: []string{w.org, w.otherOrg}}),
			store.SecurityGroups.Put(tx, &store.SecurityGroup{Name: "g", RunningSpaces: []string{w.space}, StagingSpaces: []string{w.space, w.otherSpace}}))
	})
	w.as("admin", "DELETE", "/v3/organizations/"+w.org, nil).want(202)
	w.view(func(tx *store.Tx) error {
		for name, n := range map[string]func() (int, error){
			"apps":      func() (int, error) { return store.Apps.Count(tx) },
			"processes": func() (int, error) { return store.Processes.Count(tx) },
			"domains":   func() (int, error) { return store.Domains.Count(tx, store.By("org", w.org)) },
			"quotas":    func() (int, error) { return store.SpaceQuotas.Count(tx) },
			"routes":    func() (int, error) { return store.Routes.Count(tx, store.By("space", w.space)) },
			"sharing":   func() (int, error) { return store.Routes.Count(tx, store.By("shared_space", w.space)) },
			"segments":  func() (int, error) { return store.IsolationSegments.Count(tx, store.By("org", w.org)) },
			"groups":    func() (int, error) { return store.SecurityGroups.Count(tx, store.By("staging_space", w.space)) },
		} {
			if have, err := n(); err != nil || have != 0 {
				t.Errorf("%s: %d left, %v", name, have, err)
			}
		}
		route, err := store.Routes.Find(tx, "host", "shared")
		if err != nil || len(route.Destinations) != 0 {
			t.Errorf("the route of the other org: %+v, %v, want it without destination", route, err)
		}
		return nil
	})
}

func TestSpaces(t *testing.T) {
	w := newWorld(t)
	rel := `"relationships":{"organization":{"data":{"guid":"{org}"}}}`
	w.play([]row{
		{name: "create", as: "orgmanager", method: "POST", path: "/v3/spaces", body: `{"name":"new",` + rel + `}`, status: 201,
			want: has(`"name":"new"`, `"organization":{"data":{"guid":"{org}"}}`, `"quota":{"data":null}`), save: "new"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/spaces", body: `{"name":"New",` + rel + `}`, status: 422, want: has("Name must be unique per organization")},
		{name: "no org", as: "admin", method: "POST", path: "/v3/spaces", body: `{"name":"x"}`, status: 422, want: has("Relationships Organization")},
		{name: "unknown org", as: "admin", method: "POST", path: "/v3/spaces", body: `{"name":"x","relationships":{"organization":{"data":{"guid":"x"}}}}`, status: 422, want: has("Invalid organization.")},
		{name: "unseen org", as: "stranger", method: "POST", path: "/v3/spaces", body: `{"name":"x",` + rel + `}`, status: 422, want: has("Invalid organization.")},
		{name: "not a manager", as: "developer", method: "POST", path: "/v3/spaces", body: `{"name":"x",` + rel + `}`, status: 403},
		{name: "seen by org manager", as: "orgmanager", method: "GET", path: "/v3/spaces?organization_guids={org}&include=organization", status: 200,
			want: has(`"total_results":2`, `"included":{"organizations":[{"guid":"{org}"`)},
		{name: "seen by developer", as: "developer", method: "GET", path: "/v3/spaces?names=space,new", status: 200, want: has(`"total_results":1`, "{space}")},
		{name: "bad include", as: "developer", method: "GET", path: "/v3/spaces?include=apps", status: 400, want: has("10005")},
		{name: "unseen", as: "developer", method: "GET", path: "/v3/spaces/{new}", status: 404, want: has("Space not found")},
		{name: "ssh", as: "auditor", method: "GET", path: "/v3/spaces/{space}/features/ssh", status: 200, want: has(`"enabled":true`)},
		{name: "features", as: "auditor", method: "GET", path: "/v3/spaces/{space}/features", status: 200, want: has(`"features":[{"name":"ssh"`)},
		{name: "no feature", as: "auditor", method: "GET", path: "/v3/spaces/{space}/features/x", status: 404, want: has("Feature not found")},
		{name: "ssh off", as: "manager", method: "PATCH", path: "/v3/spaces/{space}/features/ssh", body: `{"enabled":false}`, status: 200, want: has(`"enabled":false`)},
		{name: "ssh off by developer", as: "developer", method: "PATCH", path: "/v3/spaces/{space}/features/ssh", body: `{"enabled":false}`, status: 403},
		{name: "ssh without value", as: "manager", method: "PATCH", path: "/v3/spaces/{space}/features/ssh", body: `{}`, status: 422},
		{name: "rename", as: "manager", method: "PATCH", path: "/v3/spaces/{space}", body: `{"name":"renamed","metadata":{"annotations":{"k":"v"}}}`, status: 200, want: has(`"name":"renamed"`, `"k":"v"`)},
		{name: "segment", as: "developer", method: "GET", path: "/v3/spaces/{space}/relationships/isolation_segment", status: 200, want: has(`"data":null`)},
		{name: "segment unknown", as: "admin", method: "PATCH", path: "/v3/spaces/{space}/relationships/isolation_segment", body: `{"data":{"guid":"x"}}`, status: 422, want: has("entitled")},
		{name: "security groups", as: "developer", method: "GET", path: "/v3/spaces/{space}/running_security_groups", status: 200, want: has(`"resources":[]`)},
		{name: "usage", as: "developer", method: "GET", path: "/v3/spaces/{space}/usage_summary", status: 200, want: has(`"memory_in_mb":0`)},
		{name: "delete by space manager", as: "manager", method: "DELETE", path: "/v3/spaces/{space}", status: 403},
		{name: "delete", as: "orgmanager", method: "DELETE", path: "/v3/spaces/{space}", status: 202},
		{name: "role gone", as: "developer", method: "GET", path: "/v3/spaces", status: 200, want: has(`"total_results":0`)},
	})
	if w.events("audit.space.create") != 1 || w.events("audit.space.update") != 1 || w.events("audit.space.delete-request") != 1 {
		t.Error("an audit event of a space is missing")
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.addUser("u1", "marie", "uaa")
	w.addUser("u2", "twin", "uaa")
	w.addUser("u3", "twin", "ldap")
	body := func(kind, user, place string) string {
		return `{"type":"` + kind + `","relationships":{"user":{"data":{` + user + `}},` + place + `}}`
	}
	inOrg, inSpace := `"organization":{"data":{"guid":"{org}"}}`, `"space":{"data":{"guid":"{space}"}}`
	w.play([]row{
		{name: "space role before membership", as: "admin", method: "POST", path: "/v3/roles", body: body("space_developer", `"guid":"u1"`, inSpace), status: 422, want: has("do not have a role in that space's organization")},
		{name: "org role", as: "orgmanager", method: "POST", path: "/v3/roles", body: body("organization_user", `"username":"marie"`, inOrg), status: 201,
			want: has(`"type":"organization_user"`, `"space":{"data":null}`, `"organization":{"data":{"guid":"{org}"}}`), save: "member"},
		{name: "again", as: "orgmanager", method: "POST", path: "/v3/roles", body: body("organization_user", `"guid":"u1"`, inOrg), status: 422, want: has("User 'marie' already has 'organization_user' role in organization 'org'.")},
		{name: "space role", as: "manager", method: "POST", path: "/v3/roles", body: body("space_developer", `"guid":"u1"`, inSpace), status: 201,
			want: has(`"organization":{"data":null}`, `"space":{"data":{"guid":"{space}"}}`), save: "role"},
		{name: "space role again", as: "manager", method: "POST", path: "/v3/roles", body: body("space_developer", `"guid":"u1"`, inSpace), status: 422, want: has("already has 'space_developer' role in space 'space'.")},
		{name: "by developer", as: "developer", method: "POST", path: "/v3/roles", body: body("space_auditor", `"guid":"u1"`, inSpace), status: 403},
		{name: "from outside", as: "stranger", method: "POST", path: "/v3/roles", body: body("space_auditor", `"guid":"u1"`, inSpace), status: 422, want: has("Invalid space.")},
		{name: "unknown user", as: "admin", method: "POST", path: "/v3/roles", body: body("organization_user", `"guid":"x"`, inOrg), status: 422, want: has("Invalid user.")},
		{name: "unknown name", as: "admin", method: "POST", path: "/v3/roles", body: body("organization_user", `"username":"x"`, inOrg), status: 422, want: has("No user exists with the username 'x'.")},
		{name: "two of that name", as: "admin", method: "POST", path: "/v3/roles", body: body("organization_user", `"username":"twin"`, inOrg), status: 422, want: has("Ambiguous user.", "uaa, ldap")},
		{name: "by origin", as: "admin", method: "POST", path: "/v3/roles", body: body("organization_user", `"username":"twin","origin":"ldap"`, inOrg), status: 201, want: has(`"guid":"u3"`)},
		{name: "wrong type", as: "admin", method: "POST", path: "/v3/roles", body: body("owner", `"guid":"u1"`, inOrg), status: 422, want: has("allowed types")},
		{name: "wrong place", as: "admin", method: "POST", path: "/v3/roles", body: body("space_developer", `"guid":"u1"`, inOrg), status: 422, want: has("must be associated with a space")},
		{name: "no user", as: "admin", method: "POST", path: "/v3/roles", body: `{"type":"space_developer","relationships":{` + inSpace + `}}`, status: 422, want: has("Relationships User")},
		{name: "list", as: "developer", method: "GET", path: "/v3/roles?space_guids={space}&include=user,space", status: 200, want: has(`"included"`, `"username":"marie"`, `"name":"space"`)},
		{name: "org roles only", as: "admin", method: "GET", path: "/v3/roles?organization_guids={org}&user_guids=u1", status: 200, want: has(`"total_results":1`, "{member}")},
		{name: "of another org", as: "stranger", method: "GET", path: "/v3/roles", status: 200, want: has(`"total_results":1`)},
		{name: "get", as: "developer", method: "GET", path: "/v3/roles/{role}?include=user", status: 200, want: has(`"presentation_name":"marie"`)},
		{name: "get unseen", as: "stranger", method: "GET", path: "/v3/roles/{role}", status: 404, want: has("Role not found")},
		{name: "take membership too early", as: "orgmanager", method: "DELETE", path: "/v3/roles/{member}", status: 422, want: has("Cannot delete organization_user role")},
		{name: "take by developer", as: "developer", method: "DELETE", path: "/v3/roles/{role}", status: 403},
		{name: "take unseen", as: "stranger", method: "DELETE", path: "/v3/roles/{role}", status: 404},
		{name: "take", as: "manager", method: "DELETE", path: "/v3/roles/{role}", status: 202},
		{name: "take membership", as: "orgmanager", method: "DELETE", path: "/v3/roles/{member}", status: 202},
		{name: "flag off", as: "admin", method: "PATCH", path: "/v3/feature_flags/set_roles_by_username", body: `{"enabled":false}`, status: 200},
		{name: "by name without the flag", as: "orgmanager", method: "POST", path: "/v3/roles", body: body("organization_user", `"username":"marie"`, inOrg), status: 403, want: has("330002")},
	})
	if w.events("audit.user.space_developer_add") != 1 || w.events("audit.user.space_developer_remove") != 1 {
		t.Error("an audit event of a role is missing")
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	w.addUser("developer-guid", "developer", "uaa")
	w.addUser("stranger-guid", "stranger", "uaa")
	w.play([]row{
		{name: "all", as: "admin", method: "GET", path: "/v3/users", status: 200, want: has(`"total_results":2`)},
		{name: "those of my orgs", as: "orgmanager", method: "GET", path: "/v3/users", status: 200, want: has(`"total_results":1`, "developer")},
		{name: "by part", as: "admin", method: "GET", path: "/v3/users?partial_usernames=STRANG", status: 200, want: has(`"total_results":1`)},
		{name: "by name", as: "admin", method: "GET", path: "/v3/users?usernames=developer&origins=uaa", status: 200, want: has(`"total_results":1`, `"presentation_name":"developer"`)},
		{name: "unseen", as: "developer", method: "GET", path: "/v3/users/stranger-guid", status: 404, want: has("User not found")},
		{name: "self", as: "developer", method: "GET", path: "/v3/users/developer-guid", status: 200},
		{name: "of the uaa", as: "admin", method: "POST", path: "/v3/users", body: `{"guid":"developer-guid"}`, status: 201, want: has(`"username":"developer"`)},
		{name: "client", as: "admin", method: "POST", path: "/v3/users", body: `{"guid":"my-client"}`, status: 201, want: has(`"username":null`, `"presentation_name":"my-client"`, `"origin":null`)},
		{name: "another client", as: "admin", method: "POST", path: "/v3/users", body: `{"guid":"client2"}`, status: 201},
		{name: "of ldap", as: "admin", method: "POST", path: "/v3/users", body: `{"username":"x","origin":"ldap"}`, status: 201, want: has(`"origin":"ldap"`)},
		{name: "of ldap again", as: "admin", method: "POST", path: "/v3/users", body: `{"username":"X","origin":"ldap"}`, status: 422, want: has("already exists.")},
		{name: "of uaa by name", as: "admin", method: "POST", path: "/v3/users", body: `{"username":"x","origin":"uaa"}`, status: 422},
		{name: "nothing", as: "admin", method: "POST", path: "/v3/users", body: `{}`, status: 422},
		{name: "forbidden", as: "orgmanager", method: "POST", path: "/v3/users", body: `{"guid":"x"}`, status: 403},
		{name: "label", as: "admin", method: "PATCH", path: "/v3/users/developer-guid", body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200, want: has(`"a":"b"`)},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/users/developer-guid", status: 202},
		{name: "delete nobody", as: "admin", method: "DELETE", path: "/v3/users/x", status: 404, want: has("User not found")},
		{name: "roles gone", as: "developer", method: "GET", path: "/v3/spaces", status: 200, want: has(`"total_results":0`)},
	})
	w.view(func(tx *store.Tx) error {
		if _, err := store.Users.Get(tx, "developer-guid"); err != nil {
			t.Errorf("%v: the UAA still needs the record to delete the user itself", err)
		}
		return nil
	})
}

func TestOrgQuotas(t *testing.T) {
	w := newWorld(t)
	w.play([]row{
		{name: "create", as: "admin", method: "POST", path: "/v3/organization_quotas", status: 201, save: "q",
			body: `{"name":"big","apps":{"total_memory_in_mb":"10240","total_instances":null},"routes":{"total_routes":1000},"relationships":{"organizations":{"data":[{"guid":"{org}"}]}}}`,
			want: has(`"total_memory_in_mb":10240`, `"total_instances":null`, `"paid_services_allowed":true`, `"total_routes":1000`, `"total_domains":null`, `"organizations":{"data":[{"guid":"{org}"}]}`)},
		{name: "taken", as: "admin", method: "POST", path: "/v3/organization_quotas", body: `{"name":"big"}`, status: 422, want: has("Organization Quota 'big' already exists.")},
		{name: "negative", as: "admin", method: "POST", path: "/v3/organization_quotas", body: `{"name":"x","apps":{"total_memory_in_mb":-1}}`, status: 422, want: has("Apps total memory in mb")},
		{name: "10 GB of logs a second", as: "admin", method: "POST", path: "/v3/organization_quotas", body: `{"name":"loud","apps":{"log_rate_limit_in_bytes_per_second":10737418240}}`, status: 201, want: has("10737418240")},
		{name: "unknown org", as: "admin", method: "POST", path: "/v3/organization_quotas", body: `{"name":"y","relationships":{"organizations":{"data":[{"guid":"x"}]}}}`, status: 422, want: has(`Organizations with guids [\"x\"] do not exist`)},
		{name: "nothing is left of it", as: "admin", method: "GET", path: "/v3/organization_quotas?names=y", status: 200, want: has(`"total_results":0`)},
		{name: "forbidden", as: "orgmanager", method: "POST", path: "/v3/organization_quotas", body: `{"name":"x"}`, status: 403},
		{name: "own", as: "developer", method: "GET", path: "/v3/organization_quotas/{q}", status: 200},
		{name: "another's", as: "stranger", method: "GET", path: "/v3/organization_quotas/{q}", status: 404, want: has("Organization quota not found")},
		{name: "list", as: "stranger", method: "GET", path: "/v3/organization_quotas", status: 200, want: has(`"total_results":0`)},
		{name: "list by org", as: "admin", method: "GET", path: "/v3/organization_quotas?organization_guids={org}", status: 200, want: has(`"total_results":1`)},
		{name: "update", as: "admin", method: "PATCH", path: "/v3/organization_quotas/{q}", body: `{"apps":{"total_memory_in_mb":null},"services":{"paid_services_allowed":false}}`, status: 200, want: has(`"total_memory_in_mb":null`, `"paid_services_allowed":false`, `"total_routes":1000`)},
		{name: "delete in use", as: "admin", method: "DELETE", path: "/v3/organization_quotas/{q}", status: 422, want: has("applied to one or more organizations")},
		{name: "another", as: "admin", method: "POST", path: "/v3/organization_quotas", body: `{"name":"small","domains":{"total_domains":1}}`, status: 201, save: "small"},
		{name: "apply", as: "admin", method: "POST", path: "/v3/organization_quotas/{small}/relationships/organizations", body: `{"data":[{"guid":"{org}"}]}`, status: 200, want: has(`"data":[{"guid":"{org}"}]`, `"links"`)},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/organization_quotas/{q}", status: 202},
		{name: "one domain", as: "orgmanager", method: "POST", path: "/v3/domains", body: `{"name":"a.example.org","relationships":{"organization":{"data":{"guid":"{org}"}}}}`, status: 201},
		{name: "a domain too many", as: "orgmanager", method: "POST", path: "/v3/domains", body: `{"name":"b.example.org","relationships":{"organization":{"data":{"guid":"{org}"}}}}`, status: 422, want: has("quota 'small'")},
	})
}

func TestSpaceQuotas(t *testing.T) {
	w := newWorld(t)
	rel := `"relationships":{"organization":{"data":{"guid":"{org}"}}}`
	w.play([]row{
		{name: "create", as: "orgmanager", method: "POST", path: "/v3/space_quotas", body: `{"name":"q","apps":{"total_instances":5},` + rel + `}`, status: 201, want: has(`"total_instances":5`, `"spaces":{"data":[]}`), save: "q"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/space_quotas", body: `{"name":"q",` + rel + `}`, status: 422, want: has("Space Quota 'q' already exists.")},
		{name: "no org", as: "admin", method: "POST", path: "/v3/space_quotas", body: `{"name":"x"}`, status: 422, want: has("Relationships Organization")},
		{name: "forbidden", as: "developer", method: "POST", path: "/v3/space_quotas", body: `{"name":"x",` + rel + `}`, status: 403},
		{name: "apply", as: "orgmanager", method: "POST", path: "/v3/space_quotas/{q}/relationships/spaces", body: `{"data":[{"guid":"{space}"}]}`, status: 200, want: has(`{"guid":"{space}"}`)},
		{name: "apply elsewhere", as: "admin", method: "POST", path: "/v3/space_quotas/{q}/relationships/spaces", body: `{"data":[{"guid":"{otherSpace}"}]}`, status: 422, want: has("outside of their owning organization")},
		{name: "apply unseen", as: "orgmanager", method: "POST", path: "/v3/space_quotas/{q}/relationships/spaces", body: `{"data":[{"guid":"{otherSpace}"}]}`, status: 422, want: has("do not exist, or you do not have access")},
		{name: "seen", as: "auditor", method: "GET", path: "/v3/space_quotas?space_guids={space}", status: 200, want: has(`"total_results":1`)},
		{name: "unseen", as: "stranger", method: "GET", path: "/v3/space_quotas/{q}", status: 404, want: has("Space quota not found")},
		{name: "of the space", as: "auditor", method: "GET", path: "/v3/spaces/{space}", status: 200, want: has(`"quota":{"data":{"guid":"{q}"}}`)},
		{name: "update", as: "orgmanager", method: "PATCH", path: "/v3/space_quotas/{q}", body: `{"name":"r"}`, status: 200, want: has(`"name":"r"`)},
		{name: "unapply", as: "orgmanager", method: "DELETE", path: "/v3/space_quotas/{q}/relationships/spaces/{space}", status: 204},
		{name: "unapply again", as: "orgmanager", method: "DELETE", path: "/v3/space_quotas/{q}/relationships/spaces/{space}", status: 422, want: has("Unable to remove quota")},
		{name: "apply again", as: "orgmanager", method: "POST", path: "/v3/space_quotas/{q}/relationships/spaces", body: `{"data":[{"guid":"{space}"}]}`, status: 200},
		{name: "delete", as: "orgmanager", method: "DELETE", path: "/v3/space_quotas/{q}", status: 202},
		{name: "free", as: "auditor", method: "GET", path: "/v3/spaces/{space}", status: 200, want: has(`"quota":{"data":null}`)},
	})
}

// TestPlatformUsage sums up all orgs, for operators alone.
func TestPlatformUsage(t *testing.T) {
	w := newWorld(t)
	w.makeRunning("a")
	w.makeRoute("told").want(201)
	w.makeService("db", nil).want(201)
	w.as("admin", "GET", "/v3/organizations/"+w.otherOrg+"/usage_summary", nil).want(200, `"started_instances":0`)
	for _, who := range []string{"admin", "readonly"} {
		w.as(who, "GET", "/v3/info/usage_summary", nil).want(200, `"started_instances":1`, `"memory_in_mb":1024`, `"routes":1`, `"service_instances":1`, `"domains":1`, testURL+`/v3/info/usage_summary"`)
	}
	w.as("orgmanager", "GET", "/v3/info/usage_summary", nil).want(403, "10003")
	w.as("", "GET", "/v3/info/usage_summary", nil).want(401)
}
