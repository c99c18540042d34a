package router

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// acmeTLSProtocol is the ALPN name of the TLS-ALPN-01 challenge (RFC 8737).
const acmeTLSProtocol = "acme-tls/1"

// CertOptions say where certificates come from.
type CertOptions struct {
	// Storage keeps the local CA, the ACME account and ACME certificates, with their private keys: what
	// is behind it must seal them. certmagic.FileStorage is one on disk.
	Storage certmagic.Storage
	// Local reports whether a host gets its certificate from the local CA even when ACME is on. Names that
	// no public CA would sign (localhost, *.internal, without a dot ...) always do. May be nil.
	Local func(host string) bool
	// Allowed reports whether a host is worth a certificate of its own: it is in the route table. It is
	// called in handshakes, must be quick, and decides what is asked of the ACME CA. Nil allows none.
	Allowed func(host string) bool
	// DefaultHost is the name in the certificate for clients that ask for none, or for an unknown one;
	// localhost if empty.
	DefaultHost string

	// ACMEEmail or ACMECA turns ACME on. ACMECA is the URL of a directory, Let's Encrypt's if empty.
	ACMEEmail, ACMECA string
	// ACMERoots are trusted for connections to the ACME CA, instead of the system's.
	ACMERoots *x509.CertPool

	// Logger is slog.Default if nil.
	Logger *slog.Logger

	now func() time.Time // of tests
}

// CertificateSource answers handshakes and challenges of ACME; *Certificates is one. It is called by many goroutines at once.
type CertificateSource interface {
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// ServeChallenge answers a request without TLS that is an HTTP-01 challenge (RFC 8555 8.3), and reports false for any other.
	ServeChallenge(w http.ResponseWriter, r *http.Request) bool
}

var _ CertificateSource = (*Certificates)(nil)

// Certificates answers TLS handshakes. Close it after the router has ended.
//
// A handshake for
//   - a name that is allowed and public, with ACME on, gets an ACME certificate, obtained during the first
//     such handshake; while the CA cannot give one, one of the local CA, so that the problem can be seen;
//   - any other name that is allowed or local gets one of the local CA for that name;
//   - an unknown name, an address or no name gets the default certificate of the local CA. It is never an
//     error, so that the router can answer in HTTP what is wrong.
type Certificates struct {
	opts CertOptions
	log  *slog.Logger
	ca   *localCA
	acme *acmeSource // nil if ACME is off
}

// NewCertificates loads the local CA from the storage, or makes it there.
func NewCertificates(opts CertOptions) (*Certificates, error) {
	if opts.Storage == nil {
		return nil, errors.New("certificates need a storage: set Storage")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.DefaultHost == "" {
		opts.DefaultHost = "localhost"
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	ca, err := openLocalCA(context.Background(), opts.Storage, opts.now)
	if err != nil {
		return nil, err
	}
	c := &Certificates{opts: opts, log: opts.Logger, ca: ca}
	if opts.ACMEEmail == "" && opts.ACMECA == "" {
		return c, nil
	}
	if c.acme, err = newACMESource(opts); err != nil {
		return nil, err
	}
	return c, nil
}

// Close stops renewals and waits for what is under way. It may be called twice.
func (c *Certificates) Close() error {
	if c.acme != nil {
		c.acme.close()
	}
	return nil
}

// CAPEM returns the local CA's root certificate, for clients to trust.
func (c *Certificates) CAPEM() []byte { return c.ca.rootPEM() }

// GetCertificate is for tls.Config. See Certificates for what is given to whom.
func (c *Certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if isACMEChallenge(hello) {
		if c.acme == nil {
			return nil, errors.New("an ACME challenge came, but ACME is off")
		}
		return c.acme.magic.GetCertificate(hello)
	}
	name, ok := serverName(hello.ServerName)
	if !ok {
		return c.defaultCertificate(hello)
	}
	allowed := c.allowed(name)
	if allowed && c.acme != nil && !c.local(name) {
		cert, err := c.acme.certificate(hello.Context(), hello, name)
		if err == nil {
			return cert, nil
		}
		c.log.Debug("local certificate for a public name", "host", name, "error", err)
	}
	if allowed {
		return c.ca.leaf(name)
	}
	if c.local(name) {
		cert, err := c.ca.guestLeaf(name)
		if !errors.Is(err, errTooMany) {
			return cert, err
		}
	}
	return c.defaultCertificate(hello)
}

func isACMEChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeTLSProtocol
}

// serverName returns an SNI as routes spell it. ok is false for what is not a name.
func serverName(sni string) (name string, ok bool) {
	name, ok = normalHost(sni)
	if !ok || strings.Contains(name, ":") {
		return "", false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
	}
	return name, true
}

func (c *Certificates) allowed(name string) bool {
	return c.opts.Allowed != nil && c.opts.Allowed(name)
}

func (c *Certificates) local(name string) bool {
	return certmagic.SubjectIsInternal(name) || !certmagic.SubjectQualifiesForPublicCert(name) ||
		c.opts.Local != nil && c.opts.Local(name)
}

// defaultCertificate is for the default host and the address that the client has reached us at.
func (c *Certificates) defaultCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.Conn != nil {
		if addr, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			return c.ca.leaf(c.opts.DefaultHost, addr.IP)
		}
	}
	return c.ca.leaf(c.opts.DefaultHost)
}

// ServeChallenge answers HTTP-01 challenges (RFC 8555 8.3) that this process, or another one on the same
// storage, has under way. It reports false if the request is not one of them.
func (c *Certificates) ServeChallenge(w http.ResponseWriter, r *http.Request) bool {
	return c.acme != nil && c.acme.issuer.HandleHTTPChallenge(w, r)
}

// listening tells the ports, so that nobody tries to open another for a challenge.
func (c *Certificates) listening(plain, secure net.Listener) {
	if c.acme != nil {
		c.acme.listening(plain, secure)
	}
}

func wrapStorage(what, key string, err error) error {
	return fmt.Errorf("%s %s in the certificate storage: %w", what, key, err)
}
