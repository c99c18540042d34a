package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const testURL = "https://api.example.com"

// world is a server over a store of its own with two orgs of one space each and somebody for each role.
type world struct {
	t      testing.TB
	db     *store.DB
	s      *Server
	people tokens
	log    *logBook
	dir    string  // of the store
	opts   Options // of the server

	org, space, otherOrg, otherSpace string
	domain                           string // a shared one: example.com
}

// tokens knows its callers by name: the token is the name.
type tokens map[string]*auth.Identity

func (k tokens) Authenticate(r *http.Request) (*auth.Identity, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "bearer ")
	if !ok {
		return nil, capi.NotAuthenticated.Errorf("Authentication error")
	}
	if who, ok := k[token]; ok {
		full := *who
		if !slices.ContainsFunc(who.Scopes, func(s string) bool { return strings.HasPrefix(s, "cloud_controller") }) {
			full.Scopes = append([]string{"cloud_controller.read", "cloud_controller.write"}, who.Scopes...) // what every user has
		}
		return &full, nil
	}
	return nil, capi.InvalidAuthToken.Errorf("Invalid Auth Token")
}

type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBook) Platform(appGUID, source, _, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, appGUID+" "+source+" "+line)
}

func (l *logBook) contains(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), part)
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(store.Options{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, log: &logBook{}, dir: dir, people: tokens{
		"admin":    {UserGUID: "admin-guid", Username: "admin", Scopes: []string{"cloud_controller.admin"}},
		"readonly": {UserGUID: "readonly-guid", Username: "readonly", Scopes: []string{"cloud_controller.admin_read_only"}},
		"nobody":   {UserGUID: "nobody-guid", Username: "nobody"},
	}}
	t.Cleanup(func() {
		if err := w.db.Check(); err != nil {
			t.Errorf("store: %v", err)
		}
		_ = w.db.Close()
	})
	w.seed()
	o := Options{DB: db, Auth: w.people, PublicURL: testURL, Logs: w.log, TempDir: t.TempDir()}
	testOptions(t, &o)
	for _, f := range change {
		f(&o)
	}
	w.s, w.opts = New(o), o
	return w
}

func (w *world) seed() {
	w.update(func(tx *store.Tx) error {
		org, other := &store.Org{Name: "org"}, &store.Org{Name: "other"}
		w.must(store.Orgs.Put(tx, org), store.Orgs.Put(tx, other))
		space, far := &store.Space{Name: "space", OrgGUID: org.GUID}, &store.Space{Name: "far", OrgGUID: other.GUID}
		domain := &store.Domain{Name: "example.com"}
		w.must(store.Spaces.Put(tx, space), store.Spaces.Put(tx, far), store.Domains.Put(tx, domain))
		w.must(store.Stacks.Put(tx, &store.Stack{Name: "cupola", Default: true, State: "ACTIVE"}))
		w.org, w.otherOrg, w.space, w.otherSpace, w.domain = org.GUID, other.GUID, space.GUID, far.GUID, domain.GUID
		for _, kind := range []string{"developer", "auditor", "manager", "supporter"} {
			w.person(tx, kind, "space_"+kind, w.org, w.space)
		}
		w.person(tx, "orgmanager", "organization_manager", w.org, "")
		w.person(tx, "stranger", "space_developer", w.otherOrg, w.otherSpace)
		return nil
	})
}

// person gives the caller called name a role.
func (w *world) person(tx *store.Tx, name, role, org, space string) {
	w.people[name] = &auth.Identity{UserGUID: name + "-guid", Username: name, Email: name + "@example.com"}
	w.must(store.Roles.Put(tx, &store.Role{Type: role, UserGUID: name + "-guid", OrgGUID: org, SpaceGUID: space}))
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(fn func(*store.Tx) error) {
	w.t.Helper()
	w.must(w.db.Update(fn))
}

func (w *world) view(fn func(*store.Tx) error) {
	w.t.Helper()
	w.must(w.db.View(fn))
}

// reply is an answer with its body decoded, if it is JSON.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	text   string
	body   map[string]any
}

// as makes a request with the token (none: the empty string) and a body: a string as it is, anything else as JSON.
func (w *world) as(token, method, path string, body any) *reply {
	w.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		w.must(err)
		in = bytes.NewReader(raw)
	}
	return w.send(token, httptest.NewRequest(method, path, in))
}

func (w *world) send(token string, r *http.Request) *reply {
	w.t.Helper()
	if token != "" {
		r.Header.Set("Authorization", "bearer "+token)
	}
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, r)
	w.checkSchema(r, rec)
	out := &reply{t: w.t, what: r.Method + " " + r.URL.String() + " as " + token, status: rec.Code, header: rec.Header(), text: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &out.body)
	return out
}

// want checks the status and that the answer has each of the fragments.
func (r *reply) want(status int, fragments ...string) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: status %d, want %d: %s", r.what, r.status, status, r.text)
	}
	for _, f := range fragments {
		if !strings.Contains(r.text, f) {
			r.t.Fatalf("%s: answer lacks %s: %s", r.what, f, r.text)
		}
	}
	return r
}

// at walks the answer by keys and indexes.
func (r *reply) at(keys ...any) any {
	r.t.Helper()
	var v any = r.body
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				r.t.Fatalf("%s: no element %d: %s", r.what, k, r.text)
			}
			v = l[k]
		}
	}
	return v
}

func (r *reply) str(keys ...any) string {
	r.t.Helper()
	s, _ := r.at(keys...).(string)
	return s
}

func (r *reply) count() int {
	l, _ := r.body["resources"].([]any)
	return len(l)
}

func (r *reply) guid() string { r.t.Helper(); return r.str("guid") }
