package router

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// pebble is an ACME CA that validates for real: it resolves every name to 127.0.0.1 and comes to the
// router's own ports.
type pebble struct {
	directory string
	server    *x509.CertPool // trusts the CA's HTTPS
	issued    *x509.CertPool // trusts what it issues
	orders    atomic.Int32
	down      atomic.Bool
}

func startPebble(t *testing.T, httpPort, tlsPort string) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	// Pebble rejects 5% of good nonces by default; more would only make the test slower.
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 86400 * 90}})
	validator := va.New(quiet, atoi(t, httpPort), atoi(t, tlsPort), false, startDNS(t), store)
	front := wfe.New(quiet, store, validator, authority, []string{"pebble.example.org"}, false, false, 1, 1)
	p := &pebble{server: x509.NewCertPool(), issued: x509.NewCertPool()}
	handler := front.Handler()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			p.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.directory = s.URL + wfe.DirectoryPath
	p.server.AddCert(s.Certificate())
	p.issued.AddCert(pemCertificate(t, authority.GetRootCert(0).PEM()))
	return p
}

// startDNS answers 127.0.0.1 for every name, over TCP as Pebble asks.
func startDNS(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Question[0].Name + " 1 IN A 127.0.0.1")
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return ln.Addr().String()
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// freePort is one that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// startACME serves with p as its CA; only names below allowed.test are worth a certificate.
func startACME(t *testing.T, s certmagic.Storage, httpPort, tlsPort string, p *pebble) *running {
	return start(t, Options{HTTPAddr: "127.0.0.1:" + httpPort, HTTPSAddr: "127.0.0.1:" + tlsPort, RedirectHTTP: true}, CertOptions{
		Storage: s, ACMECA: p.directory, ACMEEmail: "ops@example.com", ACMERoots: p.server,
		Allowed: func(host string) bool { return strings.HasSuffix(host, ".allowed.com") || host == "a.cupola.localhost" },
	})
}

// handshake returns the certificate for name, verified against nothing.
func (r *running) handshake(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("handshake for %s: %v", name, err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestACME(t *testing.T) {
	httpPort, tlsPort := freePort(t), freePort(t)
	p := startPebble(t, httpPort, tlsPort)
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	r := startACME(t, storage, httpPort, tlsPort, p)
	e := app(t, "i", say("hello"))
	r.set(t, Route{Host: "www.allowed.com", Endpoints: []Endpoint{e}})

	r.roots = p.issued
	client := r.newClient(t, true)
	var wg sync.WaitGroup
	for range 5 { // many first visitors, one order
		wg.Go(func() {
			res, err := client.Get("https://www.allowed.com/")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); string(text) != "hello" || res.ProtoMajor != 2 {
				t.Errorf("got %s %q", res.Proto, text)
			}
		})
	}
	wg.Wait()
	if n := p.orders.Load(); n != 1 {
		t.Errorf("%d orders for one name, want 1", n)
	}

	for _, name := range []string{"www.notallowed.com", "a.cupola.localhost", ""} {
		if cert := r.handshake(t, name); cert.CheckSignatureFrom(r.certs.ca.root) != nil {
			t.Errorf("%q has a certificate of %s, want the local CA", name, cert.Issuer)
		}
	}
	if n := p.orders.Load(); n != 1 {
		t.Errorf("%d orders after handshakes for other names, want 1", n)
	}

	r.stop()
	p.down.Store(true)
	r = startACME(t, storage, httpPort, tlsPort, p) // again: certificate and account come from the storage
	cert := r.handshake(t, "www.allowed.com")
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "www.allowed.com", Roots: r.certs.rootsForTest()}); err == nil {
		t.Error("after a restart with the CA down the certificate is a local one")
	}
	r.certs.acme.patience = 10 * time.Millisecond
	if cert := r.handshake(t, "new.allowed.com"); cert.CheckSignatureFrom(r.certs.ca.root) != nil {
		t.Errorf("with the CA down a new name has a certificate of %s, want the local CA", cert.Issuer)
	}
}

// TestACMEChallenges lets only one kind of challenge through at a time.
func TestACMEChallenges(t *testing.T) {
	for _, kind := range []string{"http-01", "tls-alpn-01"} {
		t.Run(kind, func(t *testing.T) {
			httpPort, tlsPort := freePort(t), freePort(t)
			p := startPebble(t, httpPort, tlsPort)
			r := startACME(t, &certmagic.FileStorage{Path: t.TempDir()}, httpPort, tlsPort, p)
			r.certs.acme.issuer.DisableHTTPChallenge = kind != "http-01"
			r.certs.acme.issuer.DisableTLSALPNChallenge = kind == "http-01"
			cert := r.handshake(t, "www.allowed.com")
			if err := cert.VerifyHostname("www.allowed.com"); err != nil || cert.CheckSignatureFrom(r.certs.ca.root) == nil {
				t.Errorf("certificate of %s for %v: %v", cert.Issuer, cert.DNSNames, err)
			}
		})
	}
}

func TestACMERests(t *testing.T) {
	httpPort, tlsPort := freePort(t), freePort(t)
	p := startPebble(t, httpPort, tlsPort)
	r := startACME(t, &certmagic.FileStorage{Path: t.TempDir()}, httpPort, tlsPort, p)
	a := r.certs.acme
	hello := &tls.ClientHelloInfo{ServerName: "www.allowed.com"}
	a.mu.Lock()
	a.restLocked("www.allowed.com")
	a.mu.Unlock()
	if _, err := a.order(hello, "www.allowed.com"); err != errResting {
		t.Errorf("order of a name that failed = %v, want %v", err, errResting)
	}
	a.mu.Lock()
	for want := 2 * time.Minute; want < 2*time.Hour; want *= 2 {
		a.restLocked("www.allowed.com")
		if got := a.resting["www.allowed.com"].last; got != min(want, maxRest) {
			t.Errorf("rest = %v, want %v", got, min(want, maxRest))
		}
	}
	for i := range maxOrders {
		a.orders[fmt.Sprint("other", i)] = &order{}
	}
	a.mu.Unlock()
	if _, err := a.order(hello, "new.allowed.com"); err != errBusy {
		t.Errorf("one order too many = %v, want %v", err, errBusy)
	}
	r.stop()
	if _, err := a.order(hello, "late.allowed.com"); err != context.Canceled {
		t.Errorf("order after Close = %v, want %v", err, context.Canceled)
	}
}
