package dataservice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// What a caller can tell apart of Backup, Restore and Undelete.
var (
	// ErrNoBackups says that the offering has no backup commands, or the platform no place for backups.
	ErrNoBackups = errors.New("the offering has no backups")
	// ErrBusy says that another operation goes on.
	ErrBusy = errors.New("another operation is in progress")
	// ErrNotUsable says that the instance is not one that is kept running.
	ErrNotUsable = errors.New("the service instance is not usable")
	// ErrOtherOffering says that a backup is of another offering.
	ErrOtherOffering = errors.New("the backup is of another offering")
	// ErrNotWhole says that a backup never succeeded, or has not yet.
	ErrNotWhole = errors.New("the backup is not complete")
)

// also is what a caller of Backup, Restore, Undelete or Purge writes in the transaction of its wish, such as who had it;
// nil: nothing. Its error undoes both.
type also = func(tx *store.Tx, s *store.DataService) error

func with(a also, tx *store.Tx, s *store.DataService) error {
	if a == nil {
		return nil
	}
	return a(tx, s)
}

// Backup asks for a backup of an instance and returns its record; it is made meanwhile.
func (m *Manager) Backup(guid string, more also) (b *store.DataBackup, err error) {
	err = m.DB.Update(func(tx *store.Tx) error {
		s, err := store.DataServices.Get(tx, guid)
		if err != nil {
			return err
		}
		if b, err = m.requestBackup(tx, s); err != nil {
			return err
		}
		return with(more, tx, s)
	})
	return b, err
}

func (m *Manager) requestBackup(tx *store.Tx, s *store.DataService) (*store.DataBackup, error) {
	o := m.offering(s)
	switch {
	case o == nil || o.Backup.empty() || m.Vault == nil:
		return nil, ErrNoBackups
	case s.State != store.DataReady || s.Disk == store.DataStopped:
		return nil, ErrNotUsable
	}
	if err := notBackedUp(tx, s.GUID); err != nil {
		return nil, err
	}
	b := &store.DataBackup{ServiceGUID: s.GUID, OfferingID: s.OfferingID, PlanID: s.PlanID, State: store.OperationInProgress, Key: vault.NewKey()}
	return b, store.DataBackups.Put(tx, b)
}

// notBackedUp returns ErrBusy while a backup of an instance is being made: what is put in place of its content meanwhile would be in
// the backup by half.
func notBackedUp(tx *store.Tx, guid string) error {
	all, _, err := store.DataBackups.List(tx, store.Query[store.DataBackup]{Where: []store.Cond{store.By("service", guid)}})
	if err == nil && slices.ContainsFunc(all, func(b *store.DataBackup) bool { return b.State == store.OperationInProgress }) {
		return ErrBusy
	}
	return err
}

// stepBackups begins what is to be made, asks for what is due, and lets go of what is too old.
func (m *Manager) stepBackups(ctx context.Context, s *store.DataService, all []*store.DataBackup) {
	if m.Vault == nil {
		return
	}
	var newest time.Time
	for _, b := range all {
		if b.CreatedAt.After(newest) {
			newest = b.CreatedAt
		}
		if b.State == store.OperationInProgress {
			m.beginWork(ctx, backupWork(b.GUID), func() error { return m.backUp(ctx, b.GUID) })
		}
	}
	if newest.IsZero() {
		newest = s.CreatedAt
	}
	o := m.offering(s)
	if m.BackupEvery > 0 && s.State == store.DataReady && s.Disk != store.DataStopped && o != nil && !o.Backup.empty() && time.Since(newest) > m.BackupEvery {
		if _, err := m.Backup(s.GUID, nil); err != nil {
			m.Log.Warn("scheduled backup not begun", "service_instance", s.GUID, "error", err)
		}
	}
	if err := m.retain(ctx, all); err != nil {
		m.Log.Warn("old backups not removed", "service_instance", s.GUID, "error", err)
	}
}

// backupWork is the key of the work on a backup.
func backupWork(guid string) string { return "backup " + guid }

// retain removes backups beyond BackupKeep, the oldest first, and failed ones that are older than the newest that succeeded.
func (m *Manager) retain(ctx context.Context, all []*store.DataBackup) error {
	if m.BackupKeep <= 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *store.DataBackup) int { return b.CreatedAt.Compare(a.CreatedAt) })
	var err error
	good := 0
	for _, b := range all {
		if b.State == store.OperationInProgress || good == 0 && b.State == store.OperationFailed {
			continue
		}
		if b.State == store.OperationSucceeded {
			if good++; good <= m.BackupKeep {
				continue
			}
		}
		err = errors.Join(err, m.removeBackup(ctx, b.GUID))
	}
	return err
}

// stepLeft removes the backups of instances whose data was destroyed: nobody can restore them any more.
func (m *Manager) stepLeft(ctx context.Context, live []*store.DataService, backups map[string][]*store.DataBackup) {
	there := make(map[string]bool, len(live))
	for _, s := range live {
		there[s.GUID] = true
	}
	for guid, left := range backups {
		if there[guid] {
			continue
		}
		for _, b := range left {
			m.beginWork(ctx, backupWork(b.GUID), func() error { return m.removeBackup(ctx, b.GUID) })
		}
	}
}

