// Package identity gives each instance and task a certificate of its own, as Cloud Foundry does: who holds its
// key is that instance of that app. A CA of the platform's own, kept sealed in the store, signs them for a day;
// the loop replaces them in running containers long before they end. The controller runs it.
package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/store"
)

const (
	validFor = 24 * time.Hour
	renewAt  = 12 * time.Hour // of age
	early    = 24 * time.Hour // that a certificate begins before it is made, at most: clocks differ
	caFor    = 5 * 365 * 24 * time.Hour
	caRenew  = 365 * 24 * time.Hour // left of the CA's time when another takes its place
)

// Where containers find what is theirs (contract, 5.1).
const (
	credentialsDir = "/etc/cf-instance-credentials"
	certFile       = credentialsDir + "/instance.crt"
	keyFile        = credentialsDir + "/instance.key"
	systemCertDir  = "/etc/cf-system-certificates"
)

// caSetting is the name of the setting with the key and certificates of the instances' CA, newest first, as PEM.
const caSetting = "instance_identity.ca"

// Issuer signs. Its methods may be called at the same time.
type Issuer struct {
	// Trusted returns more certificates that apps shall trust, as PEM: the platform's local CA.
	trusted func() []byte
	now     func() time.Time
	setting string // that keeps the CA
	name    string // of the CA

	mu    sync.Mutex
	db    *store.DB
	key   *ecdsa.PrivateKey
	ca    *x509.Certificate
	pems  []byte         // all CA certificates that are still valid
	roots *x509.CertPool // the same, replaced whole
}

// New opens the CA, or makes it. trusted may be nil.
func New(db *store.DB, trusted func() []byte) (*Issuer, error) {
	i := &Issuer{db: db, trusted: trusted, now: time.Now, setting: caSetting, name: "Cupola instance identity CA"}
	return i, i.open()
}

// NewCA opens a CA of another kind, or makes it: who believes one of them does not believe the other. setting is
// the name of the setting that keeps it, and name what its certificates say.
func NewCA(db *store.DB, setting, name string) (*Issuer, error) {
	i := &Issuer{db: db, now: time.Now, setting: setting, name: name}
	return i, i.open()
}

// open reads the CA; one that is absent or near its end gets a successor, and those that it signed before stay
// trusted.
func (i *Issuer) open() error {
	err := i.db.Update(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, i.setting)
		if errors.Is(err, store.ErrNotFound) {
			s, err = &store.Setting{Meta: store.Meta{GUID: i.setting}}, nil
		}
		if err != nil {
			return err
		}
		if err := i.read(s.Value); err != nil {
			return err
		}
		if i.ca != nil && i.ca.NotAfter.Sub(i.now()) > caRenew {
			return nil
		}
		if s.Value, err = i.makeCA(s.Value); err != nil {
			return err
		}
		if err := i.read(s.Value); err != nil {
			return err
		}
		return store.Settings.Put(tx, s)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", i.name, err)
	}
	return nil
}

// read takes the first key and certificate, and all certificates that are valid.
func (i *Issuer) read(text []byte) error {
	i.key, i.ca, i.pems, i.roots = nil, nil, nil, x509.NewCertPool()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "EC PRIVATE KEY" && i.key == nil:
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return err
			}
			i.key = key
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return err
			}
			if i.ca == nil {
				i.ca = cert
			}
			if i.now().Before(cert.NotAfter) {
				i.pems = append(i.pems, pem.EncodeToMemory(block)...)
				i.roots.AddCert(cert)
			}
		}
	}
	return nil
}

// makeCA returns a new key and certificate with the certificates of before behind them.
func (i *Issuer) makeCA(before []byte) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: i.name + " " + serial.Text(16)[:8]},
		NotBefore: i.now().Add(-lead(caFor)), NotAfter: i.now().Add(caFor),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for block, rest := pem.Decode(before); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			out.Write(pem.EncodeToMemory(block))
		}
	}
	return out.Bytes(), nil
}

// before is how long before it is made a certificate of that life begins, so that machines whose clocks are behind take it: a day for one
// of a week, and so much less for a shorter one.
func lead(life time.Duration) time.Duration { return min(early, life/7) }

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}

// CAPEM are the certificates to verify instances by.
func (i *Issuer) CAPEM() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return bytes.Clone(i.pems)
}

// Instance says who a certificate is for.
type Instance struct {
	GUID, AppGUID, SpaceGUID, OrgGUID string
	Address                           string // may be empty
}

// Files returns the files of an instance's container: a fresh certificate with its key, and what to trust.
func (i *Issuer) Files(of Instance) (map[string][]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	cert, key, err := i.issue(of)
	if err != nil {
		return nil, fmt.Errorf("certificate of instance %s: %w", of.GUID, err)
	}
	files := map[string][]byte{certFile: cert, keyFile: key, systemCertDir + "/instance-identity-ca.crt": i.pems}
	if i.trusted != nil {
		if more := i.trusted(); len(more) > 0 {
			files[trustedFile] = more
			maps.Copy(files, trustFiles(more))
		}
	}
	return files, nil
}

// Env are the variables that tell a container where its files are.
func Env(address string) map[string]string {
	env := map[string]string{"CF_INSTANCE_CERT": certFile, "CF_INSTANCE_KEY": keyFile, "CF_SYSTEM_CERT_PATH": systemCertDir}
	if address != "" {
		env["CF_INSTANCE_INTERNAL_IP"] = address
	}
	return env
}

// issue makes an instance's key and certificate.
func (i *Issuer) issue(of Instance) (cert, key []byte, err error) {
	return i.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: of.GUID, OrganizationalUnit: []string{
			"organization:" + of.OrgGUID, "space:" + of.SpaceGUID, "app:" + of.AppGUID,
		}},
		DNSNames:    []string{of.GUID},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, of.Address, validFor)
}

// sign makes a key and signs a certificate of that template for it, which comes with that of the CA behind it. An
// address that is an IP is one of its names.
func (i *Issuer) sign(template *x509.Certificate, address string, life time.Duration) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if cert, err = i.signKey(template, &private.PublicKey, address, life); err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// signKey signs for a key that may be somebody else's. The CA is renewed first unless it outlives the certificate.
func (i *Issuer) signKey(template *x509.Certificate, public any, address string, life time.Duration) ([]byte, error) {
	if i.ca.NotAfter.Sub(i.now()) < max(life, caRenew/2) { // this process has run for that long
		if err := i.open(); err != nil {
			return nil, err
		}
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = i.now().Add(-lead(life)), i.now().Add(life)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
	if ip := net.ParseIP(address); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.ca, public, i.key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.Raw})...), nil
}
