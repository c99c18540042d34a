package router

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

// running is a router under test with clients that reach it whatever name they ask for.
type running struct {
	*Router
	certs  *Certificates
	client *http.Client // HTTP/1.1 and, with TLS, HTTP/2; follows no redirect
	http1  *http.Client
	roots  *x509.CertPool
	stop   func() // ends Serve and waits for it; may be called twice

	mu     sync.Mutex
	access []Access
	logged chan struct{} // holds an element for each access
}

// start serves with both ports free ones, unless opts names them, and stops when the test ends.
func start(t testing.TB, opts Options, certOpts CertOptions) *running {
	t.Helper()
	r := &running{logged: make(chan struct{}, 10_000)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	if certOpts.Storage == nil {
		certOpts.Storage = &certmagic.FileStorage{Path: t.TempDir()}
	}
	if certOpts.Logger == nil {
		certOpts.Logger = quiet
	}
	if certOpts.Allowed == nil {
		certOpts.Allowed = func(string) bool { return true }
	}
	var err error
	if r.certs, err = NewCertificates(certOpts); err != nil {
		t.Fatal(err)
	}
	if opts.HTTPAddr == "" {
		opts.HTTPAddr = "127.0.0.1:0"
	}
	if opts.HTTPSAddr == "" {
		opts.HTTPSAddr = "127.0.0.1:0"
	}
	opts.Certificates = r.certs
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	if opts.AccessLog == nil {
		opts.AccessLog = r.record
	}
	if r.Router, err = New(opts); err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.serve(t)
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(r.certs.CAPEM())
	r.client, r.http1 = r.newClient(t, true), r.newClient(t, false)
	return r
}

func (r *running) serve(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if err := r.certs.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	t.Cleanup(r.stop)
}

func (r *running) newClient(t testing.TB, h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{
		DialContext:         r.dialContext,
		TLSClientConfig:     &tls.Config{RootCAs: r.roots},
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// dialContext connects to the router: port 443 is its HTTPS port, every other its HTTP port.
func (r *running) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to := r.HTTPAddr()
	if strings.HasSuffix(addr, ":443") {
		to = r.HTTPSAddr()
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

func (r *running) record(a Access) {
	r.mu.Lock()
	r.access = append(r.access, a)
	r.mu.Unlock()
	r.logged <- struct{}{}
}

// nextAccess waits for a line of the access log and returns the latest.
func (r *running) nextAccess(t testing.TB) Access {
	t.Helper()
	select {
	case <-r.logged:
	case <-t.Context().Done():
		t.Fatal("no access was logged")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.access[len(r.access)-1]
}

func (r *running) set(t testing.TB, routes ...Route) {
	t.Helper()
	if err := r.SetTable(Table{Routes: routes}); err != nil {
		t.Fatal(err)
	}
}

// app starts a backend and returns the endpoint for it.
func app(t testing.TB, id string, h http.HandlerFunc) Endpoint {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelDebug)
	s.Start()
	t.Cleanup(s.Close)
	return Endpoint{Address: s.Listener.Addr().String(), InstanceID: id, AppGUID: "app", ProcessGUID: "proc"}
}

// deadEndpoint is an address that refuses connections.
func deadEndpoint(t testing.TB, id string) Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return Endpoint{Address: ln.Addr().String(), InstanceID: id, AppGUID: "app", ProcessGUID: "proc"}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// get returns the response with its body read.
func (r *running) get(t testing.TB, url string, header ...string) (*http.Response, string) {
	t.Helper()
	return r.do(t, http.MethodGet, url, nil, header...)
}

func (r *running) do(t testing.TB, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return res, string(text)
}

func TestServeApp(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", AppGUID: "app", Endpoints: []Endpoint{app(t, "i0", say("hello"))}})
	for _, url := range []string{"http://a.example.com/", "https://a.example.com/", "http://A.Example.com.:8080/"} {
		res, text := r.get(t, url)
		if res.StatusCode != 200 || text != "hello" {
			t.Errorf("GET %s = %d %q, want 200 hello", url, res.StatusCode, text)
		}
		if id := res.Header.Get("X-Vcap-Request-Id"); len(id) != 36 {
			t.Errorf("GET %s: X-Vcap-Request-Id = %q, want a UUID", url, id)
		}
	}
	if res, _ := r.get(t, "https://a.example.com/"); res.ProtoMajor != 2 {
		t.Errorf("protocol = %s, want HTTP/2.0", res.Proto)
	}
}

func TestUnknownRouteIsAlwaysTheSame(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i0", say("hello"))
	never := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\nX-Request-Id: x\r\n\r\n")
	if !strings.Contains(never, "404 Not Found: Requested route ('a.example.com') does not exist.") ||
		!strings.Contains(never, "X-Cf-Routererror: unknown_route") {
		t.Fatalf("unknown route: %s", never)
	}
	for _, routes := range [][]Route{
		{{Host: "a.example.com", Endpoints: []Endpoint{e}}}, // running
		{{Host: "a.example.com", AppGUID: "app"}},           // stopped
		{}, // deleted
		{{Host: "a.example.com", Path: "/x", Endpoints: []Endpoint{e}}},
	} {
		r.set(t, routes...)
		got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\nX-Request-Id: x\r\n\r\n")
		if len(routes) > 0 && len(routes[0].Endpoints) > 0 && routes[0].Path == "" {
			if !strings.Contains(got, "hello") {
				t.Errorf("running app: %s", got)
			}
			continue
		}
		if withoutDate(got) != withoutDate(never) {
			t.Errorf("table %+v:\n%s\nwant the same as for a route that never was:\n%s", routes, got, never)
		}
	}
}

func withoutDate(response string) string {
	var kept []string
	for line := range strings.SplitSeq(response, "\r\n") {
		if !strings.HasPrefix(line, "Date: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}

// raw sends bytes to the HTTP port and returns all that comes back until the connection is closed.
func (r *running) raw(t testing.TB, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", r.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(c) // a reset ends it too
	return string(got)
}

func TestNoEndpoints503(t *testing.T) {
	r := start(t, Options{NoEndpoints503: true}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", AppGUID: "app"})
	res, text := r.get(t, "http://a.example.com/")
	if res.StatusCode != 503 || res.Header.Get(headerRouterError) != "no_endpoints" || !strings.Contains(text, "a.example.com") {
		t.Errorf("got %d %q %q", res.StatusCode, res.Header.Get(headerRouterError), text)
	}
}

func TestHandlerRoute(t *testing.T) {
	r := start(t, Options{RedirectHTTP: true}, CertOptions{})
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.Header.Get("X-Forwarded-Proto")+" "+r.Header.Get("X-Vcap-Request-Id"))
	})
	r.set(t, Route{Host: "api.example.com", Handler: echo},
		Route{Host: "api.example.com", Path: "/ca.pem", Handler: echo, AllowHTTP: true})
	if _, text := r.get(t, "https://api.example.com/", "X-Vcap-Request-Id", "abc", "X-Forwarded-Proto", "lies"); text != "HTTP/2.0 https abc" {
		t.Errorf("handler saw %q", text)
	}
	if _, text := r.get(t, "http://api.example.com/ca.pem", "X-Vcap-Request-Id", "abc"); text != "HTTP/1.1 http abc" {
		t.Errorf("handler saw %q", text)
	}
	res, _ := r.get(t, "http://api.example.com/v3?x=%20y")
	_, port, _ := net.SplitHostPort(r.HTTPSAddr())
	if want := "https://api.example.com:" + port + "/v3?x=%20y"; res.StatusCode != 301 || res.Header.Get("Location") != want {
		t.Errorf("redirect = %d %q, want 301 %q", res.StatusCode, res.Header.Get("Location"), want)
	}
	if res, _ := r.do(t, "POST", "http://api.example.com/v3", strings.NewReader("x")); res.StatusCode != 308 {
		t.Errorf("POST redirect = %d, want 308", res.StatusCode)
	}
	if res, _ := r.get(t, "http://typo.example.com/"); res.StatusCode != 404 {
		t.Errorf("unknown host = %d, want 404", res.StatusCode)
	}
}

func TestHandlerPanicIsContained(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "api.example.com", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })},
		Route{Host: "b.example.com", Handler: say("fine")})
	if res, err := r.client.Get("http://api.example.com/"); err == nil {
		t.Errorf("a panic was answered with %d", res.StatusCode)
	}
	if _, text := r.get(t, "http://b.example.com/"); text != "fine" {
		t.Errorf("after the panic: %q", text)
	}
	if s := r.Stats(); s.ByClass[5] != 1 || s.InFlight != 0 {
		t.Errorf("stats after a panic: %+v", s)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ addr, want string }{
		{taken.Addr().String(), "HTTP port " + taken.Addr().String() + " is in use"},
		{"nonsense", `HTTP address "nonsense" cannot be listened on`},
	} {
		r, err := New(Options{HTTPAddr: c.addr})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Listen(%s) = %v, want %q", c.addr, err, c.want)
		}
	}
	for _, o := range []Options{{}, {HTTPSAddr: ":0"}, {HTTPAddr: ":0", RedirectHTTP: true}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) = nil error", o)
		}
	}
	r, _ := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err := r.Serve(t.Context()); err == nil {
		t.Error("Serve without Listen = nil")
	}
}

// TestListenAlso: the router answers on a second address of the machine as on its first.
func TestListenAlso(t *testing.T) {
	e := app(t, "i", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	r, err := New(Options{HTTPAddr: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetTable(Table{Routes: []Route{{Host: "a.example.com", Endpoints: []Endpoint{e}}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		if err := r.ListenAlso(t.Context(), netip.MustParseAddr(address)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.also); n != 1 {
		t.Errorf("it listens on %d more addresses, want 1", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	_, port, _ := net.SplitHostPort(r.HTTPAddr())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.2:"+port+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "a.example.com"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("on the second address it answers %d", res.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", "127.0.0.2:"+port); err == nil {
		c.Close()
		t.Error("the second address is open after the end")
	}
}
