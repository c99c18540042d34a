package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func newCertificates(t *testing.T, opts CertOptions) *Certificates {
	t.Helper()
	if opts.Storage == nil {
		opts.Storage = &certmagic.FileStorage{Path: t.TempDir()}
	}
	c, err := NewCertificates(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func leafFor(t *testing.T, c *Certificates, sni string) *x509.Certificate {
	t.Helper()
	cert, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: sni})
	if err != nil {
		t.Fatalf("GetCertificate(%q) = %v", sni, err)
	}
	return cert.Leaf
}

func TestLocalCA(t *testing.T) {
	s := &certmagic.FileStorage{Path: t.TempDir()}
	allowed := func(host string) bool { return host == "a.example.com" || host == "a.cupola.localhost" }
	c := newCertificates(t, CertOptions{Storage: s, Allowed: allowed, DefaultHost: "api.cupola.localhost"})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CAPEM()) || bytes.Contains(c.CAPEM(), []byte("PRIVATE")) {
		t.Fatalf("CAPEM = %s", c.CAPEM())
	}
	for _, sni := range []string{"a.example.com", "A.Cupola.localhost", "a.cupola.localhost.", "typo.cupola.localhost"} {
		leaf := leafFor(t, c, sni)
		name, _ := serverName(sni)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil || len(leaf.DNSNames) != 1 {
			t.Errorf("%s: %v, names %v", sni, err, leaf.DNSNames)
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 91*24*time.Hour {
			t.Errorf("%s lasts %v", sni, life)
		}
		if again := leafFor(t, c, sni); again.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
			t.Errorf("%s was signed twice", sni)
		}
	}
	for _, sni := range []string{"", "127.0.0.1", "unknown.example.com", "a..b", "*.example.com", strings.Repeat("x", 64) + ".localhost", "[::1]"} {
		if names := leafFor(t, c, sni).DNSNames; !slices.Equal(names, []string{"api.cupola.localhost"}) {
			t.Errorf("%q got a certificate for %v, want the default", sni, names)
		}
	}
	again := newCertificates(t, CertOptions{Storage: s})
	if !bytes.Equal(again.CAPEM(), c.CAPEM()) {
		t.Error("opened again, the CA is another")
	}
	if leaf := leafFor(t, again, "b.localhost"); leaf.CheckSignatureFrom(c.ca.root) != nil {
		t.Error("opened again, the CA has another key")
	}
}

func TestDefaultCertificateHoldsAddress(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	c, err := tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{RootCAs: r.roots}) // the name to verify is 127.0.0.1, which is not sent
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestLocalCARenewal(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s := &certmagic.FileStorage{Path: t.TempDir()}
	c := newCertificates(t, CertOptions{Storage: s, now: clock})
	first := leafFor(t, c, "a.localhost")
	advance(59 * 24 * time.Hour)
	if leafFor(t, c, "a.localhost") != first {
		t.Error("renewed too early")
	}
	advance(2 * 24 * time.Hour)
	second := leafFor(t, c, "a.localhost")
	if second == first || second.NotAfter.Before(clock().Add(89*24*time.Hour)) {
		t.Error("not renewed a month before its end")
	}
	advance(8*365*24*time.Hour + time.Hour)
	renewed := newCertificates(t, CertOptions{Storage: s, now: clock})
	if bytes.Equal(renewed.CAPEM(), c.CAPEM()) {
		t.Fatal("the root was not renewed")
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.ca.root)
	if _, err := leafFor(t, renewed, "a.localhost").Verify(x509.VerifyOptions{Roots: roots, CurrentTime: clock()}); err != nil {
		t.Errorf("who trusts the old root refuses leaves of the new one: %v", err)
	}
}

