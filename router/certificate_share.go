package router

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"time"

	"github.com/caddyserver/certmagic"
)

// Certificates for routers elsewhere. They get those of the ACME CA with their keys, since there is one for each name; the
// local CA signs for keys of their own, and its own key stays here.

// ErrNoCertificate says that there is no certificate of the ACME CA for a name yet.
var ErrNoCertificate = errors.New("there is no public certificate for the name")

// ByACME reports whether the ACME CA certifies the name, and not the local one.
func (c *Certificates) ByACME(name string) bool { return c.acme != nil && !c.local(name) }

// Challenges reports whether challenges of ACME may come.
func (c *Certificates) Challenges() bool { return c.acme != nil }

// Export returns the certificate of a name that ByACME holds of, with its key, as PEM. One that is not there yet is obtained
// if obtain is set, as in a handshake; else the error is ErrNoCertificate.
func (c *Certificates) Export(ctx context.Context, name string, obtain bool) (chain, key []byte, err error) {
	if !c.ByACME(name) {
		return nil, nil, ErrNoCertificate
	}
	if !obtain && !c.acme.has(ctx, name) {
		return nil, nil, ErrNoCertificate
	}
	if !c.allowed(name) {
		return nil, nil, ErrNoCertificate
	}
	nobody, _ := net.Pipe() // certmagic asks who the client is
	cert, err := c.acme.certificate(ctx, &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"h2", "http/1.1"}, Conn: nobody}, name)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one})...)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// has reports whether the name's certificate is in memory or in the storage.
func (a *acmeSource) has(ctx context.Context, name string) bool {
	if len(a.cache.AllMatchingCertificates(name)) > 0 {
		return true
	}
	return a.magic.Storage.Exists(ctx, certmagic.StorageKeys.SiteCert(a.issuer.IssuerKey(), name))
}

// Sign returns a certificate of the local CA for the name and somebody else's key, good for so long, with the CA's behind it.
func (c *Certificates) Sign(name string, public crypto.PublicKey, life time.Duration) (chain []byte, err error) {
	leaf, root, err := c.ca.signFor(name, public, life)
	if err != nil {
		return nil, err
	}
	for _, der := range [][]byte{leaf, root} {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return chain, nil
}

func (ca *localCA) signFor(name string, public crypto.PublicKey, life time.Duration) (leaf, root []byte, err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	leaf, err = ca.issue(name, nil, public, ca.now(), life)
	return leaf, ca.root.Raw, err
}
