package dataservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// fetch brings a backup into the spool, by the instance that it is restored into, and reads it there to its end: where backups are
// kept may go away in the middle of a restore, which then has no need of it. What an earlier process has fetched is used again, as the
// instance may have a part of it by now.
func (m *Manager) fetch(ctx context.Context, s *store.DataService, b *store.DataBackup) error {
	if m.checkFetched(ctx, s, b) == nil {
		return nil
	}
	err := m.Spool.Bring(ctx, m.Vault, b.GUID, s.GUID, b.Bytes)
	if errors.Is(err, fs.ErrNotExist) {
		err = errBackupGone
	}
	if err == nil {
		err = m.checkFetched(ctx, s, b)
	}
	if err != nil {
		return fmt.Errorf("nothing was changed, as the backup could not be fetched whole: %w", err)
	}
	return nil
}

// errBackupGone says that a backup that is recorded is gone.
var errBackupGone = fmt.Errorf("%w: it is not where backups are kept", vault.ErrDamaged)

// checkFetched reads what was fetched to its end, so that nothing is begun with a backup that is damaged.
func (m *Manager) checkFetched(ctx context.Context, s *store.DataService, b *store.DataBackup) error {
	return m.readFetched(ctx, s, b, func(in io.Reader) error {
		_, err := io.Copy(io.Discard, in)
		return err
	})
}

// readFetched gives the plain content of a backup that was fetched to a function.
func (m *Manager) readFetched(ctx context.Context, s *store.DataService, b *store.DataBackup, use func(io.Reader) error) error {
	return unseal(ctx, m.Spool, s.GUID, b.GUID, b.Key, use)
}
