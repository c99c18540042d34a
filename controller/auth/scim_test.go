package auth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// call is one request of a table, its token by name, and what comes of it.
type call struct {
	name, method, path, as, body string
	status                       int
	want                         string // in the answer
}

// calls makes the requests in order.
func (w *world) calls(tokens map[string]string, calls []call) {
	w.t.Helper()
	for _, c := range calls {
		var body any
		if c.body != "" {
			body = c.body
		}
		status, out, _ := w.do(c.method, c.path, tokens[c.as], body)
		raw, err := json.Marshal(out)
		if err != nil || status != c.status || !strings.Contains(string(raw), c.want) {
			w.t.Errorf("%s: %s %s: %d %s, want %d with %s", c.name, c.method, c.path, status, raw, c.status, c.want)
		}
		if strings.Contains(string(raw), "argon2") {
			w.t.Errorf("%s: the answer holds a hash", c.name)
		}
	}
}

func filterBy(path, text string) string { return path + "?filter=" + url.QueryEscape(text) }

func TestUserChanges(t *testing.T) {
	w := newWorld(t)
	guid, other := w.createUser("marie"), w.createUser("other")
	admin, _ := w.login("admin", "secret")
	marie, _ := w.login("marie", "pw")
	path := "/Users/" + guid
	w.calls(map[string]string{"admin": admin, "marie": marie}, []call{
		{"own name", "PATCH", path, "marie", `{"name":{"givenName":"Marie"}}`, 200, `"givenName":"Marie"`},
		{"what is not named stays", "GET", path, "marie", "", 200, `"familyName":"F"`},
		{"taken away", "PATCH", path, "marie", `{"meta":{"attributes":["name.familyName"]}}`, 200, `"name":{"givenName":"Marie"}`},
		{"what can't be", "PATCH", path, "marie", `{"meta":{"attributes":["userName"]}}`, 400, "can't be taken away"},
		{"emails are replaced", "PATCH", path, "marie", `{"emails":[{"value":"a@example.com"},{"value":"b@example.com","primary":true}]}`, 200, `"emails":[{"primary":true,"value":"b@example.com"}]`},
		{"own user name", "PATCH", path, "marie", `{"userName":"queen"}`, 403, "scim.write"},
		{"own activity", "PATCH", path, "marie", `{"active":false}`, 403, "scim.write"},
		{"another's", "PATCH", "/Users/" + other, "marie", `{"name":{}}`, 403, "scim.write"},
		{"groups by the back door", "PATCH", path, "marie", `{"groups":[{"display":"uaa.admin","value":"x"}]}`, 200, ""},
		{"are not given", "GET", filterBy("/Users", `groups.display eq "uaa.admin"`), "admin", "", 200, `"totalResults":1`},
		{"user name", "PUT", path, "admin", `{"userName":"marie2","name":{"familyName":"C"},"emails":[{"value":"c@example.com"}]}`, 200, `"userName":"marie2"`},
		{"PUT clears the rest", "GET", path, "admin", "", 200, `"name":{"familyName":"C"}`},
		{"taken", "PUT", path, "admin", `{"userName":"OTHER"}`, 409, "scim_resource_already_exists"},
		{"empty name", "PUT", path, "admin", `{"userName":""}`, 400, "invalid_scim_resource"},
		{"another origin", "PUT", path, "admin", `{"userName":"marie","origin":"ldap"}`, 400, "origin"},
		{"control characters", "PATCH", path, "admin", `{"name":{"givenName":"a\u0007"}}`, 400, "invalid_scim_resource"},
		{"wrong type", "PATCH", path, "admin", `{"name":7}`, 400, "invalid_scim_resource"},
		{"nobody", "PATCH", "/Users/x", "admin", `{}`, 404, "scim_resource_not_found"},
		{"unlock", "PATCH", path + "/status", "admin", `{"locked":false}`, 200, `"locked":false`},
		{"lock", "PATCH", path + "/status", "admin", `{"locked":true}`, 400, "active"},
		{"nothing", "PATCH", path + "/status", "admin", `{}`, 400, "locked"},
		{"status by a user", "PATCH", path + "/status", "marie", `{"locked":false}`, 403, "scim.write"},
		{"password of a user", "PUT", "/Users/" + other + "/password", "admin", `{"password":"new"}`, 200, "ok"},
		{"disable", "PATCH", path, "admin", `{"active":false}`, 200, `"active":false`},
	})
	if w.valid(marie) {
		t.Error("a disabled user's token is valid")
	}
	if status, _, _ := w.do("POST", "/oauth/token", "", form("grant_type", "password", "username", "marie2", "password", "pw")); status != 401 {
		t.Errorf("a disabled user logs in: %d", status)
	}
	w.do("PATCH", path, admin, `{"active":true}`)
	if w.valid(marie) {
		t.Error("the old token is valid again") // its session went
	}
	w.login("marie2", "pw")
}

