package api

import (
	"archive/zip"
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func TestDomains(t *testing.T) {
	w := newWorld(t)
	of := func(name, org string) string {
		return `{"name":"` + name + `","relationships":{"organization":{"data":{"guid":"` + org + `"}}}}`
	}
	w.play([]row{
		{name: "private", as: "orgmanager", method: "POST", path: "/v3/domains", body: of("Mine.Example.org", "{org}"), status: 201,
			want: has(`"name":"mine.example.org"`, `"organization":{"data":{"guid":"{org}"}}`, `"supported_protocols":["http"]`, `"router_group":null`, `"shared_organizations":{"data":[]}`), save: "mine"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"mine.example.org"}`, status: 422, want: has(`already in use`)},
		{name: "below another's", as: "admin", method: "POST", path: "/v3/domains", body: of("sub.mine.example.org", "{otherOrg}"), status: 422, want: has("already reserved by another domain")},
		{name: "above another's", as: "admin", method: "POST", path: "/v3/domains", body: of("example.org", "{otherOrg}"), status: 422, want: has("already reserved")},
		{name: "below own", as: "orgmanager", method: "POST", path: "/v3/domains", body: of("sub.mine.example.org", "{org}"), status: 201},
		{name: "one word", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"localhost"}`, status: 422, want: has("not a domain name")},
		{name: "emoji", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"😀.com"}`, status: 422, want: has("not a domain name")},
		{name: "300 characters", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"` + strings.Repeat("a.", 150) + `com"}`, status: 422, want: has("253")},
		{name: "blank", as: "admin", method: "POST", path: "/v3/domains", body: `{}`, status: 422, want: has("blank")},
		{name: "shared by a manager", as: "orgmanager", method: "POST", path: "/v3/domains", body: `{"name":"x.test"}`, status: 403},
		{name: "private by a developer", as: "developer", method: "POST", path: "/v3/domains", body: of("x.test", "{org}"), status: 403},
		{name: "router group", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"tcp.test","router_group":{"guid":"x"}}`, status: 422, want: has("Router group with guid 'x' not found.")},
		{name: "internal", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"apps.internal","internal":true}`, status: 201, want: has(`"internal":true`)},
		{name: "internal and private", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"x.internal","internal":true,"relationships":{"organization":{"data":{"guid":"{org}"}}}}`, status: 422, want: has("internal domain")},
		{name: "list", as: "stranger", method: "GET", path: "/v3/domains", status: 200, want: has(`"total_results":2`), not: "mine.example.org"},
		{name: "list of the org", as: "developer", method: "GET", path: "/v3/organizations/{org}/domains", status: 200, want: has(`"total_results":4`)},
		{name: "default", as: "developer", method: "GET", path: "/v3/organizations/{org}/domains/default", status: 200, want: has(`"name":"example.com"`)},
		{name: "unseen", as: "stranger", method: "GET", path: "/v3/domains/{mine}", status: 404, want: has("Domain not found")},
		{name: "share unseen org", as: "orgmanager", method: "POST", path: "/v3/domains/{mine}/relationships/shared_organizations", body: `{"data":[{"guid":"{otherOrg}"}]}`, status: 422, want: has("does not exist, or you do not have access")},
		{name: "share", as: "admin", method: "POST", path: "/v3/domains/{mine}/relationships/shared_organizations", body: `{"data":[{"guid":"{otherOrg}"}]}`, status: 200, want: has(`"data":[{"guid":"{otherOrg}"}]`)},
		{name: "seen then", as: "stranger", method: "GET", path: "/v3/domains/{mine}", status: 200, want: has(`{"guid":"{otherOrg}"}`)},
		{name: "but not whom else", as: "developer", method: "GET", path: "/v3/domains/{mine}", status: 200, not: "{otherOrg}"},
		{name: "label by those it is shared with", as: "stranger", method: "PATCH", path: "/v3/domains/{mine}", body: `{"metadata":{"labels":{"a":"b"}}}`, status: 403},
		{name: "label", as: "orgmanager", method: "PATCH", path: "/v3/domains/{mine}", body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200, want: has(`"a":"b"`)},
		{name: "delete while shared", as: "orgmanager", method: "DELETE", path: "/v3/domains/{mine}", status: 422, want: has("Unshare before deleting")},
		{name: "unshare", as: "orgmanager", method: "DELETE", path: "/v3/domains/{mine}/relationships/shared_organizations/{otherOrg}", status: 204},
		{name: "unshare again", as: "admin", method: "DELETE", path: "/v3/domains/{mine}/relationships/shared_organizations/{otherOrg}", status: 422},
		{name: "delete shared by manager", as: "orgmanager", method: "DELETE", path: "/v3/domains/{domain}", status: 403},
		{name: "delete", as: "orgmanager", method: "DELETE", path: "/v3/domains/{mine}", status: 202},
		{name: "gone", as: "admin", method: "GET", path: "/v3/domains/{mine}", status: 404},
		{name: "delete shared", as: "admin", method: "DELETE", path: "/v3/domains/{domain}", status: 202},
	})
}

// TestDomainsAroundSharedOnes: as in Cloud Controller anybody may take a name below a shared domain, also an internal one, and no
// org one above it.
func TestDomainsAroundSharedOnes(t *testing.T) {
	w := newWorld(t)
	private := func(name string) string {
		return `{"name":"` + name + `","relationships":{"organization":{"data":{"guid":"{org}"}}}}`
	}
	w.play([]row{
		{name: "internal", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"apps.internal","internal":true}`, status: 201},
		{name: "private below an internal one", as: "orgmanager", method: "POST", path: "/v3/domains", body: private("x.apps.internal"), status: 201},
		{name: "shared", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"apps.shared.test"}`, status: 201},
		{name: "private below a shared one", as: "orgmanager", method: "POST", path: "/v3/domains", body: private("x.apps.shared.test"), status: 201},
		{name: "private above a shared one", as: "orgmanager", method: "POST", path: "/v3/domains", body: private("shared.test"), status: 422,
			want: has(`because \"apps.shared.test\" is already reserved by another domain`)},
		{name: "shared above a shared one", as: "admin", method: "POST", path: "/v3/domains", body: `{"name":"shared.test"}`, status: 201},
	})
}

