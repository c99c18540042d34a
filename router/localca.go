package router

import (
	"bytes"
	"container/list"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/time/rate"
)

const (
	// localCAKey holds certificate and private key in one value: a crash cannot part them.
	localCAKey = "local-ca/root.pem"

	rootLife = 10 * 365 * 24 * time.Hour
	// rootRenewal before its end the root is signed anew with the same key and name. Clients that trust
	// the old one accept leaves for as long as it lasts, so they have this long to fetch the new one.
	rootRenewal = 2 * 365 * 24 * time.Hour

	leafLife    = 90 * 24 * time.Hour
	leafRenewal = 30 * 24 * time.Hour
	backdating  = time.Hour // for clients with a slow clock

	// Leaves of allowed hosts are bounded by the route table, but the table may be large.
	maxLeaves = 20_000
	// Names that are local but not in the table are anybody's to invent: few are kept, and few are made a second.
	maxGuestLeaves   = 500
	guestLeavesPerS  = 20
	guestLeavesBurst = 100
)

// errTooMany says that strangers have asked for too many names of late.
var errTooMany = errors.New("too many certificates for unknown names")

// localCA signs certificates for names that no public CA would sign. Leaves live in memory alone: they
// are made in a fraction of a millisecond.
type localCA struct {
	now     func() time.Time
	key     crypto.Signer
	leafKey *ecdsa.PrivateKey // of all leaves; never leaves the process

	mu     sync.Mutex
	root   *x509.Certificate
	leaves leafCache
	guests leafCache
	limit  *rate.Limiter
}

// openLocalCA loads the CA, or makes and stores one. Two processes on one storage get the same.
func openLocalCA(ctx context.Context, s certmagic.Storage, now func() time.Time) (*localCA, error) {
	if err := s.Lock(ctx, localCAKey); err != nil {
		return nil, wrapStorage("lock", localCAKey, err)
	}
	ca, err := loadOrMakeCA(ctx, s, now)
	if unlockErr := s.Unlock(context.WithoutCancel(ctx), localCAKey); unlockErr != nil {
		err = errors.Join(err, wrapStorage("unlock", localCAKey, unlockErr))
	}
	return ca, err
}

func loadOrMakeCA(ctx context.Context, s certmagic.Storage, now func() time.Time) (*localCA, error) {
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	ca := &localCA{
		now: now, leafKey: leafKey, leaves: newLeafCache(maxLeaves), guests: newLeafCache(maxGuestLeaves),
		limit: rate.NewLimiter(guestLeavesPerS, guestLeavesBurst),
	}
	stored, err := s.Load(ctx, localCAKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("generate a key: %w", err)
		}
	case err != nil:
		return nil, wrapStorage("load", localCAKey, err)
	default:
		if err := ca.parse(stored); err != nil {
			return nil, fmt.Errorf("%s in the certificate storage is damaged, restore it, or delete it and trust the new CA everywhere: %w", localCAKey, err)
		}
	}
	if ca.root != nil && now().Add(rootRenewal).Before(ca.root.NotAfter) {
		return ca, nil
	}
	return ca, ca.renewRoot(ctx, s)
}

func (ca *localCA) parse(stored []byte) error {
	pair, err := tls.X509KeyPair(stored, stored)
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return errors.New("it is not a CA with its key")
	}
	ca.key, ca.root = key, pair.Leaf
	return nil
}

// renewRoot signs a root with the CA's key and stores it.
func (ca *localCA) renewRoot(ctx context.Context, s certmagic.Storage) error {
	now := ca.now()
	subject := pkix.Name{CommonName: "Cupola local CA " + now.UTC().Format("2006-01-02"), Organization: []string{"Cupola"}}
	if ca.root != nil {
		subject = ca.root.Subject
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               subject,
		NotBefore:             now.Add(-backdating),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("sign the local CA: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return fmt.Errorf("encode the local CA's key: %w", err)
	}
	var out bytes.Buffer
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	out.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err := s.Store(ctx, localCAKey, out.Bytes()); err != nil {
		return wrapStorage("store", localCAKey, err)
	}
	ca.root, err = x509.ParseCertificate(der)
	return err
}

func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[0] &= 0x7f           // positive (RFC 5280 4.1.2.2)
	return new(big.Int).SetBytes(b[:])
}

func (ca *localCA) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})
}

// leaf returns a certificate for name, and for ips, that lasts for a while yet.
func (ca *localCA) leaf(name string, ips ...net.IP) (*tls.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.leafLocked(&ca.leaves, name, ips)
}

// guestLeaf is leaf for a name that is not in the route table. It returns errTooMany if too many were
// asked for.
func (ca *localCA) guestLeaf(name string) (*tls.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.guests.get(name, ca.now()) == nil && !ca.limit.AllowN(ca.now(), 1) {
		return nil, errTooMany
	}
	return ca.leafLocked(&ca.guests, name, nil)
}

func (ca *localCA) leafLocked(cache *leafCache, name string, ips []net.IP) (*tls.Certificate, error) {
	key, now := name, ca.now()
	for _, ip := range ips {
		key += "," + ip.String()
	}
	if cert := cache.get(key, now); cert != nil {
		return cert, nil
	}
	cert, err := ca.sign(name, ips, now)
	if err != nil {
		return nil, err
	}
	cache.put(key, cert)
	return cert, nil
}

func (ca *localCA) sign(name string, ips []net.IP, now time.Time) (*tls.Certificate, error) {
	der, err := ca.issue(name, ips, ca.leafKey.Public(), now, leafLife)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.root.Raw}, PrivateKey: ca.leafKey, Leaf: leaf}, nil
}

// issue makes a certificate for the owner of a key.
func (ca *localCA) issue(name string, ips []net.IP, public crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error) {
	end := now.Add(life)
	if end.After(ca.root.NotAfter) {
		end = ca.root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-backdating),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{name},
		IPAddresses:  ips,
	}
	if len(name) <= 64 { // RFC 5280, ub-common-name
		template.Subject.CommonName = name
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	return der, nil
}

// leafCache keeps the certificates that were asked for last.
type leafCache struct {
	max   int
	order *list.List // of *cachedLeaf, the latest first
	byKey map[string]*list.Element
}

type cachedLeaf struct {
	key  string
	cert *tls.Certificate
}

func newLeafCache(max int) leafCache {
	return leafCache{max: max, order: list.New(), byKey: map[string]*list.Element{}}
}

// get returns nil for a certificate that is missing or due for renewal.
func (c *leafCache) get(key string, now time.Time) *tls.Certificate {
	el := c.byKey[key]
	if el == nil {
		return nil
	}
	cert := el.Value.(*cachedLeaf).cert
	if now.Add(leafRenewal).After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
		return nil
	}
	c.order.MoveToFront(el)
	return cert
}

func (c *leafCache) put(key string, cert *tls.Certificate) {
	if el := c.byKey[key]; el != nil {
		el.Value.(*cachedLeaf).cert = cert
		c.order.MoveToFront(el)
		return
	}
	c.byKey[key] = c.order.PushFront(&cachedLeaf{key, cert})
	if c.order.Len() > c.max {
		last := c.order.Remove(c.order.Back()).(*cachedLeaf)
		delete(c.byKey, last.key)
	}
}
