// Package dashboard is the web page of the platform. It is a client of the API like any other: all that it
// shows and does goes through capi.Client with the token of whoever is signed in, so that nobody can do more
// here than from a command line. It keeps sessions in memory and nothing else.
//
// It works without script; with it, logs and instances keep themselves fresh. Nothing is ever fetched from
// another host.
package dashboard

import (
	"cmp"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// formBytes is the most that a form may send.
const formBytes = 64 << 10

// Options say what a dashboard stands on. APIURL is needed, and a way to reach it: Hosts or HTTP.
type Options struct {
	// URL is the dashboard's own public origin, https://dashboard.DOMAIN[:port]. Its port is that of the apps' routes
	// too. Cookies are for TLS alone unless it begins with http: (tests, development).
	URL string
	// APIURL is the public origin of the API.
	APIURL string
	// Hosts are the handlers of the API and of the services that its root names (login, log-cache), by host name
	// without port. They are called within the process. Nil: HTTP is used.
	Hosts map[string]http.Handler
	HTTP  *http.Client     // nil: one that speaks to Hosts
	Clock func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default
}

// Dashboard is the handler. It may serve several requests at once.
type Dashboard struct {
	url      *url.URL
	apiURL   string
	secure   bool // cookies, and no service without TLS
	http     *http.Client
	now      func() time.Time
	log      *slog.Logger
	sessions *sessions
	assets   *assets
	pages    map[string]*template.Template
	handler  http.Handler
}

// New makes a dashboard.
func New(o Options) (*Dashboard, error) {
	own, err := url.Parse(o.URL)
	if err != nil || own.Host == "" {
		return nil, errors.New("the dashboard needs its own address, such as https://dashboard.example.com")
	}
	if o.HTTP == nil && len(o.Hosts) == 0 {
		return nil, errors.New("the dashboard needs a way to the API: give its handlers or an HTTP client")
	}
	d := &Dashboard{
		url: own, apiURL: o.APIURL, secure: own.Scheme != "http", http: o.HTTP, now: o.Clock, log: cmp.Or(o.Log, slog.Default()),
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.http == nil {
		d.http = &http.Client{Transport: &inProcess{hosts: o.Hosts, log: d.log}}
	}
	d.sessions = newSessions(d.now)
	if d.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if d.pages, err = d.templates(); err != nil {
		return nil, err
	}
	d.handler = d.routes()
	return d, nil
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{file}", d.assets)
	mux.HandleFunc("GET /sign-in", d.showSignIn)
	mux.HandleFunc("POST /sign-in", d.signIn)
	for pattern, h := range map[string]page{
		"GET /{$}":                   d.overview,
		"GET /routes":                d.routesPage,
		"GET /buildpacks":            d.buildpacksPage,
		"GET /apps/{guid}":           d.appPage,
		"GET /apps/{guid}/live":      d.live,
		"POST /apps/{guid}/env":      d.revealEnv,
		"POST /apps/{guid}/{action}": d.act,
		"POST /sign-out":             d.signOut,
		"/":                          d.nothingHere,
	} {
		mux.Handle(pattern, d.signedIn(h))
	}
	return mux
}

// contentPolicy lets nothing run, load or be sent but what comes from here; app names and log lines are
// hostile, and html/template is the first line against them, this the second.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP serves a page of the dashboard.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would have browsers send forms with Origin: null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	defer d.recovered(w, r)
	if d.secure && r.TLS == nil {
		d.toTLS(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	d.handler.ServeHTTP(w, r.WithContext(withCaller(r.Context(), r)))
}

func (d *Dashboard) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	d.log.Error("dashboard panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	http.Error(w, "The dashboard made a mistake, which is in the server's log.", http.StatusInternalServerError)
}

// toTLS sends readers to the same page with TLS; what a form sent without it is not taken.
func (d *Dashboard) toTLS(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "This address is served over HTTPS only.", http.StatusUpgradeRequired)
		return
	}
	http.Redirect(w, r, d.url.Scheme+"://"+d.url.Host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
}

// guidGrammar keeps what the address bar holds from becoming another path of the API.
var guidGrammar = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// routeURL is where a route's URL, such as shop.example.com/api, is reached with a browser.
func (d *Dashboard) routeURL(protocol, address string) string {
	if protocol == "tcp" || strings.HasPrefix(address, "*") {
		return ""
	}
	host, path, _ := strings.Cut(address, "/")
	if port := d.url.Port(); port != "" {
		host += ":" + port
	}
	u := url.URL{Scheme: d.url.Scheme, Host: host, Path: "/" + path}
	return u.String()
}
