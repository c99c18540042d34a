package router

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// TestCertificatesAreListed shows what is told of hosts of the local CA, of one that the ACME CA refused, and of one in
// the storage.
func TestCertificatesAreListed(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	c, err := NewCertificates(CertOptions{
		Storage: storage, Allowed: func(string) bool { return true }, ACMECA: "https://127.0.0.1:1/directory",
		Local: func(host string) bool { return host == "shop.localhost" },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Host(t.Context(), "shop.localhost"); !got.Local || !got.NotAfter.IsZero() || got.Issuer == "" {
		t.Errorf("before the first client: %+v", got)
	}
	if _, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "shop.localhost"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Host(t.Context(), "shop.localhost"); got.NotAfter.Before(time.Now()) || got.Due(time.Now()) {
		t.Errorf("after the first client: %+v", got)
	}
	if all, err := c.Public(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("at first: %v %v", all, err)
	}
	fail := map[string]any{"identifier": "refused.example.com", "error": errors.New("urn:ietf:params:acme:error:dns: no such name")}
	if err := c.acme.note(t.Context(), "cert_failed", fail); err != nil {
		t.Fatal(err)
	}
	leaf, err := c.ca.leaf("stored.example.com")
	if err != nil {
		t.Fatal(err)
	}
	key := certmagic.StorageKeys.SiteCert(c.acme.issuer.IssuerKey(), "stored.example.com")
	if err := storage.Store(t.Context(), key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]})); err != nil {
		t.Fatal(err)
	}
	all, err := c.Public(t.Context())
	if err != nil || len(all) != 2 || all[0].Host != "refused.example.com" || all[1].Host != "stored.example.com" {
		t.Fatalf("Public() = %+v, %v", all, err)
	}
	if all[0].Problem == "" || !all[0].NotAfter.IsZero() || all[1].Problem != "" || !all[1].NotAfter.Equal(leaf.Leaf.NotAfter) {
		t.Errorf("Public() = %+v", all)
	}
	if end := all[1].NotAfter; all[1].Due(end.Add(-16*24*time.Hour)) || !all[1].Due(end.Add(-14*24*time.Hour)) {
		t.Error("a certificate of 90 days is due for longer or shorter than its last 15")
	}
	if err := c.acme.note(t.Context(), "cert_obtained", map[string]any{"identifier": "refused.example.com"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Host(t.Context(), "refused.example.com"); got.Problem != "" {
		t.Errorf("after it was obtained: %+v", got)
	}
}
