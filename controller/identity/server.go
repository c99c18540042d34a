package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Server makes a certificate for a server of the platform's own, a database say, that clients reach by address or
// name; whoever asks renews it in time. cert has that of the CA behind it, and ca is what clients verify it by.
func (i *Issuer) Server(name, address string, life time.Duration) (cert, key, ca []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	cert, key, err = i.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, address, life)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("certificate of server %s: %w", name, err)
	}
	return cert, key, bytes.Clone(i.pems), nil
}

// ErrRequest says that a certificate request is none, or not signed by its own key.
var ErrRequest = errors.New("the certificate request must be a PEM block of a P-256 key, signed by that key")

// Peer makes a certificate for somebody who is server and client of others that this CA vouches for, for the
// key of a request (PKCS #10, PEM). Nothing else of the request counts. cert has that of the CA behind it.
func (i *Issuer) Peer(request []byte, name string, life time.Duration) (cert []byte, err error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, ErrRequest
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return nil, ErrRequest
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, ErrRequest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if cert, err = i.signKey(peer(name), csr.PublicKey, "", life); err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return cert, nil
}

// PeerWithKey is Peer with a key that is made here.
func (i *Issuer) PeerWithKey(name string, life time.Duration) (cert, key []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if cert, key, err = i.sign(peer(name), "", life); err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return cert, key, nil
}

// Agent is PeerWithKey for somebody with several names, the first of which stands in front, who is also reached on
// loopback.
func (i *Issuer) Agent(life time.Duration, names ...string) (cert, key []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if cert, key, err = i.sign(peer(names...), "127.0.0.1", life); err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", names[0], err)
	}
	return cert, key, nil
}

func peer(names ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}
