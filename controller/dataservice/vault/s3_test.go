package vault_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
)

// secret is obviously an example; it must be in no error.
const secret = "example-secret-key"

// bucket is an S3 server with a bucket "backups".
func bucket(t *testing.T) (*httptest.Server, *s3mem.Backend) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return server, backend
}

func openS3(t *testing.T, url string) *vault.S3 {
	t.Helper()
	s, err := vault.NewS3(vault.S3Options{URL: url, Region: "us-east-1", AccessKey: "example", SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestS3: what was put is got, in one part and in several, and nothing stays of what broke off.
func TestS3(t *testing.T) {
	server, backend := bucket(t)
	s := openS3(t, server.URL+"/backups/platform")
	large := make([]byte, 40<<20)
	rand.Read(large)
	for name, content := range map[string][]byte{"small": []byte("a few bytes"), "large": large} {
		if err := s.Put(t.Context(), name, bytes.NewReader(content)); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
		r, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatalf("open %s: %v", name, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes come back (%v), want %d", name, len(got), err, len(content))
		}
		r.Close()
	}
	if _, err := backend.HeadObject("backups", "platform/small.backup"); err != nil {
		t.Errorf("the object is not where it should be: %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(large[:20<<20]), iotest.ErrReader(errors.New("broken off")))
	if err := s.Put(t.Context(), "broken", broken); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("a stream that breaks off: %v", err)
	}
	if _, err := s.Open(t.Context(), "broken"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something stays of it: %v", err)
	}
	for range 2 { // twice is no error
		if err := s.Remove(t.Context(), "small"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Open(t.Context(), "small"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was removed: %v", err)
	}
	if err := s.Put(t.Context(), "../x", strings.NewReader("")); err == nil {
		t.Error("a name with a folder is taken")
	}
}

// TestS3Refusals: wrong options are named when it is made, wrong places when they are used, and never with the key.
func TestS3Refusals(t *testing.T) {
	for _, o := range []vault.S3Options{
		{URL: "backups"}, {URL: "ftp://s3.example.com/b"}, {URL: "https://s3.example.com"}, {URL: "https://u:p@s3.example.com/b"},
		{URL: "https://s3.example.com/b", AccessKey: "only"},
	} {
		if o.AccessKey == "" {
			o.AccessKey, o.SecretKey = "example", secret
		}
		if _, err := vault.NewS3(o); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", o.URL, err)
		}
	}
	server, _ := bucket(t)
	absent := openS3(t, server.URL+"/absent")
	err := absent.Put(t.Context(), "x", strings.NewReader("x"))
	if err == nil || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), secret) {
		t.Errorf("a bucket that is not there: %v", err)
	}
	server.Close()
	if err := openS3(t, server.URL+"/backups").Remove(t.Context(), "x"); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a server that is gone: %v", err)
	}
}

// TestMoved: what was kept before is found, and new things go to the new place.
func TestMoved(t *testing.T) {
	server, backend := bucket(t)
	before := vault.Folder{Dir: t.TempDir()}
	m := vault.Moved{Now: openS3(t, server.URL+"/backups"), Before: before}
	if err := before.Put(t.Context(), "old", strings.NewReader("old content")); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(t.Context(), "new", strings.NewReader("new content")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		r, err := m.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != name+" content" {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
		r.Close()
		if err := m.Remove(t.Context(), name); err != nil {
			t.Error(err)
		}
		if _, err := m.Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, removed: %v", name, err)
		}
	}
	if _, err := backend.HeadObject("backups", "old.backup"); err == nil {
		t.Error("what is old was put into the new place")
	}
}
