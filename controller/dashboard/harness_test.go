package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// hostile stands in every name and line that somebody else may choose.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`

// world is a dashboard before the real API, authorization server and logs, with a browser before it.
type world struct {
	t         testing.TB
	db        *store.DB
	logs      *logs.Store
	dashboard *Dashboard
	clock     *clock
	srv       *httptest.Server
	browser   *http.Client
	hosts     map[string]http.Handler
	cluster   *cluster
	evil      atomic.Value // what the site evil.example.com shows

	org, space, domain, offering string
	calls                        atomic.Pointer[api.ServiceMap] // nil: nobody calls anybody
}

// clock can be put forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, cluster: newCluster()}
	var err error
	w.db, err = store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	w.must(err)
	w.logs, err = logs.Open(logs.Options{Dir: t.TempDir()})
	w.must(err)
	blobs, err := store.OpenBlobs(t.TempDir())
	w.must(err)
	uaa, err := auth.New(auth.Options{DB: w.db, UAAURL: "https://uaa.example.com", LoginURL: "https://login.example.com", DashboardURL: "https://dashboard.example.com"})
	w.must(err)
	_, err = uaa.EnsureAdmin("admin", "secret")
	w.must(err)
	cc := api.New(api.Options{
		DB: w.db, Auth: uaa, Blobs: blobs, PublicURL: "https://api.example.com", TempDir: t.TempDir(),
		Links: api.Links{Login: "https://login.example.com", UAA: "https://uaa.example.com", LogCache: "https://log-cache.example.com"},
		Map: func(place func(string) (string, bool)) capi.ServiceMap {
			if calls := w.calls.Load(); calls != nil {
				return (*calls)(place)
			}
			return capi.ServiceMap{}
		},
		Nodes: w.cluster, Engines: w.cluster, Disks: w.cluster, Certificates: w.cluster, Data: &vault{w}, Said: w.said,
		Rebase: func(context.Context, string, string, string) (string, error) {
			return "sha256:" + strings.Repeat("b", 64), nil
		},
	})
	w.seed()
	w.hosts = map[string]http.Handler{
		"api.example.com": cc, "login.example.com": uaa.Handler(), "uaa.example.com": uaa.Handler(),
		"log-cache.example.com": w.logs.Handler(cc.LogAccess()),
	}
	w.serve(Options{Hosts: w.hosts})
	t.Cleanup(func() {
		uaa.Close()
		w.must(w.logs.Close(), w.db.Close())
	})
	return w
}

// serve puts a dashboard up, at its real name and with TLS, so that browsers' rules for cookies apply.
func (w *world) serve(o Options) {
	w.t.Helper()
	o.URL, o.APIURL, o.LoginURL, o.ClientID = "https://dashboard.example.com", "https://api.example.com", "https://login.example.com", auth.DashboardClient
	o.Clock = w.clock.now
	o.Log = slog.New(slog.DiscardHandler)
	d, err := New(o)
	w.must(err)
	login := w.hosts["login.example.com"]
	w.dashboard = d
	w.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "login.") {
			login.ServeHTTP(rw, r)
			return
		}
		if strings.HasPrefix(r.Host, "evil.") {
			w.evilSite(rw)
			return
		}
		d.ServeHTTP(rw, r)
	}))
	w.srv.Config.ErrorLog = log.New(io.Discard, "", 0) // broken handshakes of a browser's first guesses
	w.srv.StartTLS()
	w.t.Cleanup(w.srv.Close)
	w.t.Cleanup(d.end)
	w.browser = w.newBrowser()
}

func (w *world) newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	w.must(err)
	return &http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the test's own server
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.srv.Listener.Addr().String())
		},
	}}
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) seed() {
	w.must(w.db.Update(func(tx *store.Tx) error {
		org := &store.Org{Name: "acme"}
		domain := &store.Domain{Name: "example.com"}
		stack := &store.Stack{Name: "cupola", Default: true, State: "ACTIVE"}
		w.must(store.Orgs.Put(tx, org), store.Domains.Put(tx, domain), store.Stacks.Put(tx, stack))
		space := &store.Space{Name: "dev", OrgGUID: org.GUID}
		w.must(store.Spaces.Put(tx, space))
		w.org, w.space, w.domain = org.GUID, space.GUID, domain.GUID
		return nil
	}))
}