func TestDefaultDomainWithoutAny(t *testing.T) {
	w := newWorld(t)
	w.as("admin", "DELETE", "/v3/domains/"+w.domain, nil).want(202)
	w.as("admin", "GET", "/v3/organizations/"+w.org+"/domains/default", nil).want(404, "Domain not found")
}

func TestDomainOfAnothersRoute(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		return store.Routes.Put(tx, &store.Route{Host: "www", DomainGUID: w.domain, SpaceGUID: w.otherSpace})
	})
	body := `{"name":"www.example.com","relationships":{"organization":{"data":{"guid":"` + w.org + `"}}}}`
	w.as("admin", "POST", "/v3/domains", body).want(422, "a route of that name exists already")
}

func TestStacks(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		return store.Apps.Put(tx, &store.App{Name: "a", SpaceGUID: w.space, State: store.AppStopped, Lifecycle: store.Lifecycle{Type: "buildpack", Stack: "other"}})
	})
	w.play([]row{
		{name: "list", as: "nobody", method: "GET", path: "/v3/stacks?names=cupola&default=true", status: 200, want: has(`"total_results":1`, `"state":"ACTIVE"`, `"state_reason":null`, `"default":true`)},
		{name: "bad default", as: "nobody", method: "GET", path: "/v3/stacks?default=maybe", status: 400},
		{name: "create", as: "admin", method: "POST", path: "/v3/stacks", body: `{"name":"other","description":"d"}`, status: 201, want: has(`"description":"d"`), save: "st"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/stacks", body: `{"name":"other"}`, status: 422, want: has("Name must be unique")},
		{name: "forbidden", as: "developer", method: "POST", path: "/v3/stacks", body: `{"name":"x"}`, status: 403},
		{name: "update", as: "admin", method: "PATCH", path: "/v3/stacks/{st}", body: `{"state":"DEPRECATED","state_reason":"old"}`, status: 200, want: has(`"state":"DEPRECATED"`, `"state_reason":"old"`)},
		{name: "bad state", as: "admin", method: "PATCH", path: "/v3/stacks/{st}", body: `{"state":"GONE"}`, status: 422},
		{name: "rename", as: "admin", method: "PATCH", path: "/v3/stacks/{st}", body: `{"name":"x"}`, status: 422},
		{name: "apps", as: "developer", method: "GET", path: "/v3/stacks/{st}/apps", status: 200, want: has(`"total_results":1`)},
		{name: "apps of others", as: "stranger", method: "GET", path: "/v3/stacks/{st}/apps", status: 200, want: has(`"total_results":0`)},
		{name: "delete in use", as: "admin", method: "DELETE", path: "/v3/stacks/{st}", status: 422, want: has("apps are currently using the stack")},
		{name: "unknown", as: "admin", method: "GET", path: "/v3/stacks/x", status: 404, want: has("Stack not found")},
		{name: "another", as: "admin", method: "POST", path: "/v3/stacks", body: `{"name":"unused"}`, status: 201, save: "unused"},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/stacks/{unused}", status: 204},
	})
}

