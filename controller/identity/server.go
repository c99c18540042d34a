package identity

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
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
