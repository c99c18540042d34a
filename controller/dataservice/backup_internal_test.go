package dataservice

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// idleManager has records and a place for backups, and no server.
func idleManager(t *testing.T) *Manager {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := &Manager{DB: db, Vault: vault.Folder{Dir: t.TempDir()}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	m.prepare()
	return m
}

func put(t *testing.T, m *Manager, write func(tx *store.Tx) error) {
	t.Helper()
	if err := m.DB.Update(write); err != nil {
		t.Fatal(err)
	}
}

// TestBackupsOfWhatIsGone: nothing stays of the backups of an instance whose data was destroyed, and all of one that lives.
func TestBackupsOfWhatIsGone(t *testing.T) {
	m := idleManager(t)
	backups := map[string][]*store.DataBackup{}
	for _, guid := range []string{"of-gone", "of-live"} {
		b := &store.DataBackup{Meta: store.Meta{GUID: guid}, ServiceGUID: guid[3:], State: store.OperationSucceeded}
		backups[b.ServiceGUID] = []*store.DataBackup{b}
		if err := m.Vault.Put(t.Context(), guid, strings.NewReader("content")); err != nil {
			t.Fatal(err)
		}
		put(t, m, func(tx *store.Tx) error { return store.DataBackups.Put(tx, b) })
	}
	live := &store.DataService{Meta: store.Meta{GUID: "live"}, State: store.DataDeleted, PurgeAt: time.Now().Add(time.Hour)}
	m.stepLeft(t.Context(), []*store.DataService{live}, backups)
	m.work.Wait()
	for guid, stays := range map[string]bool{"of-gone": false, "of-live": true} {
		_, err := m.getBackup(guid)
		content, errOpen := m.Vault.Open(t.Context(), guid)
		if content != nil {
			content.Close()
		}
		if stays && errors.Join(err, errOpen) != nil || !stays && (!errors.Is(err, store.ErrNotFound) || !errors.Is(errOpen, fs.ErrNotExist)) {
			t.Errorf("backup %s: record %v, content %v; want it to stay: %t", guid, err, errOpen, stays)
		}
	}
}

// TestRestoreWaitsForBackups: nothing is restored over what is being backed up, nor into a server that was stopped.
func TestRestoreWaitsForBackups(t *testing.T) {
	m := idleManager(t)
	s := &store.DataService{Meta: store.Meta{GUID: "db"}, OfferingID: "o", State: store.DataReady}
	whole := &store.DataBackup{Meta: store.Meta{GUID: "whole"}, ServiceGUID: "db", OfferingID: "o", State: store.OperationSucceeded}
	begun := &store.DataBackup{Meta: store.Meta{GUID: "begun"}, ServiceGUID: "db", OfferingID: "o", State: store.OperationInProgress}
	put(t, m, func(tx *store.Tx) error {
		return errors.Join(store.DataServices.Put(tx, s), store.DataBackups.Put(tx, whole), store.DataBackups.Put(tx, begun))
	})
	wants := func(what string, want error) {
		t.Helper()
		if err := m.Restore("db", "whole", nil); !errors.Is(err, want) {
			t.Errorf("%s a backup is restored: %v, want %v", what, err, want)
		}
		if err := m.RestoreTo("db", "db", time.Now(), nil); !errors.Is(err, want) {
			t.Errorf("%s a moment is restored: %v, want %v", what, err, want)
		}
	}
	wants("during a backup", ErrBusy)
	put(t, m, func(tx *store.Tx) error {
		s.Disk = store.DataStopped
		return errors.Join(store.DataBackups.Delete(tx, "begun"), store.DataServices.Put(tx, s))
	})
	wants("while it is stopped", ErrNotUsable)
	put(t, m, func(tx *store.Tx) error { s.Disk = ""; return store.DataServices.Put(tx, s) })
	if err := m.Restore("db", "whole", nil); err != nil {
		t.Error(err)
	}
}
