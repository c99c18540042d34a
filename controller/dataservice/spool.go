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
	if m.readFetched(ctx, s, b, toEnd) == nil {
		return nil
	}
	err := m.Spool.Bring(ctx, m.Vault, b.GUID, s.GUID, b.Bytes)
	if errors.Is(err, fs.ErrNotExist) {
		err = errBackupGone
	}
	if err == nil {
		err = m.readFetched(ctx, s, b, toEnd)
	}
	if err != nil {
		return fmt.Errorf("nothing was changed, as the backup could not be fetched whole: %w", err)
	}
	return nil
}

// errBackupGone says that a backup that is recorded is gone.
var errBackupGone = fmt.Errorf("%w: it is not where backups are kept", vault.ErrDamaged)

// toEnd reads everything, so that nothing is begun with what is damaged.
func toEnd(in io.Reader) error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// readFetched gives the plain content of a backup that was fetched to a function.
func (m *Manager) readFetched(ctx context.Context, s *store.DataService, b *store.DataBackup, use func(io.Reader) error) error {
	return unseal(ctx, m.Spool, s.GUID, b.GUID, b.Key, use)
}

// errPutBack says that an instance has what it had before a restore that failed.
var errPutBack = errors.New("what was there before was put back")

// asideName is that of what an instance had before a restore.
func asideName(guid string) string { return guid + "-before" }

// setAside copies what an instance has into the spool, for when the restore fails by itself: a backup need not fit into the volume of a
// smaller plan. What an earlier process has set aside is used again, as the instance may have a part of the backup by now. A server
// that cannot be backed up is no reason against a restore: then nothing is there.
func (m *Manager) setAside(ctx context.Context, s *store.DataService, o *Offering, p *Plan) (there bool, err error) {
	if m.readAside(ctx, s, toEnd) == nil {
		return true, nil
	}
	m.tell(s.GUID, "what is there is copied before it is replaced")
	err = pipe(func(out io.Writer) error {
		return pipe(func(plain io.Writer) error { return m.writeContent(ctx, s, o, p, plain) },
			func(in io.Reader) error { return vault.EncryptPiece(out, in, s.RestoreKey, asideName(s.GUID)) })
	}, func(in io.Reader) error { return m.Spool.Put(ctx, asideName(s.GUID), in) })
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, vault.ErrNoSpace) || ctx.Err() != nil:
		return false, fmt.Errorf("nothing was changed, as what is there could not be copied first: %w", err)
	}
	m.Log.Warn("a restore begins without a copy of what is there", "service_instance", s.GUID, "error", err)
	return false, nil
}

// readAside gives what was set aside to a function.
func (m *Manager) readAside(ctx context.Context, s *store.DataService, use func(io.Reader) error) error {
	sealed, err := m.Spool.Open(ctx, asideName(s.GUID))
	if err != nil {
		return err
	}
	defer sealed.Close()
	return pipe(func(out io.Writer) error { return vault.DecryptPiece(out, sealed, s.RestoreKey, asideName(s.GUID)) }, use)
}

// putBack undoes a restore that failed for that reason.
func (m *Manager) putBack(ctx context.Context, s *store.DataService, o *Offering, p *Plan, why error) error {
	m.tell(s.GUID, "the restore failed: what was there before is put back")
	err := m.replace(ctx, s, o, p, func(use func(io.Reader) error) error { return m.readAside(ctx, s, use) })
	if err != nil {
		return fmt.Errorf("%w; what was there before could not be put back, and is when the next restore fails too: %w", why, err)
	}
	return fmt.Errorf("%w; %w", why, errPutBack)
}
