package router

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of callers, whose names are in the subject: app, space, org.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "callers"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// of makes the certificate of a caller; use is what it may be used for.
func (a *authority) of(t testing.TB, who Identity, use x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: who.App, Locality: []string{who.Space}, Organization: []string{who.Org}}, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) identity() ClientIdentity {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return ClientIdentity{
		Roots: func() *x509.CertPool { return pool },
		Identify: func(c *x509.Certificate) (Identity, bool) {
			if len(c.Subject.Locality) != 1 || len(c.Subject.Organization) != 1 {
				return Identity{}, false
			}
			return Identity{App: c.Subject.CommonName, Space: c.Subject.Locality[0], Org: c.Subject.Organization[0]}, true
		},
	}
}

// as is a client of r that shows the certificates; each has connections of its own.
func (r *running) as(t testing.TB, h2 bool, certs ...tls.Certificate) *http.Client {
	c := r.newClient(t, h2)
	c.Transport.(*http.Transport).TLSClientConfig.Certificates = certs
	return c
}

func answer(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = []string{header[i+1]}
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// TestWhoIsAllowed is every kind of source within every scope, for a caller of the route's space, of its org, and of
// another.
func TestWhoIsAllowed(t *testing.T) {
	here, sibling, foreign := Identity{"here", "s1", "o1"}, Identity{"sibling", "s2", "o1"}, Identity{"foreign", "s3", "o2"}
	everybody := []Identity{here, sibling, foreign}
	named := func(kind SourceKind, of func(Identity) string) (all []Source) {
		for _, c := range everybody {
			all = append(all, Source{kind, of(c)})
		}
		return all
	}
	for _, scope := range []struct {
		name   string
		admits Admission
		within []Identity
	}{
		{"any", Admission{}, everybody},
		{"org", Admission{Org: "o1"}, []Identity{here, sibling}},
		{"space", Admission{Space: "s1"}, []Identity{here}},
	} {
		for _, tt := range []struct {
			name    string
			sources []Source
			allowed []Identity
		}{
			{"none", nil, nil},
			{"any", []Source{{AnyApp, ""}}, everybody},
			{"one app", []Source{{App, "here"}}, []Identity{here}},
			{"all apps", named(App, func(c Identity) string { return c.App }), everybody},
			{"one space", []Source{{Space, "s2"}}, []Identity{sibling}},
			{"all spaces", named(Space, func(c Identity) string { return c.Space }), everybody},
			{"one org", []Source{{Org, "o1"}}, []Identity{here, sibling}},
			{"all orgs", named(Org, func(c Identity) string { return c.Org }), everybody},
			{"a space's GUID as an app's", []Source{{App, "s1"}, {Org, "here"}}, nil},
		} {
			c := scope.admits
			c.Sources = tt.sources
			ready := newAdmission(&c)
			for _, who := range everybody {
				want := has(scope.within, who) && has(tt.allowed, who)
				if got := ready.allows(who); got != want {
					t.Errorf("scope %s, sources %s: %s is allowed: %t, want %t", scope.name, tt.name, who.App, got, want)
				}
			}
			if ready.allows(Identity{}) {
				t.Errorf("scope %s, sources %s: nobody is allowed", scope.name, tt.name)
			}
		}
	}
	if !(*admission)(nil).allows(Identity{}) {
		t.Error("a route of everybody is kept from somebody")
	}
}

func has(all []Identity, who Identity) bool {
	for _, c := range all {
		if c == who {
			return true
		}
	}
	return false
}

func TestAdmission(t *testing.T) {
	ca := newAuthority(t)
	r := start(t, Options{Clients: ca.identity(), RedirectHTTP: true}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Join(r.Header.Values(headerClientCert), ","))
	})
	guarded := func(sources ...Source) Route {
		return Route{Host: "backend.identity", Endpoints: []Endpoint{e}, Admits: &Admission{Org: "o1", Sources: sources}}
	}
	plain := Route{Host: "open.example.com", Endpoints: []Endpoint{e}}
	r.set(t, guarded(Source{App, "front"}), plain, Route{Host: "*.wild.identity", Endpoints: []Endpoint{e}, Admits: &Admission{Sources: []Source{{AnyApp, ""}}}})
	front, other := ca.of(t, Identity{"front", "s1", "o1"}, x509.ExtKeyUsageClientAuth), ca.of(t, Identity{"other", "s1", "o1"}, x509.ExtKeyUsageClientAuth)
	told := base64.StdEncoding.EncodeToString(front.Certificate[0])
	const url = "https://backend.identity/x"
	for _, h2 := range []bool{false, true} {
		c := r.as(t, h2, front)
		if res, body := answer(t, c, url, headerClientCert, "forged", "X-Forwarded_Client-Cert", "forged"); res.StatusCode != 200 || body != told {
			t.Errorf("the allowed app gets %d, and the app is told %q of it", res.StatusCode, body)
		}
		if a := r.nextAccess(t); a.Caller != (Identity{"front", "s1", "o1"}) {
			t.Errorf("the caller in the access log is %v", a.Caller)
		}
		if res, body := answer(t, r.as(t, h2, other), url); res.StatusCode != 403 || res.Header.Get(headerRouterError) != errCallerDenied || !strings.Contains(body, "no policy that allows app other") {
			t.Errorf("another app gets %d %q %v", res.StatusCode, body, res.Header)
		}
		r.nextAccess(t)
		if res, body := answer(t, r.as(t, h2), url, headerClientCert, told); res.StatusCode != 403 || res.Header.Get(headerRouterError) != errCallerDenied {
			t.Errorf("who shows nothing gets %d %q", res.StatusCode, body)
		}
		r.nextAccess(t)
		if res, _ := answer(t, r.as(t, h2, other), "https://a.wild.identity/"); res.StatusCode != 200 {
			t.Errorf("below a wildcard that is any app's an app gets %d", res.StatusCode)
		}
		r.nextAccess(t)
		if res, body := answer(t, r.as(t, h2, front), "https://open.example.com/", headerClientCert, "forged"); res.StatusCode != 200 || body != "" {
			t.Errorf("a route of everybody answers %d, and its app is told of %q", res.StatusCode, body)
		}
		r.nextAccess(t)

		// A policy that goes takes effect on connections that are open.
		if err := r.Change(Change{Set: []Route{guarded(Source{App, "other"})}}); err != nil {
			t.Fatal(err)
		}
		if res, _ := answer(t, c, url); res.StatusCode != 403 {
			t.Errorf("the app whose policy is gone gets %d", res.StatusCode)
		}
		r.nextAccess(t)
		if err := r.Change(Change{Set: []Route{guarded(Source{App, "front"})}}); err != nil {
			t.Fatal(err)
		}
		if res, _ := answer(t, c, url); res.StatusCode != 200 {
			t.Errorf("the app whose policy is back gets %d", res.StatusCode)
		}
		r.nextAccess(t)
	}
	if res, body := answer(t, r.client, "http://backend.identity/x"); res.StatusCode != 403 || !strings.Contains(body, "takes HTTPS") {
		t.Errorf("without TLS: %d %q", res.StatusCode, body)
	}
	if res, _ := answer(t, r.client, "http://open.example.com/x"); res.StatusCode != 301 {
		t.Errorf("a route of everybody is not redirected, but %d", res.StatusCode)
	}
	r.set(t, plain)
	if r.lookup.Load().guarded != 0 {
		t.Error("a table without guarded routes counts some")
	}
}

