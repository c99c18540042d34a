package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

func openStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newIssuer(t *testing.T, db *store.DB) *Issuer {
	t.Helper()
	i, err := New(db, func() []byte { return []byte("platform") })
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// verified parses the files and checks them as a server would that trusts the CAs.
func verified(t *testing.T, files map[string][]byte, cas []byte, at time.Time) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(files["/etc/cf-instance-credentials/instance.crt"], files["/etc/cf-instance-credentials/instance.key"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cas) {
		t.Fatal("no CA")
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}, CurrentTime: at}); err != nil {
			t.Errorf("certificate is not valid at %s: %v", at, err)
		}
	}
	return pair.Leaf
}

func TestFiles(t *testing.T) {
	db := openStore(t)
	i := newIssuer(t, db)
	files, err := i.Files(Instance{GUID: "i1", AppGUID: "a1", SpaceGUID: "s1", OrgGUID: "o1", Address: "10.9.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	again := newIssuer(t, db) // the CA is the same after a restart
	leaf := verified(t, files, again.CAPEM(), time.Now())
	if leaf.Subject.CommonName != "i1" || !slices.Equal(slices.Sorted(slices.Values(leaf.Subject.OrganizationalUnit)), []string{"app:a1", "organization:o1", "space:s1"}) {
		t.Errorf("subject = %s", leaf.Subject)
	}
	if len(leaf.IPAddresses) != 1 || leaf.IPAddresses[0].String() != "10.9.0.2" || leaf.VerifyHostname("i1") != nil {
		t.Errorf("names = %v %v", leaf.IPAddresses, leaf.DNSNames)
	}
	if who, ok := Of(leaf); !ok || who != (Instance{GUID: "i1", AppGUID: "a1", SpaceGUID: "s1", OrgGUID: "o1"}) {
		t.Errorf("the certificate is of %+v, %t", who, ok)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: again.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if left := time.Until(leaf.NotAfter); left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("it is valid for %s", left)
	}
	if string(files["/etc/cf-system-certificates/platform-ca.crt"]) != "platform" || len(files["/etc/cf-system-certificates/instance-identity-ca.crt"]) == 0 {
		t.Errorf("what to trust = %q", files["/etc/cf-system-certificates/platform-ca.crt"])
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool()}); err == nil {
		t.Error("it is valid without our CA")
	}
}

// TestSuccessor: a CA near its end gets a successor, and what it signed is still valid.
func TestSuccessor(t *testing.T) {
	db := openStore(t)
	i := newIssuer(t, db)
	later := time.Now().Add(caFor - caRenew/2 + time.Hour)
	i.now = func() time.Time { return later.Add(-2 * time.Hour) }
	old, err := i.Files(Instance{GUID: "i1"})
	if err != nil {
		t.Fatal(err)
	}
	before := i.ca
	i.now = func() time.Time { return later }
	fresh, err := i.Files(Instance{GUID: "i2"})
	if err != nil {
		t.Fatal(err)
	}
	if i.ca.Equal(before) {
		t.Fatal("there is no successor")
	}
	for _, files := range []map[string][]byte{old, fresh} {
		verified(t, files, i.CAPEM(), later)
	}
}

// engine lists one instance and keeps the files that it was given.
type engine struct {
	status node.Status
	given  []map[string][]byte
	err    error
}

func (e *engine) List(context.Context) ([]node.Status, error) { return []node.Status{e.status}, nil }
func (e *engine) UpdateFiles(_ context.Context, _ string, files map[string][]byte) error {
	if e.err == nil {
		e.given = append(e.given, files)
	}
	return e.err
}

func TestRenewal(t *testing.T) {
	db := openStore(t)
	app := &store.App{Name: "a", State: store.AppStarted}
	err := db.Update(func(tx *store.Tx) error {
		org := &store.Org{Name: "o"}
		err := store.Orgs.Put(tx, org)
		space := &store.Space{Name: "s", OrgGUID: org.GUID}
		err = errors.Join(err, store.Spaces.Put(tx, space))
		app.SpaceGUID = space.GUID
		return errors.Join(err, store.Apps.Put(tx, app))
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i := newIssuer(t, db)
	i.now = func() time.Time { return now }
	e := &engine{status: node.Status{ID: "i1", Labels: map[string]string{"app": app.GUID}, State: node.Running, Address: "10.9.0.2", StartedAt: now}}
	l := &Loop{DB: db, Issuer: i, Engine: e, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	extra, err := l.Finish("i1", app.GUID)("10.9.0.2")
	if err != nil || extra.Env["CF_INSTANCE_CERT"] != certFile || extra.Env["CF_INSTANCE_INTERNAL_IP"] != "10.9.0.2" || extra.Files[certFile] == nil {
		t.Fatalf("at the start it gets %v, %v", extra.Env, err)
	}
	step := func(after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		if err := l.Step(context.Background()); (err != nil) != (e.err != nil) {
			t.Fatalf("step = %v", err)
		}
		if len(e.given) != want {
			t.Fatalf("after %s more it was given %d certificates, want %d", after, len(e.given), want)
		}
	}
	step(0, 0)
	step(renewAt-time.Minute, 0)
	e.err = errors.New("the engine is away")
	step(2*time.Minute, 0)
	e.err = nil
	step(time.Minute, 1)
	verified(t, e.given[0], i.CAPEM(), now)
	step(time.Minute, 1)
	l.issued = nil // another process: it does not know what was issued when
	step(time.Minute, 2)
	e.status.State = node.Exited
	step(2*renewAt, 2)
	if _, err := l.Finish("i2", "no-such-app")(""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("for an app that is not there: %v", err)
	}
}

// TestOf: what is not just one app's, in one space and org, is nobody's.
func TestOf(t *testing.T) {
	for _, units := range [][]string{
		nil, {"app:a", "space:s"}, {"app:a", "space:s", "organization:"}, {"app:a", "app:b", "space:s", "organization:o"},
		{"app:a", "space:s", "organization:o", "admin:yes"},
	} {
		if who, ok := Of(&x509.Certificate{Subject: pkix.Name{CommonName: "i", OrganizationalUnit: units}}); ok {
			t.Errorf("%v is taken for %+v", units, who)
		}
	}
	i := newIssuer(t, openStore(t))
	cert, _, _, err := i.Server("database", "10.9.0.3", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	server, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if who, ok := Of(server); ok {
		t.Errorf("a server is taken for %+v", who)
	}
}

// TestTrustFiles: OpenSSL finds the local CA by the name of its file.
func TestTrustFiles(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	i := newIssuer(t, openStore(t))
	pems := i.CAPEM() // any CA will do
	i.trusted = func() []byte { return append(pems, pems...) }
	files, err := i.Files(Instance{GUID: "i1", AppGUID: "a1", SpaceGUID: "s1", OrgGUID: "o1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert := filepath.Join(dir, "leaf.pem")
	if err := os.WriteFile(cert, files[certFile], 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, content := range files {
		if path.Dir(name) != trustDir {
			continue
		}
		n++
		if err := os.WriteFile(filepath.Join(dir, path.Base(name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("%d files for 2 certificates", n)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "verify", "-no-CAfile", "-CApath", dir, cert).CombinedOutput(); err != nil {
		t.Errorf("openssl verify: %v: %s", err, out)
	}
}