func TestGuestLeavesAreBounded(t *testing.T) {
	now := time.Now()
	c := newCertificates(t, CertOptions{now: func() time.Time { return now }}) // the clock stands: no tokens come
	signed := 0
	for i := range 3000 {
		if slices.Contains(leafFor(t, c, fmt.Sprintf("x%d.localhost", i)).DNSNames, fmt.Sprintf("x%d.localhost", i)) {
			signed++
		}
	}
	if signed != guestLeavesBurst || c.ca.guests.order.Len() != guestLeavesBurst {
		t.Errorf("%d certificates for invented names, %d kept, want %d", signed, c.ca.guests.order.Len(), guestLeavesBurst)
	}
	small := newLeafCache(2)
	for _, key := range []string{"a", "b", "a", "c"} {
		small.put(key, &tls.Certificate{Leaf: &x509.Certificate{NotAfter: now.Add(leafLife)}})
	}
	if small.get("a", now) == nil || small.get("b", now) != nil || small.get("c", now) == nil || len(small.byKey) != 2 {
		t.Error("the cache does not drop what was used longest ago")
	}
}

func TestDamagedCA(t *testing.T) {
	s := &certmagic.FileStorage{Path: t.TempDir()}
	if err := s.Store(t.Context(), localCAKey, []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCertificates(CertOptions{Storage: s}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("NewCertificates = %v, want an error that says damaged", err)
	}
	if kept, _ := s.Load(t.Context(), localCAKey); string(kept) != "rubbish" {
		t.Error("the damaged CA was written over")
	}
	for _, o := range []CertOptions{{}, {Storage: s, ACMECA: "nonsense"}, {Storage: failingStorage{s}}} {
		if _, err := NewCertificates(o); err == nil {
			t.Errorf("NewCertificates(%+v) = nil error", o)
		}
	}
}

// failingStorage is a disk that is full.
type failingStorage struct{ certmagic.Storage }

func (failingStorage) Load(context.Context, string) ([]byte, error) {
	return nil, errors.New("input/output error")
}

func TestConcurrentStartsShareACA(t *testing.T) {
	path := t.TempDir()
	var wg sync.WaitGroup
	pems := make([]string, 4)
	for i := range pems {
		wg.Go(func() {
			c, err := NewCertificates(CertOptions{Storage: &certmagic.FileStorage{Path: path}})
			if err != nil {
				t.Error(err)
				return
			}
			pems[i] = string(c.CAPEM())
		})
	}
	wg.Wait()
	if slices.Sort(pems); pems[0] != pems[3] {
		t.Error("four starts at once made several CAs")
	}
}

func TestTLSVersionsAndProtocols(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	if c, err := tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{RootCAs: r.roots, ServerName: "a.b", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
	for _, want := range []string{"h2", "http/1.1"} {
		c, err := tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{RootCAs: r.roots, ServerName: "a.b", NextProtos: []string{want}, MaxVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("protocol %q, want %q", got, want)
		}
		c.Close()
	}
}

// TestRefusalOverTLS shows that a mistyped host of a local domain gets an answer, not a broken handshake.
func TestRefusalOverTLS(t *testing.T) {
	r := start(t, Options{}, CertOptions{Allowed: func(string) bool { return false }})
	res, _ := r.get(t, "https://typo.cupola.localhost/")
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("status = %d, want 404", res.StatusCode)
	}
	c, err := net.Dial("tcp", r.HTTPSAddr()) // plain HTTP to the TLS port: net/http says so
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	buf := make([]byte, 12)
	if _, err := c.Read(buf); err != nil || string(buf) != "HTTP/1.0 400" {
		t.Errorf("plain HTTP to the TLS port = %q, %v", buf, err)
	}
}

func BenchmarkLocalLeaf(b *testing.B) {
	c, err := NewCertificates(CertOptions{Storage: &certmagic.FileStorage{Path: b.TempDir()}, Allowed: func(string) bool { return true }})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: fmt.Sprintf("a%d.localhost", i)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		hello := &tls.ClientHelloInfo{ServerName: "a.localhost"}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.GetCertificate(hello); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func pemCertificate(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no PEM in %q", data)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (c *Certificates) rootsForTest() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca.root)
	return pool
}