func (m *Manager) removeBackup(ctx context.Context, guid string) error {
	if err := m.Vault.Remove(ctx, guid); err != nil {
		return err
	}
	return m.DB.Update(func(tx *store.Tx) error { return store.DataBackups.Delete(tx, guid) })
}

// backUp makes a backup and proves it. An end of ctx leaves the record as it is: the next process begins anew.
func (m *Manager) backUp(ctx context.Context, guid string) error {
	b, err := m.getBackup(guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	size, sum, why := m.writeBackup(ctx, b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = m.changeBackup(guid, func(tx *store.Tx, now *store.DataBackup) {
		now.State, now.Bytes, now.SHA256, now.FinishedAt = store.OperationSucceeded, size, sum, tx.Now
		if why != nil {
			now.State, now.Error = store.OperationFailed, why.Error()
		}
	})
	if err != nil || why != nil {
		m.Log.Warn("backup not made", "service_instance", b.ServiceGUID, "backup", guid, "error", errors.Join(why, err))
		return err
	}
	return m.Prove(ctx, guid)
}

func (m *Manager) getBackup(guid string) (b *store.DataBackup, err error) {
	err = m.DB.View(func(tx *store.Tx) (err error) {
		b, err = store.DataBackups.Get(tx, guid)
		return err
	})
	return b, err
}

func (m *Manager) changeBackup(guid string, fn func(tx *store.Tx, b *store.DataBackup)) error {
	return m.DB.Update(func(tx *store.Tx) error {
		b, err := store.DataBackups.Get(tx, guid)
		if err != nil {
			return err
		}
		fn(tx, b)
		return store.DataBackups.Put(tx, b)
	})
}

// measure counts and hashes what is written.
type measure struct {
	n int64
	h hash.Hash
}

func (m *measure) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	return m.h.Write(p)
}

// writeBackup streams what the offering's command writes through the cipher into the vault.
func (m *Manager) writeBackup(ctx context.Context, b *store.DataBackup) (size int64, sum string, err error) {
	s, err := m.get(b.ServiceGUID)
	if err != nil {
		return 0, "", err
	}
	o, p, err := m.kind(s)
	if err != nil {
		return 0, "", err
	}
	stored := &measure{h: sha256.New()}
	err = m.putStream(ctx, b.GUID, func(out io.Writer) error {
		return encrypt(io.MultiWriter(out, stored), b.Key, b.GUID, func(plain io.Writer) error { return m.writeContent(ctx, s, o, p, plain) })
	})
	return stored.n, hex.EncodeToString(stored.h.Sum(nil)), err
}

// writeContent has the offering's commands for a backup write what an instance has.
func (m *Manager) writeContent(ctx context.Context, s *store.DataService, o *Offering, p *Plan, to io.Writer) error {
	v := newView(s, p, nil, nil)
	if err := m.runAll(ctx, s.GUID, v, o.BeforeBackup); err != nil {
		return err
	}
	return m.runCommand(ctx, s.GUID, v, o.Backup, nil, to)
}

// putStream keeps what a function writes in the vault, all of it or nothing.
func (m *Manager) putStream(ctx context.Context, name string, write func(io.Writer) error) error {
	return pipe(write, func(in io.Reader) error { return m.Vault.Put(ctx, name, in) })
}

// encrypt writes what a function writes to out, sealed.
func encrypt(out io.Writer, key []byte, name string, write func(io.Writer) error) error {
	return pipe(write, func(in io.Reader) error { return vault.Encrypt(out, in, key, name) })
}

// readBackup gives the plain content of a backup to a function.
func (m *Manager) readBackup(ctx context.Context, b *store.DataBackup, use func(io.Reader) error) error {
	return m.readSealed(ctx, b.GUID, b.Key, use)
}

// readSealed gives the plain content of what is kept by a name to a function.
func (m *Manager) readSealed(ctx context.Context, name string, key []byte, use func(io.Reader) error) error {
	err := unseal(ctx, m.Vault, name, name, key, use)
	if errors.Is(err, fs.ErrNotExist) {
		return errBackupGone
	}
	return err
}

// unseal gives the plain content of what a vault has to a function. name is the one that it was sealed with.
func unseal(ctx context.Context, from vault.Vault, kept, name string, key []byte, use func(io.Reader) error) error {
	sealed, err := from.Open(ctx, kept)
	if err != nil {
		return err
	}
	defer sealed.Close()
	return pipe(func(out io.Writer) error { return vault.Decrypt(out, sealed, key, name) }, use)
}

// Keeps tells whether instances of an offering keep what was written to them, and whether that can be backed up here.
func (m *Manager) Keeps(offeringID string) (data, backups bool) {
	o := m.Catalogue.offering(offeringID)
	return o != nil && o.Volume != "", o != nil && !o.Backup.empty() && m.Vault != nil
}
