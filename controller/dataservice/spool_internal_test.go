package dataservice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// reads wants a text, and no other.
func reads(want string) func(io.Reader) error {
	return func(in io.Reader) error {
		text, err := io.ReadAll(in)
		if err == nil && string(text) != want {
			err = fmt.Errorf("it reads %q, want %q", text, want)
		}
		return err
	}
}

// TestAFetchedBackupIsUsedAgain: a restore that a stop of the platform has broken off ends without the place of backups; what is
// fetched for another backup, or was damaged since, is not taken for it.
func TestAFetchedBackupIsUsedAgain(t *testing.T) {
	m := idleManager(t)
	m.Spool = vault.Folder{Dir: t.TempDir()}
	s := &store.DataService{Meta: store.Meta{GUID: "db"}}
	backup := func(guid string) *store.DataBackup {
		b := &store.DataBackup{Meta: store.Meta{GUID: guid}, Key: vault.NewKey()}
		var sealed bytes.Buffer
		if err := errors.Join(vault.Encrypt(&sealed, strings.NewReader(guid), b.Key, guid), m.Vault.Put(t.Context(), guid, &sealed)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second := backup("first"), backup("second")
	for _, b := range []*store.DataBackup{first, second} {
		if err := m.fetch(t.Context(), s, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Vault.Remove(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	if err := m.fetch(t.Context(), s, second); err != nil {
		t.Errorf("what was fetched is fetched again: %v", err)
	}
	if err := m.readFetched(t.Context(), s, second, reads("second")); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(filepath.Join(m.Spool.Dir, "db.backup"), 20); err != nil {
		t.Fatal(err)
	}
	if err := m.fetch(t.Context(), s, second); !errors.Is(err, vault.ErrDamaged) || !strings.Contains(err.Error(), "could not be fetched") {
		t.Errorf("what was damaged since: %v", err)
	}
}

// TestWhatWasSetAsideIsUsedAgain: once a restore has begun, a copy of the instance would have a part of the backup, so that of before stays.
func TestWhatWasSetAsideIsUsedAgain(t *testing.T) {
	m := idleManager(t) // without an engine, which a new copy would need
	m.Spool = vault.Folder{Dir: t.TempDir()}
	s := &store.DataService{Meta: store.Meta{GUID: "db"}, RestoreKey: vault.NewKey()}
	var sealed bytes.Buffer
	if err := errors.Join(vault.EncryptPiece(&sealed, strings.NewReader("before"), s.RestoreKey, asideName("db")), m.Spool.Put(t.Context(), asideName("db"), &sealed)); err != nil {
		t.Fatal(err)
	}
	if there, err := m.setAside(t.Context(), s, &Offering{}, &Plan{}); !there || err != nil {
		t.Fatalf("it is there: %t (%v)", there, err)
	}
	if err := m.readAside(t.Context(), s, reads("before")); err != nil {
		t.Error(err)
	}
}