func TestBuildpacks(t *testing.T) {
	w := newWorld(t)
	w.play([]row{
		{name: "first", as: "admin", method: "POST", path: "/v3/buildpacks/", body: `{"name":"a_buildpack"}`, status: 201, want: has(`"position":1`, `"state":"AWAITING_UPLOAD"`, `"stack":null`, `"filename":null`, `"enabled":true`, `"lifecycle":"buildpack"`), save: "a"},
		{name: "at the end", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"b_buildpack","position":99,"stack":"cupola","enabled":false}`, status: 201, want: has(`"position":2`, `"stack":"cupola"`), save: "b"},
		{name: "in front", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"c_buildpack","position":"1"}`, status: 201, want: has(`"position":1`), save: "c"},
		{name: "the others moved", as: "nobody", method: "GET", path: "/v3/buildpacks/{b}", status: 200, want: has(`"position":3`)},
		{name: "cnb", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"a_buildpack","lifecycle":"cnb"}`, status: 201, want: has(`"position":1`)},
		{name: "list", as: "developer", method: "GET", path: "/v3/buildpacks?lifecycle=buildpack", status: 200, want: has(`"total_results":3`)},
		{name: "without stack", as: "developer", method: "GET", path: "/v3/buildpacks?stacks=&names=a_buildpack,b_buildpack", status: 200, want: has(`"total_results":2`)},
		{name: "taken", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"a_buildpack"}`, status: 422, want: has("Buildpack with name 'a_buildpack' and an unassigned stack already exists")},
		{name: "no such stack", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"x","stack":"y"}`, status: 422, want: has("Stack 'y' does not exist")},
		{name: "name", as: "admin", method: "POST", path: "/v3/buildpacks", body: `{"name":"a/b"}`, status: 422},
		{name: "forbidden", as: "orgmanager", method: "POST", path: "/v3/buildpacks", body: `{"name":"x"}`, status: 403},
		{name: "move", as: "admin", method: "PATCH", path: "/v3/buildpacks/{b}", body: `{"position":2,"locked":true}`, status: 200, want: has(`"position":2`, `"locked":true`)},
		{name: "moved", as: "admin", method: "GET", path: "/v3/buildpacks/{a}", status: 200, want: has(`"position":3`)},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/buildpacks/{c}", status: 202},
		{name: "moved up", as: "admin", method: "GET", path: "/v3/buildpacks/{a}", status: 200, want: has(`"position":2`)},
		{name: "unknown", as: "admin", method: "GET", path: "/v3/buildpacks/{c}", status: 404, want: has("Buildpack not found")},
	})
	first := w.as("developer", "GET", "/v3/buildpacks", nil).want(200)
	if got := first.str("resources", 0, "name") + first.str("resources", 1, "name"); got != "b_buildpacka_buildpack" {
		t.Errorf("order %s, want by lifecycle and position", got)
	}
}

func TestBuildpackUpload(t *testing.T) {
	dir := t.TempDir()
	blobs, err := store.OpenBlobs(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Blobs = blobs })
	guid := w.as("admin", "POST", "/v3/buildpacks", `{"name":"mine"}`).want(201).guid()
	send := func(as, file string, content []byte) *reply {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		if file != "" {
			part, err := form.CreateFormFile("bits", file)
			w.must(err)
			_, err = part.Write(content)
			w.must(err)
		}
		w.must(form.Close())
		r := httptest.NewRequest("POST", "/v3/buildpacks/"+guid+"/upload", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		return w.send(as, r)
	}
	var good bytes.Buffer
	z := zip.NewWriter(&good)
	_, err = z.Create("bin/detect")
	w.must(err, z.Close())

	send("developer", "x.zip", good.Bytes()).want(403)
	send("admin", "", nil).want(422, "must be uploaded as 'bits'")
	send("admin", "x.exe", good.Bytes()).want(400, "not a .zip")
	broken := send("admin", "x.zip", []byte("not a zip")).want(202, "AWAITING_UPLOAD").header.Get("Location")
	w.as("admin", "GET", broken[strings.Index(broken, "/v3/"):], nil).want(200, `"state":"FAILED"`, "390013", "cut off or is not a zip")
	w.as("admin", "GET", "/v3/buildpacks/"+guid, nil).want(200, "AWAITING_UPLOAD")
	up := send("admin", `C:\dir\mine-v1.zip`, good.Bytes()).want(202, `"state":"READY"`, `"filename":"mine-v1.zip"`)
	if !strings.Contains(up.header.Get("Location"), "/v3/jobs/") {
		t.Error("no job")
	}
	w.as("admin", "PATCH", "/v3/buildpacks/"+guid, `{"locked":true}`).want(200)
	send("admin", "x.zip", good.Bytes()).want(409, "290005")
	w.view(func(tx *store.Tx) error {
		b, err := store.Buildpacks.Get(tx, guid)
		if err != nil {
			return err
		}
		if size, err := blobs.Stat(b.SHA256); err != nil || size != int64(good.Len()) {
			t.Errorf("blob of %d bytes, %v, want %d", size, err, good.Len())
		}
		return nil
	})
}

func TestFlagsAndGroups(t *testing.T) {
	w := newWorld(t)
	w.play([]row{
		{name: "list", as: "nobody", method: "GET", path: "/v3/feature_flags", status: 200, want: has(`"total_results":19`, `{"name":"app_bits_upload","enabled":true,"updated_at":null,"custom_error_message":null`)},
		{name: "get", as: "nobody", method: "GET", path: "/v3/feature_flags/diego_docker", status: 200, want: has(`"enabled":false`)},
		{name: "unknown", as: "nobody", method: "GET", path: "/v3/feature_flags/x", status: 404, want: has("Feature flag not found")},
		{name: "set by developer", as: "developer", method: "PATCH", path: "/v3/feature_flags/diego_docker", body: `{"enabled":true}`, status: 403},
		{name: "set", as: "admin", method: "PATCH", path: "/v3/feature_flags/user_org_creation", body: `{"enabled":true,"custom_error_message":"no"}`, status: 200, want: has(`"enabled":true`, `"custom_error_message":"no"`)},
		{name: "works", as: "nobody", method: "POST", path: "/v3/organizations", body: `{"name":"own"}`, status: 201, save: "own"},
		{name: "manages it", as: "nobody", method: "PATCH", path: "/v3/organizations/{own}", body: `{"name":"owned"}`, status: 200},
		{name: "empty group", as: "developer", method: "GET", path: "/v3/environment_variable_groups/running", status: 200, want: has(`"name":"running"`, `"var":{}`, `"updated_at":null`)},
		{name: "set group", as: "admin", method: "PATCH", path: "/v3/environment_variable_groups/running", body: `{"var":{"A":"1","B":"2"}}`, status: 200, want: has(`"var":{"A":"1","B":"2"}`)},
		{name: "unset", as: "admin", method: "PATCH", path: "/v3/environment_variable_groups/running", body: `{"var":{"A":null}}`, status: 200, want: has(`"var":{"B":"2"}`)},
		{name: "reserved", as: "admin", method: "PATCH", path: "/v3/environment_variable_groups/staging", body: `{"var":{"VCAP_X":"1"}}`, status: 422, want: has("VCAP_")},
		{name: "a number", as: "admin", method: "PATCH", path: "/v3/environment_variable_groups/staging", body: `{"var":{"A":1}}`, status: 422},
		{name: "unknown group", as: "admin", method: "GET", path: "/v3/environment_variable_groups/x", status: 404},
		{name: "set by developer", as: "developer", method: "PATCH", path: "/v3/environment_variable_groups/running", body: `{"var":{"A":"1"}}`, status: 403},
	})
}

func TestIsolationSegments(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		return store.IsolationSegments.Put(tx, &store.IsolationSegment{Meta: store.Meta{GUID: "shared"}, Name: "shared"})
	})
	w.play([]row{
		{name: "create", as: "admin", method: "POST", path: "/v3/isolation_segments", body: `{"name":"seg"}`, status: 201, save: "seg"},
		{name: "taken", as: "admin", method: "POST", path: "/v3/isolation_segments", body: `{"name":"SEG"}`, status: 422, want: has("must be unique")},
		{name: "forbidden", as: "orgmanager", method: "POST", path: "/v3/isolation_segments", body: `{"name":"x"}`, status: 403},
		{name: "unseen", as: "orgmanager", method: "GET", path: "/v3/isolation_segments/{seg}", status: 404, want: has("Isolation segment not found")},
		{name: "entitle", as: "admin", method: "POST", path: "/v3/isolation_segments/{seg}/relationships/organizations", body: `{"data":[{"guid":"{org}"}]}`, status: 200, want: has(`"data":[{"guid":"{org}"}]`)},
		{name: "entitle nobody", as: "admin", method: "POST", path: "/v3/isolation_segments/{seg}/relationships/organizations", body: `{"data":[{"guid":"x"}]}`, status: 422},
		{name: "seen", as: "developer", method: "GET", path: "/v3/isolation_segments?names=seg", status: 200, want: has(`"total_results":1`)},
		{name: "orgs", as: "developer", method: "GET", path: "/v3/isolation_segments/{seg}/organizations", status: 200, want: has("{org}")},
		{name: "default", as: "orgmanager", method: "PATCH", path: "/v3/organizations/{org}/relationships/default_isolation_segment", body: `{"data":{"guid":"{seg}"}}`, status: 200, want: has(`"related"`)},
		{name: "default of others", as: "admin", method: "PATCH", path: "/v3/organizations/{otherOrg}/relationships/default_isolation_segment", body: `{"data":{"guid":"{seg}"}}`, status: 422, want: has("entitled")},
		{name: "space", as: "orgmanager", method: "PATCH", path: "/v3/spaces/{space}/relationships/isolation_segment", body: `{"data":{"guid":"{seg}"}}`, status: 200},
		{name: "spaces", as: "developer", method: "GET", path: "/v3/isolation_segments/{seg}/relationships/spaces", status: 200, want: has("{space}")},
		{name: "revoke in use", as: "admin", method: "DELETE", path: "/v3/isolation_segments/{seg}/relationships/organizations/{org}", status: 422},
		{name: "reset space", as: "orgmanager", method: "PATCH", path: "/v3/spaces/{space}/relationships/isolation_segment", body: `{"data":null}`, status: 200, want: has(`"data":null`)},
		{name: "reset default", as: "orgmanager", method: "PATCH", path: "/v3/organizations/{org}/relationships/default_isolation_segment", body: `{"data":null}`, status: 200},
		{name: "delete entitled", as: "admin", method: "DELETE", path: "/v3/isolation_segments/{seg}", status: 422, want: has("Revoke the Organization entitlements")},
		{name: "revoke", as: "admin", method: "DELETE", path: "/v3/isolation_segments/{seg}/relationships/organizations/{org}", status: 204},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/isolation_segments/{seg}", status: 204},
		{name: "delete shared", as: "admin", method: "DELETE", path: "/v3/isolation_segments/shared", status: 422},
	})
}

func TestSecurityGroups(t *testing.T) {
	w := newWorld(t)
	w.play([]row{
		{name: "create", as: "admin", method: "POST", path: "/v3/security_groups", status: 201, save: "g",
			body: `{"name":"g","rules":[{"protocol":"tcp","destination":"10.0.0.0/8,1.1.1.1-1.1.1.9","ports":"80,443,1000-2000"},{"protocol":"icmp","destination":"::1","type":-1,"code":0}]}`,
			want: has(`"globally_enabled":{"running":false,"staging":false}`, `"ports":"80,443,1000-2000"`, `"running_spaces":{"data":[]}`)},
		{name: "taken", as: "admin", method: "POST", path: "/v3/security_groups", body: `{"name":"g"}`, status: 422, want: has("Security group with name 'g' already exists.")},
		{name: "bad destination", as: "admin", method: "POST", path: "/v3/security_groups", body: `{"name":"x","rules":[{"protocol":"all","destination":"here"}]}`, status: 422, want: has("Rules[0]: destination 'here'")},
		{name: "bad ports", as: "admin", method: "POST", path: "/v3/security_groups", body: `{"name":"x","rules":[{"protocol":"tcp","destination":"1.1.1.1","ports":"9-1"}]}`, status: 422, want: has("ports")},
		{name: "bad protocol", as: "admin", method: "POST", path: "/v3/security_groups", body: `{"name":"x","rules":[{"protocol":"sctp","destination":"1.1.1.1"}]}`, status: 422, want: has("protocol")},
		{name: "unknown key", as: "admin", method: "POST", path: "/v3/security_groups", body: `{"name":"x","rules":[{"proto":"tcp"}]}`, status: 422, want: has("Unknown field")},
		{name: "forbidden", as: "orgmanager", method: "POST", path: "/v3/security_groups", body: `{"name":"x"}`, status: 403},
		{name: "unseen", as: "manager", method: "GET", path: "/v3/security_groups/{g}", status: 404, want: has("Security group not found")},
		{name: "bind", as: "admin", method: "POST", path: "/v3/security_groups/{g}/relationships/running_spaces", body: `{"data":[{"guid":"{space}"},{"guid":"{otherSpace}"}]}`, status: 200},
		{name: "bind unknown", as: "admin", method: "POST", path: "/v3/security_groups/{g}/relationships/staging_spaces", body: `{"data":[{"guid":"x"}]}`, status: 422, want: has("do not exist, or you do not have access")},
		{name: "seen, but not where else", as: "developer", method: "GET", path: "/v3/security_groups?running_space_guids={space}", status: 200, want: has(`"total_results":1`, "{space}"), not: "{otherSpace}"},
		{name: "of the space", as: "developer", method: "GET", path: "/v3/spaces/{space}/running_security_groups", status: 200, want: has(`"total_results":1`)},
		{name: "unbind by developer", as: "developer", method: "DELETE", path: "/v3/security_groups/{g}/relationships/running_spaces/{space}", status: 403},
		{name: "unbind", as: "manager", method: "DELETE", path: "/v3/security_groups/{g}/relationships/running_spaces/{space}", status: 204},
		{name: "unbind again", as: "admin", method: "DELETE", path: "/v3/security_groups/{g}/relationships/running_spaces/{space}", status: 422, want: has("Ensure the space is bound to this security group.")},
		{name: "for all", as: "admin", method: "PATCH", path: "/v3/security_groups/{g}", body: `{"globally_enabled":{"staging":true}}`, status: 200, want: has(`"staging":true`)},
		{name: "those for all", as: "nobody", method: "GET", path: "/v3/security_groups?globally_enabled_staging=true", status: 200, want: has(`"total_results":1`)},
		{name: "delete", as: "admin", method: "DELETE", path: "/v3/security_groups/{g}", status: 202},
	})
}

func TestServiceCollectionsAreEmpty(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"service_brokers", "service_offerings?names=x", "service_plans?available=true&include=service_offering&fields[service_offering.service_broker]=name,guid&per_page=5000",
		"service_instances?space_guids=x&order_by=name", "service_credential_bindings?type=app&include=service_instance", "service_route_bindings?route_guids=x&include=service_instance",
	} {
		w.as("developer", "GET", "/v3/"+path, nil).want(200, `"total_results":0`, `"resources":[]`)
		if strings.HasPrefix(path, "service_offerings") || strings.HasPrefix(path, "service_plans") { // the marketplace is public, unless it is hidden
			w.as("", "GET", "/v3/"+path, nil).want(200, `"resources":[]`)
			continue
		}
		w.as("", "GET", "/v3/"+path, nil).want(401)
	}
	w.as("admin", "PATCH", "/v3/feature_flags/hide_marketplace_from_unauthenticated_users", `{"enabled":true}`).want(200)
	w.as("", "GET", "/v3/service_plans", nil).want(401)
	w.as("developer", "GET", "/v3/service_plans", nil).want(200)
	w.as("developer", "GET", "/v3/service_instances?x=y", nil).want(400, "10005")
}

func TestAuditEvents(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		w.person(tx, "orgauditor", "organization_auditor", w.org, "")
		put := func(kind, target, org, space string) error {
			return store.AuditEvents.Put(tx, &store.AuditEvent{Type: kind, Target: store.Actor{GUID: target, Type: "app"}, OrgGUID: org, SpaceGUID: space, Data: []byte(`{"request":{"a":1}}`)})
		}
		return firstOf(put("audit.app.create", "a", w.org, w.space), put("audit.app.update", "a", w.org, w.space),
			put("audit.organization.update", "o", w.org, ""), put("audit.app.create", "b", w.otherOrg, w.otherSpace), put("audit.stack.create", "s", "", ""))
	})
	for _, c := range []struct {
		as, query string
		n         string
	}{
		{"admin", "", "5"}, {"readonly", "", "5"}, {"developer", "", "2"}, {"orgauditor", "", "3"}, {"stranger", "", "1"}, {"nobody", "", "0"}, {"orgmanager", "", "0"}, {"manager", "", "0"},
		{"developer", "?target_guids=a&order_by=-created_at&page=1", "2"}, {"developer", "?target_guids=b", "0"}, {"admin", "?types=audit.app.create", "2"},
		{"orgauditor", "?target_guids[not]=a", "1"}, {"admin", "?organization_guids=" + w.org, "3"}, {"admin", "?space_guids=" + w.otherSpace, "1"},
	} {
		w.as(c.as, "GET", "/v3/audit_events"+c.query, nil).want(200, `"total_results":`+c.n+`,`)
	}
	list := w.as("orgauditor", "GET", "/v3/audit_events?types=audit.organization.update", nil).want(200, `"space":null`, `"organization":{"guid":"`+w.org, `"data":{"request":{"a":1}}`)
	guid := list.str("resources", 0, "guid")
	w.as("orgauditor", "GET", "/v3/audit_events/"+guid, nil).want(200)
	w.as("developer", "GET", "/v3/audit_events/"+guid, nil).want(404, "Event not found")
}