// TestConnectionForAnotherName: a request for a guarded route on a connection that was made for another name, which
// browsers and HTTP/2 clients do, is told to make one of its own.
func TestConnectionForAnotherName(t *testing.T) {
	ca := newAuthority(t)
	r := start(t, Options{Clients: ca.identity()}, CertOptions{})
	e := app(t, "i", func(http.ResponseWriter, *http.Request) {})
	r.set(t, Route{Host: "open.example.com", Endpoints: []Endpoint{e}}, Route{Host: "backend.identity", Endpoints: []Endpoint{e}, Admits: &Admission{Sources: []Source{{AnyApp, ""}}}})
	c := r.as(t, true, ca.of(t, Identity{"a", "s", "o"}, x509.ExtKeyUsageClientAuth))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://open.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "backend.identity"
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest || res.Header.Get(headerRouterError) != errMisdirected {
		t.Errorf("answer = %d %v", res.StatusCode, res.Header)
	}
}

// TestCertificatesOfOthers: a certificate of another CA, of a server, or of no app opens nothing.
func TestCertificatesOfOthers(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	r := start(t, Options{Clients: ca.identity()}, CertOptions{})
	e := app(t, "i", func(http.ResponseWriter, *http.Request) { t.Error("the app was asked") })
	r.set(t, Route{Host: "backend.identity", Endpoints: []Endpoint{e}, Admits: &Admission{Sources: []Source{{AnyApp, ""}}}})
	who := Identity{"a", "s", "o"}
	for name, cert := range map[string]tls.Certificate{
		"another CA": stranger.of(t, who, x509.ExtKeyUsageClientAuth), "a server": ca.of(t, who, x509.ExtKeyUsageServerAuth),
	} {
		c := r.newClient(t, false)
		c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		if res, err := c.Get("https://backend.identity/"); err == nil {
			res.Body.Close()
			t.Errorf("the certificate of %s is answered with %d", name, res.StatusCode)
		}
	}
	nobody := ca.of(t, Identity{}, x509.ExtKeyUsageClientAuth)
	r.opts.Clients.Identify = func(*x509.Certificate) (Identity, bool) { return Identity{}, false }
	if res, _ := answer(t, r.as(t, false, nobody), "https://backend.identity/"); res.StatusCode != 403 {
		t.Errorf("a certificate of no app is answered with %d", res.StatusCode)
	}
}