func TestTwoWritersAtOnce(t *testing.T) {
	w := newWorld(t)
	path := "/Users/" + w.createUser("marie")
	admin, _ := w.login("admin", "secret")
	change := func(version, name string) int {
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", w.srv.URL+path, strings.NewReader(`{"name":{"givenName":"`+name+`"}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "bearer "+admin)
		r.Header.Set("If-Match", version)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if first, second := change("0", "one"), change("0", "two"); first != 200 || second != 409 {
		t.Errorf("two changes of version 0: %d and %d, want 200 and 409", first, second)
	}
	if status := change("*", "three"); status != 200 {
		t.Errorf("of any version: %d", status)
	}
	_, out, header := w.do("GET", path, admin, nil)
	if out["name"].(map[string]any)["givenName"] != "three" || header.Get("ETag") != `"2"` {
		t.Errorf("%v, version %s", out["name"], header.Get("ETag"))
	}
}

func TestUserLists(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"carol", "alice", "bob"} {
		w.createUser(name)
	}
	admin, _ := w.login("admin", "secret")
	list := func(query string) string {
		t.Helper()
		status, out, _ := w.do("GET", "/Users?"+query, admin, nil)
		if status != 200 {
			t.Fatalf("%s: %d %v", query, status, out)
		}
		var names []string
		for _, r := range out["resources"].([]any) {
			name, _ := r.(map[string]any)["userName"].(string)
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	for query, want := range map[string]string{
		"":                                     "admin carol alice bob",
		"sortBy=userName":                      "admin alice bob carol",
		"sortBy=userName&sortOrder=descending": "carol bob alice admin",
		"startIndex=2&count=2":                 "carol alice",
		"startIndex=4&count=2":                 "bob",
		"startIndex=9":                         "",
		"count=0":                              "",
		"count=-1":                             "",
		"startIndex=x&count=y":                 "admin carol alice bob",
	} {
		if got := list(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for text, want := range map[string]string{
		`userName eq "ALICE"`:                                  "alice",
		`username eq "alice" or userName eq "bob"`:             "alice bob",
		`userName eq "alice" and origin eq "ldap"`:             "",
		`(userName eq "alice" or userName eq "bob") and id pr`: "alice bob",
		`userName sw "a" and not (userName eq "admin")`:        "alice",
		`userName ew "l"`:                                      "carol",
		`userName co "li"`:                                     "alice",
		`userName ne "alice" and userName ne "bob"`:            "admin carol",
		`active eq true and userName gt "b"`:                   "carol bob",
		`externalId pr`:                                        "",
		`emails.value eq "m@x" and userName le "alice"`:        "alice",
		`meta.created lt "2000-01-01T00:00:00Z"`:               "",
		`groups.display eq "uaa.admin"`:                        "admin",
		`userName eq "a\"b"`:                                   "",
	} {
		if got := list("filter=" + url.QueryEscape(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"userName", "userName eq", "userName eq alice", `userName xx "a"`, `password eq "x"`, `(userName eq "a"`, `userName eq "a" and`,
		`userName eq "a" userName eq "b"`, `userName eq "a`, strings.Repeat("(", 50), strings.Repeat("not ", 50) + `id pr`, strings.Repeat("x", filterBytes+1), "\xff pr"} {
		if status, out, _ := w.do("GET", filterBy("/Users", text), admin, nil); status != 400 || out["error"] != "scim" {
			t.Errorf("%.40q: %d %v, want a refusal", text, status, out)
		}
	}
	_, out, _ := w.do("GET", "/Users?attributes=id,userName,emails.value&count=1", admin, nil)
	user := out["resources"].([]any)[0].(map[string]any)
	if len(user) != 3 || user["id"] == nil || user["userName"] != "admin" || user["emails"] == nil {
		t.Errorf("attributes: %v", user)
	}
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie")
	admin, _ := w.login("admin", "secret")
	marie, _ := w.login("marie", "pw")
	tokens := map[string]string{"admin": admin, "marie": marie}
	auditor, own, team := "/Groups/"+groupID("cloud_controller.global_auditor"), "/Groups/"+groupID("openid"), "/Groups/"+groupID("team.read")
	member := `{"value":"` + guid + `","type":"USER","origin":"uaa"}`
	w.calls(tokens, []call{
		{"the platform's", "GET", filterBy("/Groups", `displayName eq "cloud_controller.global_auditor"`), "admin", "", 200, `"totalResults":1`},
		{"by part", "GET", filterBy("/Groups", `displayName sw "clients."`), "admin", "", 200, `"totalResults":4`},
		{"bad filter", "GET", filterBy("/Groups", `userName eq "x"`), "admin", "", 400, "scim"},
		{"list forbidden", "GET", "/Groups", "marie", "", 403, "scim.read"},
		{"create forbidden", "POST", "/Groups", "marie", `{"displayName":"x"}`, 403, "scim.write"},
		{"create", "POST", "/Groups", "admin", `{"displayName":"team.read","description":"a team"}`, 201, `"members":[]`},
		{"taken", "POST", "/Groups", "admin", `{"displayName":"TEAM.read"}`, 409, "scim_resource_already_exists"},
		{"bad name", "POST", "/Groups", "admin", `{"displayName":"a b"}`, 400, "invalid_scim_resource"},
		{"bad member", "POST", "/Groups", "admin", `{"displayName":"a","members":[{"value":"x"}]}`, 400, "does not exist"},
		{"which made nothing", "GET", filterBy("/Groups", `displayName eq "a"`), "admin", "", 200, `"totalResults":0`},
		{"get", "GET", team, "admin", "", 200, `"description":"a team"`},
		{"none", "GET", "/Groups/x", "admin", "", 404, "scim_resource_not_found"},
		{"no member", "GET", auditor + "/members/" + guid, "admin", "", 404, "scim_resource_not_found"},
		{"add", "POST", auditor + "/members", "admin", member, 201, guid},
		{"add again", "POST", auditor + "/members", "admin", member, 409, "member_already_exists"},
		{"member", "GET", auditor + "/members/" + guid, "admin", "", 200, `"type":"USER"`},
		{"a group in a group", "POST", auditor + "/members", "admin", `{"value":"` + groupID("openid") + `","type":"GROUP"}`, 400, "GROUP"},
		{"everybody's", "POST", own + "/members", "admin", member, 400, "every user"},
		{"delete the platform's", "DELETE", own, "admin", "", 400, "platform's own"},
		{"rename", "PUT", team, "admin", `{"displayName":"other"}`, 400, "can't be changed"},
		{"replace", "PUT", team, "admin", `{"displayName":"team.read","members":[` + member + `]}`, 200, guid},
		{"delete with members", "DELETE", team, "admin", "", 200, guid},
		{"it is gone", "GET", team, "admin", "", 404, ""},
		{"and from the user", "GET", filterBy("/Users", `groups.display eq "team.read"`), "admin", "", 200, `"totalResults":0`},
	})
	token, _ := w.login("marie", "pw")
	if id, err := w.auth.AuthenticateToken(t.Context(), token); err != nil || !id.Has("cloud_controller.global_auditor") {
		t.Errorf("a member's token: %+v, %v", id, err)
	}
	w.calls(tokens, []call{
		{"list members", "GET", auditor, "admin", "", 200, guid},
		{"take out", "PATCH", auditor, "admin", `{"members":[{"value":"` + guid + `","operation":"delete"}]}`, 200, `"members":[]`},
		{"put in", "PATCH", auditor, "admin", `{"members":[` + member + `]}`, 200, guid},
		{"empty", "PATCH", auditor, "admin", `{"meta":{"attributes":["members"]}}`, 200, `"members":[]`},
		{"remove who is not in", "DELETE", auditor + "/members/" + guid, "admin", "", 404, ""},
	})
	if id, err := w.auth.AuthenticateToken(t.Context(), token); err != nil || id.Has("cloud_controller.global_auditor") {
		t.Errorf("the token of who was taken out: %+v, %v", id, err)
	}
}

// Who manages users without being an administrator can't make administrators.
func TestScopesAreGivenByWhoHasThem(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie")
	w.addToGroup(scopeScimWrite, "marie")
	w.addToGroup(scopeClientsWrite, "marie")
	marie, _ := w.login("marie", "pw")
	member := `{"value":"` + guid + `"}`
	w.calls(map[string]string{"marie": marie}, []call{
		{"uaa.admin", "POST", "/Groups/" + groupID(scopeAdmin) + "/members", "marie", member, 403, "insufficient_scope"},
		{"by PATCH", "PATCH", "/Groups/" + groupID(ScopeAdmin), "marie", `{"members":[` + member + `]}`, 403, "insufficient_scope"},
		{"what she has", "POST", "/Groups/" + groupID(scopeScimWrite) + "/members", "marie", `{"value":"x"}`, 400, "does not exist"},
		{"a client that may more", "POST", "/oauth/clients", "marie", `{"client_id":"c","client_secret":"x","authorized_grant_types":["client_credentials"],"authorities":["uaa.admin"]}`, 403, "uaa.admin"},
		{"taking over a client", "PUT", "/oauth/clients/admin", "marie", `{"authorized_grant_types":["client_credentials"]}`, 400, "platform's own"},
		{"a client like her", "POST", "/oauth/clients", "marie", `{"client_id":"c","client_secret":"x","authorized_grant_types":["client_credentials"],"authorities":["scim.write"]}`, 201, `"client_id":"c"`},
	})
}

func TestClients(t *testing.T) {
	w := newWorld(t)
	w.createUser("marie")
	admin, _ := w.login("admin", "secret")
	marie, _ := w.login("marie", "pw")
	tokens := map[string]string{"admin": admin, "marie": marie}
	const robot = `{"client_id":"robot","client_secret":"s3cret","authorities":["cloud_controller.read","clients.secret"],"authorized_grant_types":["client_credentials"],"access_token_validity":60}`
	w.calls(tokens, []call{
		{"forbidden", "POST", "/oauth/clients", "marie", robot, 403, "clients.write"},
		{"no token", "POST", "/oauth/clients", "", robot, 401, ""},
		{"create", "POST", "/oauth/clients", "admin", robot, 201, `"access_token_validity":60`},
		{"taken", "POST", "/oauth/clients", "admin", robot, 409, "already exists"},
		{"no secret", "POST", "/oauth/clients", "admin", `{"client_id":"a","authorized_grant_types":["client_credentials"]}`, 400, "client_secret"},
		{"empty secret", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"","authorized_grant_types":["client_credentials"]}`, 400, "client_secret"},
		{"no grant", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x"}`, 400, "authorized_grant_types"},
		{"unknown grant", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["implicit"]}`, 400, "implicit"},
		{"code without redirect", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["authorization_code"]}`, 400, "redirect_uri"},
		{"redirect pattern", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["authorization_code"],"redirect_uri":["https://*.example.com"]}`, 400, "redirect_uri"},
		{"script", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["authorization_code"],"redirect_uri":["javascript:alert(1)"]}`, 400, "redirect_uri"},
		{"relative", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["authorization_code"],"redirect_uri":["/back"]}`, 400, "redirect_uri"},
		{"bad id", "POST", "/oauth/clients", "admin", `{"client_id":"a/b","client_secret":"x","authorized_grant_types":["client_credentials"]}`, 400, "client_id"},
		{"endless", "POST", "/oauth/clients", "admin", `{"client_id":"a","client_secret":"x","authorized_grant_types":["client_credentials"],"access_token_validity":99999999999}`, 400, "seconds"},
		{"wrong type", "POST", "/oauth/clients", "admin", `{"client_id":7}`, 400, "invalid_client"},
		{"list", "GET", filterBy("/oauth/clients", `client_id eq "robot"`), "admin", "", 200, `"totalResults":1`},
		{"list forbidden", "GET", "/oauth/clients", "marie", "", 403, "clients.read"},
		{"by grant", "GET", filterBy("/oauth/clients", `authorized_grant_types eq "password"`), "admin", "", 200, `"client_id":"cf"`},
		{"update", "PUT", "/oauth/clients/robot", "admin", `{"authorized_grant_types":["client_credentials"],"authorities":["cloud_controller.read","clients.secret"],"name":"A robot"}`, 200, `"name":"A robot"`},
		{"another id", "PUT", "/oauth/clients/robot", "admin", `{"client_id":"x","authorized_grant_types":["client_credentials"]}`, 400, "can't be changed"},
		{"update none", "PUT", "/oauth/clients/x", "admin", `{"authorized_grant_types":["client_credentials"]}`, 404, "not_found"},
		{"update ours", "PUT", "/oauth/clients/cf", "admin", `{"authorized_grant_types":["password"]}`, 400, "platform's own"},
		{"delete ours", "DELETE", "/oauth/clients/ssh-proxy", "admin", "", 400, "platform's own"},
		{"a secret for cf", "PUT", "/oauth/clients/cf/secret", "admin", `{"secret":"x"}`, 400, "no secret"},
		{"secret forbidden", "PUT", "/oauth/clients/robot/secret", "marie", `{"secret":"x"}`, 403, "clients.secret"},
		{"two secrets", "PUT", "/oauth/clients/robot/secret", "admin", `{"secret":"x","changeMode":"ADD"}`, 400, "changeMode"},
	})
	get := func(secret string) (int, string) {
		status, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "client_credentials", "client_id", "robot", "client_secret", secret))
		token, _ := out["access_token"].(string)
		return status, token
	}
	_, first := get("s3cret")
	tokens["robot"] = first
	w.calls(tokens, []call{
		{"itself", "GET", "/oauth/clients/robot", "robot", "", 200, "A robot"},
		{"another", "GET", "/oauth/clients/cf", "robot", "", 403, "clients.read"},
		{"another's secret", "PUT", "/oauth/clients/admin/secret", "robot", `{"oldSecret":"x","secret":"y"}`, 403, "clients.secret"},
		{"wrong old secret", "PUT", "/oauth/clients/robot/secret", "robot", `{"oldSecret":"x","secret":"new"}`, 400, "old secret"},
		{"empty secret", "PUT", "/oauth/clients/robot/secret", "robot", `{"oldSecret":"s3cret","secret":""}`, 400, "empty"},
		{"own secret", "PUT", "/oauth/clients/robot/secret", "robot", `{"oldSecret":"s3cret","secret":"new"}`, 200, "ok"},
	})
	if status, _ := get("s3cret"); status != 401 || w.valid(first) {
		t.Errorf("the old secret gives %d, and its token is valid: %v", status, w.valid(first))
	}
	_, second := get("new")
	w.calls(tokens, []call{
		{"delete", "DELETE", "/oauth/clients/robot", "admin", "", 200, `"client_id":"robot"`},
		{"delete again", "DELETE", "/oauth/clients/robot", "admin", "", 404, "not_found"},
	})
	if w.valid(second) {
		t.Error("a deleted client's token is valid")
	}
}

func TestRevocation(t *testing.T) {
	w := newWorld(t)
	guid := w.createUser("marie")
	admin, _ := w.login("admin", "secret")
	w.makeClient(`{"client_id":"robot","client_secret":"s3cret","authorities":["cloud_controller.read","uaa.resource"],"authorized_grant_types":["client_credentials"]}`)
	robot := func() string {
		_, out, _ := w.do("POST", "/oauth/token", "", form("grant_type", "client_credentials", "client_id", "robot", "client_secret", "s3cret"))
		return out["access_token"].(string)
	}
	jti := func(token string) string {
		c, err := w.auth.parse(token)
		if err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	login := func() string { token, _ := w.login("marie", "pw"); return token }
	for _, c := range []struct {
		name, path, as string
		make           func() string // what ends; nil: nothing
		status         int
	}{
		{"a client's own", "", "self", robot, 200},
		{"a client's by an administrator", "", "admin", robot, 200},
		{"a user's by another", "", "marie", func() string { return admin }, 403},
		{"a user's by an administrator", "", "admin", login, 200},
		{"all of a client by another", "/oauth/token/revoke/client/robot", "admin", robot, 200},
		{"all of a client by itself", "/oauth/token/revoke/client/robot", "self", robot, 200},
		{"all of a user by an administrator", "/oauth/token/revoke/user/" + guid, "admin", login, 200},
		{"all of nobody", "/oauth/token/revoke/user/x", "admin", nil, 404},
		{"all of no client", "/oauth/token/revoke/client/x", "admin", nil, 404},
	} {
		token := ""
		if c.make != nil {
			token = c.make()
		}
		as := map[string]string{"admin": admin, "self": token}[c.as]
		if c.as == "marie" {
			as = login()
		}
		path := c.path
		if path == "" {
			path = "/oauth/token/revoke/" + jti(token)
		}
		status, out, _ := w.do("DELETE", path, as, nil)
		if status != c.status || token != "" && w.valid(token) != (status != 200) {
			t.Errorf("%s: %d %v, and the token is valid: %v", c.name, status, out, w.valid(token))
		}
	}
	if token := robot(); !w.valid(token) {
		t.Error("a client whose tokens were revoked gets no new ones")
	}
	n := 0
	err := w.db.View(func(tx *store.Tx) (err error) { n, err = store.RevokedTokens.Count(tx); return err })
	w.now = w.now.Add(2 * clientTTLMax)
	admin, _ = w.login("admin", "secret")
	w.do("DELETE", "/oauth/token/revoke/abc", admin, nil)
	after := 0
	if err2 := w.db.View(func(tx *store.Tx) (err error) { after, err = store.RevokedTokens.Count(tx); return err }); err != nil || err2 != nil || n < 2 || after != 1 {
		t.Errorf("%d revoked tokens are kept, %d when all but one have ended (%v, %v)", n, after, err, err2)
	}
}

func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	w.makeClient(`{"client_id":"robot","client_secret":"s3cret","authorities":["uaa.resource"],"authorized_grant_types":["client_credentials"]}`)
	w.makeClient(`{"client_id":"plain","client_secret":"s3cret","authorities":["cloud_controller.read"],"authorized_grant_types":["client_credentials"]}`)
	admin, _ := w.login("admin", "secret")
	ask := func(path, client, token, scopes string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+path, strings.NewReader(form("token", token, "scopes", scopes).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if client != "" {
			r.SetBasicAuth(client, "s3cret")
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	if status, out := ask("/check_token", "robot", admin, "openid,uaa.admin"); status != 200 || out["user_name"] != "admin" || out["client_id"] != "cf" {
		t.Errorf("check_token: %d %v", status, out)
	}
	if status, out := ask("/introspect", "robot", admin, ""); status != 200 || out["active"] != true || out["user_name"] != "admin" {
		t.Errorf("introspect: %d %v", status, out)
	}
	for _, c := range []struct {
		path, client, token, scopes string
		status                      int
		key                         string
		want                        any
	}{
		{"/check_token", "robot", "a.b.c", "", 400, "error", "invalid_token"},
		{"/check_token", "robot", admin, "no.such", 400, "error", "invalid_scope"},
		{"/check_token", "plain", admin, "", 403, "error", "insufficient_scope"},
		{"/check_token", "", admin, "", 401, "error", "unauthorized"},
		{"/introspect", "robot", "a.b.c", "", 200, "active", false},
		{"/introspect", "plain", admin, "", 403, "error", "insufficient_scope"},
		{"/introspect", "cf", admin, "", 401, "error", "invalid_client"},
	} {
		if status, out := ask(c.path, c.client, c.token, c.scopes); status != c.status || out[c.key] != c.want || out["user_name"] != nil {
			t.Errorf("%s as %q: %d %v, want %d %v", c.path, c.client, status, out, c.status, c.want)
		}
	}
}
