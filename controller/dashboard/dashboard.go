// Package dashboard is the web page of the platform. It is a client of the API like any other: all that it
// shows and does goes through capi.Client with the token of whoever is signed in, so that nobody can do more
// here than from a command line. It keeps sessions in memory and nothing else.
//
// A page is read from the API, put into a template and sent. While it is open, the same reading and the same template
// run again every other second, and the parts that changed go to the browser as server-sent events (live.go). It works
// without script too: pages, forms, menus and confirmations are HTML. Nothing is ever fetched from another host.
package dashboard

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

const (
	// formBytes is the most that a form may send.
	formBytes = 64 << 10
	// uploadBytes is the most that a push from the browser may send; the API has its own limit below it.
	uploadBytes = 2 << 30
)

// Options say what a dashboard stands on. URL, APIURL and LoginURL are needed, and a way to reach them: Hosts or HTTP.
type Options struct {
	// URL is the dashboard's own public origin, https://dashboard.DOMAIN[:port]. Its port is that of the apps' routes
	// too. Cookies are for TLS alone unless it begins with http: (tests, development).
	URL string
	// APIURL and LoginURL are the public origins of the API and of the authorization server, where browsers sign in.
	APIURL, LoginURL string
	// ClientID is the dashboard's OAuth2 client at the authorization server.
	ClientID string
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
	loginURL string
	clientID string
	policy   string
	secure   bool // cookies, and no service without TLS
	http     *http.Client
	now      func() time.Time
	log      *slog.Logger
	sessions *sessions
	assets   *assets
	pages    map[string]*template.Template
	charts   charts
	handler  http.Handler

	ending context.Context // ends with Run: open streams do then
	end    context.CancelFunc
	pushes sync.WaitGroup

	pushRoom   chan struct{} // as many as may go on, other work of later among them
	uploadRoom chan struct{} // as many as there may be at a time
	uploadsOf  sync.Map      // by user: a channel with room for as many as one may have at a time
}

// New makes a dashboard.
func New(o Options) (*Dashboard, error) {
	own, err := url.Parse(o.URL)
	if err != nil || own.Host == "" {
		return nil, errors.New("the dashboard needs its own address, such as https://dashboard.example.com")
	}
	if o.APIURL == "" || o.LoginURL == "" || o.ClientID == "" {
		return nil, errors.New("the dashboard needs the addresses of the API and of the login server, and a client there")
	}
	if o.HTTP == nil && len(o.Hosts) == 0 {
		return nil, errors.New("the dashboard needs a way to the API: give its handlers or an HTTP client")
	}
	d := &Dashboard{
		url: own, apiURL: o.APIURL, loginURL: strings.TrimRight(o.LoginURL, "/"), clientID: o.ClientID, secure: own.Scheme != "http",
		http: o.HTTP, now: o.Clock, log: cmp.Or(o.Log, slog.Default()), policy: contentPolicy(o.LoginURL),
		pushRoom: make(chan struct{}, pushesAtOnce), uploadRoom: make(chan struct{}, uploadsAtOnce),
	}
	d.ending, d.end = context.WithCancel(context.Background())
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

// Run waits for ctx to end, then ends the streams of open pages, which the router would wait for, and the pushes that
// were begun in browsers. It returns when none is left.
func (d *Dashboard) Run(ctx context.Context) error {
	<-ctx.Done()
	d.end()
	d.pushes.Wait()
	return nil
}

// readers are the pages, writers what their forms and buttons do. Tests walk both tables.
func (d *Dashboard) readers() map[string]reader {
	all := map[string]reader{}
	for _, some := range []map[string]reader{
		d.overviewPages(), d.appPages(), d.tenantPages(), d.routePages(), d.buildPages(), d.platformPages(), d.pushPages(), d.servicePages(), d.mapPages(),
		d.nodePages(), d.quotaPages(),
	} {
		for pattern, p := range some {
			all[pattern] = p
		}
	}
	return all
}

func (d *Dashboard) writers() map[string]writer {
	all := map[string]writer{}
	for _, some := range []map[string]writer{
		d.appActions(), d.tenantActions(), d.routeActions(), d.buildActions(), d.platformActions(), d.serviceActions(), d.nodeActions(), d.quotaActions(),
	} {
		for pattern, a := range some {
			all[pattern] = a
		}
	}
	return all
}

func (d *Dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{file}", d.assets)
	mux.HandleFunc("GET /sign-in", d.toLogin)
	mux.HandleFunc("GET /sign-in/callback", d.callback)
	mux.HandleFunc("GET /signed-out", d.signedOut)
	for pattern, p := range d.readers() {
		mux.Handle("GET "+pattern, d.signedIn(d.shows(p)))
	}
	for pattern, a := range d.writers() {
		mux.Handle("POST "+pattern, d.signedIn(d.does(a)))
	}
	mux.Handle("GET /apps/{guid}/logs/stream", d.signedIn(d.streamLogs))
	mux.Handle("POST /push", d.signedIn(d.push))
	mux.Handle("POST /sign-out", d.signedIn(d.signOut))
	mux.Handle("POST /sign-out-everywhere", d.signedIn(d.signOutEverywhere))
	mux.Handle("/", d.signedIn(func(http.ResponseWriter, *http.Request, *session) error { return errNoPage }))
	return mux
}

// contentPolicy lets nothing run, load or be sent but what comes from here; app names and log lines are
// hostile, and html/template is the first line against them, this the second. Forms may lead to the login page,
// because a session that has ended meanwhile does.
func contentPolicy(login string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self' " + origin(login) +
		"; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// ServeHTTP serves a page of the dashboard.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", d.policy)
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
	limit := int64(formBytes)
	if r.URL.Path == "/push" {
		limit = uploadBytes
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
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