// TestAdmissionThroughRouteService: the service need not show the caller's certificate, and the app is told of it all the same.
func TestAdmissionThroughRouteService(t *testing.T) {
	ca := newAuthority(t)
	rt, _, _ := fronted(t, Options{Clients: ca.identity()}, again)
	backend := app(t, "b", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get(headerClientCert)) })
	route := func(sources ...Source) Change {
		return Change{Set: []Route{{Host: "shop.example.com", ServiceURL: "https://front.example.com/", Endpoints: []Endpoint{backend}, Admits: &Admission{Sources: sources}}}}
	}
	if err := rt.Change(route(Source{App, "a"})); err != nil {
		t.Fatal(err)
	}
	cert := ca.of(t, Identity{"a", "s", "o"}, x509.ExtKeyUsageClientAuth)
	if res, body := answer(t, rt.as(t, false, cert), "https://shop.example.com/"); res.StatusCode != 200 || body != base64.StdEncoding.EncodeToString(cert.Certificate[0]) {
		t.Errorf("through the service: %d %q", res.StatusCode, body)
	}
	if res, _ := answer(t, rt.as(t, false), "https://shop.example.com/"); res.StatusCode != 403 {
		t.Errorf("without a certificate it gets to the service: %d", res.StatusCode)
	}
	if res, body := answer(t, rt.as(t, false), "https://shop.example.com/", headerProxySignature, "forged", headerProxyMetadata, "forged"); res.StatusCode != 400 {
		t.Errorf("a forged signature is answered with %d %q", res.StatusCode, body)
	}
}

// BenchmarkAdmission is the look at a caller, with one policy and with many.
func BenchmarkAdmission(b *testing.B) {
	who := Identity{"app", "space", "org"}
	for name, n := range map[string]int{"policies=1": 1, "policies=1000": 1000} {
		from := &Admission{Org: "org"}
		for i := range n {
			from.Sources = append(from.Sources, Source{App, big.NewInt(int64(i)).String()})
		}
		from.Sources[n-1] = Source{App, "app"}
		c := newAdmission(from)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !c.allows(who) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkProxyAdmission is BenchmarkProxyAlone for a route of everybody, alone and beside a thousand guarded ones, and
// for a guarded one with a thousand policies.
func BenchmarkProxyAdmission(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go serveRaw(ln)
	ca := newAuthority(b)
	pair := ca.of(b, Identity{"app", "space", "org"}, x509.ExtKeyUsageClientAuth)
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	e := Endpoint{Address: ln.Addr().String(), InstanceID: "i", AppGUID: "app"}
	admits := &Admission{Org: "org"}
	for i := range 999 {
		admits.Sources = append(admits.Sources, Source{App, strconv.Itoa(i)})
	}
	admits.Sources = append(admits.Sources, Source{App, "app"})
	open := Route{Host: "a.example.com", Endpoints: []Endpoint{e}}
	beside := []Route{open}
	for i := range 1000 {
		beside = append(beside, Route{Host: strconv.Itoa(i) + ".identity", Endpoints: []Endpoint{e}, Admits: &Admission{}})
	}
	guarded := open
	guarded.Admits = admits
	for _, tt := range []struct {
		name   string
		routes []Route
	}{{"open", []Route{open}}, {"beside-1000-guarded", beside}, {"guarded-1000-policies", []Route{guarded}}} {
		b.Run(tt.name, func(b *testing.B) {
			r, err := New(Options{HTTPAddr: "127.0.0.1:0", Clients: ca.identity()})
			if err != nil {
				b.Fatal(err)
			}
			if err := r.SetTable(Table{Routes: tt.routes}); err != nil {
				b.Fatal(err)
			}
			req := httptest.NewRequest("GET", "https://a.example.com/x", nil)
			req.RequestURI = "/x"
			req.TLS = &tls.ConnectionState{ServerName: "a.example.com", PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, ca.cert}}}
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if r.ServeHTTP(w, req); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
