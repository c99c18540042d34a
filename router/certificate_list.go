package router

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// storedFor is how long what was read of the storage is good enough: there may be thousands of certificates.
	storedFor = time.Minute
	// maxRefusal bounds what is kept of what the CA said.
	maxRefusal = 400
)

// HostCertificate is what is known of the certificate of a host.
type HostCertificate struct {
	Host   string
	Local  bool   // the local CA signs it, anew before it ends
	Issuer string // who signed it; empty while there is none
	// NotBefore and NotAfter are zero while there is none. Those of the local CA are made for the first client.
	NotBefore, NotAfter time.Time
	Problem             string    // what the ACME CA said last, if it was no
	RetryAt             time.Time // before which it is not asked again; zero: with the next client
}

// Due reports whether a certificate should have been renewed: a third of its life is the time for that, and half of
// the third is over.
func (h HostCertificate) Due(now time.Time) bool {
	return !h.NotAfter.IsZero() && h.NotAfter.Sub(now) < h.NotAfter.Sub(h.NotBefore)/6
}

// Host tells of the certificate that clients of a host are shown.
func (c *Certificates) Host(ctx context.Context, host string) HostCertificate {
	out := HostCertificate{Host: host}
	if c.acme == nil || c.local(host) {
		out.Local, out.Issuer = true, c.ca.root.Subject.CommonName
		if leaf := c.ca.known(host); leaf != nil {
			out.NotBefore, out.NotAfter = leaf.NotBefore, leaf.NotAfter
		}
		return out
	}
	out.describe(c.acme.leaf(ctx, host))
	out.Problem, out.RetryAt = c.acme.refusal(host)
	return out
}

// Public are the certificates that the ACME CA gave or refused, by host; none while ACME is off.
func (c *Certificates) Public(ctx context.Context) ([]HostCertificate, error) {
	if c.acme == nil {
		return nil, nil
	}
	hosts, err := c.acme.hosts(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]HostCertificate, 0, len(hosts))
	for _, host := range hosts {
		one := HostCertificate{Host: host}
		one.describe(c.acme.leaf(ctx, host))
		one.Problem, one.RetryAt = c.acme.refusal(host)
		out = append(out, one)
	}
	return out, nil
}

// Root is the local CA's own certificate.
func (c *Certificates) Root() *x509.Certificate { return c.ca.root }

func (h *HostCertificate) describe(leaf *x509.Certificate) {
	if leaf == nil {
		return
	}
	h.NotBefore, h.NotAfter, h.Issuer = leaf.NotBefore, leaf.NotAfter, leaf.Issuer.CommonName
	if len(leaf.Issuer.Organization) > 0 {
		h.Issuer = leaf.Issuer.Organization[0] + ", " + h.Issuer
	}
}

// known is the leaf that was made for a host, nil if none was.
func (ca *localCA) known(host string) *x509.Certificate {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if cert := ca.leaves.get(host, ca.now()); cert != nil {
		return cert.Leaf
	}
	return nil
}

// storedCertificates is what was last read of the storage.
type storedCertificates struct {
	at    time.Time
	hosts []string
	leaf  map[string]*x509.Certificate
}

// note remembers what the CA refused (certmagic's events cert_failed and cert_obtained).
func (a *acmeSource) note(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	if name == "" || event != "cert_failed" && event != "cert_obtained" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = storedCertificates{}
	delete(a.refused, name)
	why, _ := data["error"].(error)
	if event == "cert_obtained" || why == nil {
		return nil
	}
	if len(a.refused) >= maxResting {
		clear(a.refused)
	}
	text := why.Error()
	a.refused[name] = strings.ToValidUTF8(text[:min(len(text), maxRefusal)], "")
	return nil
}

func (a *acmeSource) refusal(host string) (why string, retry time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if why = a.refused[host]; why != "" {
		retry = a.resting[host].until
	}
	return why, retry
}

// leaf is the certificate of a host, from memory or from the storage; nil if there is none.
func (a *acmeSource) leaf(ctx context.Context, host string) *x509.Certificate {
	if found := a.cache.AllMatchingCertificates(host); len(found) > 0 {
		return found[0].Leaf
	}
	a.mu.Lock()
	known, ok := a.stored.leaf[host]
	a.mu.Unlock()
	if ok {
		return known
	}
	leaf, err := a.load(ctx, certmagic.StorageKeys.SiteCert(a.issuer.IssuerKey(), host))
	if err != nil {
		return nil // there is none, or none that can be read: it is asked for anew
	}
	return leaf
}

func (a *acmeSource) load(ctx context.Context, key string) (*x509.Certificate, error) {
	text, err := a.magic.Storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(key + " is no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// hosts are those with a certificate in the storage, and those that the CA refused.
func (a *acmeSource) hosts(ctx context.Context) ([]string, error) {
	a.mu.Lock()
	stored := a.stored
	var hosts []string
	for host := range a.refused {
		hosts = append(hosts, host)
	}
	a.mu.Unlock()
	if time.Since(stored.at) > storedFor {
		var err error
		if stored, err = a.readStorage(ctx); err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.stored = stored
		a.mu.Unlock()
	}
	hosts = append(hosts, stored.hosts...)
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

func (a *acmeSource) readStorage(ctx context.Context) (storedCertificates, error) {
	out := storedCertificates{at: time.Now(), leaf: map[string]*x509.Certificate{}}
	prefix := certmagic.StorageKeys.CertsPrefix(a.issuer.IssuerKey())
	keys, err := a.magic.Storage.List(ctx, prefix, true)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, wrapStorage("list", prefix, err)
	}
	for _, key := range keys {
		if path.Ext(key) != ".crt" {
			continue
		}
		leaf, err := a.load(ctx, key)
		if err != nil || len(leaf.DNSNames) == 0 {
			continue // damaged: it is obtained anew when somebody asks for the host
		}
		out.hosts = append(out.hosts, leaf.DNSNames[0])
		out.leaf[leaf.DNSNames[0]] = leaf
	}
	return out, nil
}
