package ssh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// NewHostKey makes a host key in PEM form. There is one key and not one of each kind, because the API can
// name one fingerprint only, and which key a client asks for is the client's choice. ECDSA on P-256 is what all
// clients know, those in FIPS mode too.
func NewHostKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseHostKey reads what NewHostKey made.
func ParseHostKey(text []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("the SSH host key in the store: %w", err)
	}
	return key, nil
}

// Fingerprint is the SHA-256 of the public key in base64, without prefix and padding: one of the forms that
// the CLI compares, told apart by its length (contract 3.9).
func Fingerprint(key ssh.Signer) string {
	return strings.TrimPrefix(ssh.FingerprintSHA256(key.PublicKey()), "SHA256:")
}
