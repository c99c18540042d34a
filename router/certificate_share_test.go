package router

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"
)

// elsewhere is where a router gets certificates that has none of its own making.
type elsewhere struct{ from *Certificates }

func (e elsewhere) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	chain, key, err := e.from.Export(hello.Context(), hello.ServerName, true)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(chain, key)
	return &cert, err
}

func (e elsewhere) ServeChallenge(w http.ResponseWriter, r *http.Request) bool {
	return e.from.ServeChallenge(w, r)
}

// TestExport: the ACME CA's challenges reach another router than the one that has the order, and both show the certificate.
func TestExport(t *testing.T) {
	httpPort, tlsPort := freePort(t), freePort(t)
	p := startPebble(t, httpPort, tlsPort)
	first := startACME(t, nil, "0", "0", p)
	edge, err := New(Options{
		HTTPAddr: "127.0.0.1:" + httpPort, HTTPSAddr: "127.0.0.1:" + tlsPort, Certificates: elsewhere{first.certs},
		Passage: Passage{
			Takes: func(host string) bool { return host == "platform.cupola.localhost" },
			Dial: func(ctx context.Context, _ net.Addr) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", first.HTTPSAddr())
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := edge.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- edge.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	if _, _, err := first.certs.Export(t.Context(), "a.allowed.com", false); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("a certificate that is not there and not to be obtained: %v", err)
	}
	if _, _, err := first.certs.Export(t.Context(), "b.other.com", true); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("a certificate for a name without a route: %v", err)
	}
	dial := func(name string, roots *x509.CertPool) *x509.Certificate {
		t.Helper()
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", edge.HTTPSAddr(), &tls.Config{ServerName: name, RootCAs: roots})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	got := dial("a.allowed.com", p.issued)
	if _, _, err := first.certs.Export(t.Context(), "a.allowed.com", false); err != nil || p.orders.Load() != 1 {
		t.Errorf("once it is there: %v, after %d orders", err, p.orders.Load())
	}
	if again := dial("a.allowed.com", p.issued); !again.Equal(got) {
		t.Error("another certificate is shown")
	}
	// The name that is passed on gets the first router's own, for no key of it is here.
	conn, err := tls.Dial("tcp", edge.HTTPSAddr(), &tls.Config{ServerName: "platform.cupola.localhost", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if issuer := conn.ConnectionState().PeerCertificates[0].Issuer.CommonName; issuer != first.certs.Root().Subject.CommonName {
		t.Errorf("the platform's name is shown a certificate of %s", issuer)
	}
}

// TestSign: a certificate of the local CA for somebody else's key, for as long as was said.
func TestSign(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	other := start(t, Options{}, CertOptions{})
	chain, err := r.certs.Sign("a.localhost", other.certs.ca.leafKey.Public(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pemCertificate(t, chain)
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "a.localhost", Roots: r.roots}); err != nil {
		t.Error(err)
	}
	if life := time.Until(leaf.NotAfter); life > time.Hour || leaf.IsCA || !other.certs.ca.leafKey.PublicKey.Equal(leaf.PublicKey) {
		t.Errorf("it is good for another %s, of a CA: %t", life, leaf.IsCA)
	}
}
