package controller

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/router"
)

func TestDisks(t *testing.T) {
	dir := t.TempDir()
	for name, n := range map[string]int{"logs/a": 10, "registry/layers/b": 3000, "registry/c": 500, "cupola.lock": 0} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, make([]byte, n), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := (&disks{dir: dir, docker: dir}).Disks(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("Disks() = %+v, %v, want one disk, for Docker is on the same", all, err)
	}
	d := all[0]
	if d.Name != "data and containers" || d.Total <= 0 || d.Free <= 0 || d.Free > d.Total || d.State == "" {
		t.Errorf("disk %+v", d)
	}
	if len(d.Parts) != 2 || d.Parts[0] != (capi.DiskPart{Name: "registry", Bytes: 3500}) || d.Parts[1] != (capi.DiskPart{Name: "logs", Bytes: 10}) {
		t.Errorf("parts %+v, want registry 3500, logs 10", d.Parts)
	}
	if _, err := (&disks{dir: filepath.Join(dir, "none")}).Disks(t.Context()); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func TestJudgeDisk(t *testing.T) {
	const gb = 1 << 30
	for _, c := range []struct {
		total, free int64
		want        string
	}{{100 * gb, 50 * gb, capi.DiskFine}, {100 * gb, 14 * gb, capi.DiskLow}, {20 * gb, 4 * gb, capi.DiskLow}, {1000 * gb, 49 * gb, capi.DiskFull}, {10 * gb, gb / 2, capi.DiskFull}} {
		d := capi.Disk{Total: c.total, Free: c.free}
		if judgeDisk(&d); d.State != c.want || (d.Remedy == "") != (c.want == capi.DiskFine) {
			t.Errorf("%d GB free of %d: %s %q, want %s", c.free/gb, c.total/gb, d.State, d.Remedy, c.want)
		}
	}
}

func TestCertificateStates(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	of := func(left time.Duration) router.HostCertificate {
		end := now.Add(left)
		return router.HostCertificate{Host: "shop.example.com", Issuer: "Example", NotBefore: end.Add(-90 * 24 * time.Hour), NotAfter: end}
	}
	refused := router.HostCertificate{Host: "shop.example.com", Problem: "no such name", RetryAt: now.Add(time.Hour)}
	renewal := of(10 * 24 * time.Hour)
	renewal.Problem = "rate limited"
	for name, c := range map[string]struct {
		is     router.HostCertificate
		state  string
		remedy bool
	}{
		"young":         {of(60 * 24 * time.Hour), capi.CertificateValid, false},
		"to be renewed": {of(20 * 24 * time.Hour), capi.CertificateValid, false},
		"not renewed":   {renewal, capi.CertificateEnding, true},
		"over":          {of(-time.Hour), capi.CertificateExpired, true},
		"refused":       {refused, capi.CertificateFailing, true},
		"not asked for": {router.HostCertificate{Host: "shop.example.com", Local: true}, capi.CertificateToCome, false},
	} {
		got := certificates{now: func() time.Time { return now }}.show(c.is)
		if got.State != c.state || (got.Remedy != "") != c.remedy || (got.NotAfter == nil) != c.is.NotAfter.IsZero() || (got.RetryAt == nil) != c.is.RetryAt.IsZero() {
			t.Errorf("%s: %+v, want %s, a remedy: %v", name, got, c.state, c.remedy)
		}
	}
}