// app makes an app with a web process of n instances, the first up of them running, and a route.
func (w *world) app(name string, n, up int, env map[string]string) string {
	w.t.Helper()
	var guid string
	w.must(w.db.Update(func(tx *store.Tx) error {
		a := &store.App{Name: name, SpaceGUID: w.space, State: store.AppStarted, Environment: env, Lifecycle: store.Lifecycle{Type: "buildpack", Stack: "cupola"}}
		w.must(store.Apps.Put(tx, a))
		guid = a.GUID
		p := &store.Process{
			AppGUID: guid, SpaceGUID: w.space, Type: "web", Instances: n, MemoryMB: 256, DiskMB: 1024, Version: "v1",
			HealthCheck: store.HealthCheck{Type: "port"}, ReadinessCheck: store.HealthCheck{Type: "process"},
		}
		w.must(store.Processes.Put(tx, p))
		for i := range n {
			one := &store.Instance{AppGUID: guid, ProcessGUID: p.GUID, ProcessType: "web", Version: "v1", Index: i, MemoryMB: 256, DiskMB: 1024, Since: tx.Now, StartedAt: tx.Now}
			if one.State, one.Routable = store.InstanceRunning, true; i >= up {
				one.State, one.Routable, one.Details = store.InstanceCrashed, false, "exited with status 1 "+hostile
			}
			w.must(store.Instances.Put(tx, one))
		}
		return store.Routes.Put(tx, &store.Route{
			Host: fmt.Sprintf("r%s", guid[:8]), DomainGUID: w.domain, SpaceGUID: w.space,
			Destinations: []store.Destination{{GUID: guid, AppGUID: guid, ProcessType: "web"}},
		})
	}))
	return guid
}

func (w *world) say(app, line string) {
	w.must(w.logs.Append(logs.Envelope{SourceID: app, InstanceID: "0", Payload: []byte(line), Tags: map[string]string{"source_type": "APP/PROC/WEB"}}))
}

// shown is a page as the browser got it.
type shown struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	path   string // after redirects
	text   string
}

func (w *world) do(r *http.Request) *shown {
	w.t.Helper()
	resp, err := w.browser.Do(r)
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return &shown{w.t, r.Method + " " + r.URL.Path, resp.StatusCode, resp.Header, resp.Request.URL.RequestURI(), string(text)}
}

func (w *world) get(path string) *shown {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://dashboard.example.com"+path, nil)
	w.must(err)
	return w.do(r)
}

func (w *world) post(path string, form url.Values, header ...string) *shown {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://dashboard.example.com"+path, strings.NewReader(form.Encode()))
	w.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return w.do(r)
}

// want checks the status and that the page's text has each of the fragments.
func (s *shown) want(status int, fragments ...string) *shown {
	s.t.Helper()
	if s.status != status {
		s.t.Fatalf("%s: status %d, want %d: %s", s.what, s.status, status, s.text)
	}
	for _, f := range fragments {
		if !strings.Contains(html.UnescapeString(s.text), f) {
			s.t.Errorf("%s: page lacks %q: %s", s.what, f, s.text)
		}
	}
	return s
}

func (s *shown) lacks(fragments ...string) *shown {
	s.t.Helper()
	for _, f := range fragments {
		if strings.Contains(s.text, f) {
			s.t.Errorf("%s: page has %q: %s", s.what, f, s.text)
		}
	}
	return s
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token of the page's forms.
func (s *shown) csrf() string {
	s.t.Helper()
	found := csrfField.FindStringSubmatch(s.text)
	if found == nil {
		s.t.Fatalf("%s: no form token: %s", s.what, s.text)
	}
	return html.UnescapeString(found[1])
}

// loginField finds the hidden fields of the login page.
var loginField = regexp.MustCompile(`name="(X-Uaa-Csrf|next)" value="([^"]*)"`)

// signIn goes to a page, types the password at the login server, and comes back.
func (w *world) signIn(user, password, to string) *shown {
	w.t.Helper()
	if to == "" {
		to = "/"
	}
	page := w.get(to)
	form := url.Values{"username": {user}, "password": {password}}
	for _, f := range loginField.FindAllStringSubmatch(page.text, -1) {
		form.Set(f[1], html.UnescapeString(f[2]))
	}
	r, err := http.NewRequest(http.MethodPost, "https://login.example.com/login.do", strings.NewReader(form.Encode()))
	w.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(r)
}
