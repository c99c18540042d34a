package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"time"
)

// Server makes a certificate for a server of the platform's own, a database say, that clients reach by address or
// name; whoever asks renews it in time. cert has that of the CA behind it, and ca is what clients verify it by.
func (i *Issuer) Server(name, address string, life time.Duration) (cert, key, ca []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if cert, key, err = i.issueServer(name, address, life); err != nil {
		return nil, nil, nil, fmt.Errorf("certificate of server %s: %w", name, err)
	}
	return cert, key, bytes.Clone(i.pems), nil
}

func (i *Issuer) issueServer(name, address string, life time.Duration) (cert, key []byte, err error) {
	if i.ca.NotAfter.Sub(i.now()) < max(life, caRenew/2) {
		if err := i.open(); err != nil {
			return nil, nil, err
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"},
		NotBefore: i.now().Add(-early), NotAfter: i.now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(address); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.ca, &private.PublicKey, i.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.Raw})...)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
