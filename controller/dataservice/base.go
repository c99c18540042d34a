package dataservice

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

func baseWork(guid string) string  { return "base " + guid }
func pruneWork(guid string) string { return "prune " + guid }

// baseDue reports whether an instance wants a base backup: the archive that goes on has none, or none that is new enough.
func (m *Manager) baseDue(s *store.DataService, all []*store.DataArchive) bool {
	i := slices.IndexFunc(all, func(a *store.DataArchive) bool { return a.Closed == "" })
	newest := time.Time{}
	if i >= 0 {
		if all[i].BaseTrouble != "" && time.Since(all[i].BaseTriedAt) < baseRetry {
			return false
		}
		for _, b := range usable(all[i]) {
			newest = b.FinishedAt
		}
	}
	if newest.IsZero() {
		return time.Since(s.CreatedAt) > m.settle()
	}
	return time.Since(newest) > m.BackupEvery
}

// baseTrouble writes down how it went when a base backup was last made and proved. An interruption is none of the archive that
// has begun since: that wants a base backup at once, as no moment of it can be restored without.
func (m *Manager) baseTrouble(guid string, why error) {
	if errors.Is(why, errInterrupted) {
		return
	}
	err := m.DB.Update(func(tx *store.Tx) error {
		a, err := openArchive(tx, guid)
		if err != nil || a == nil {
			return err
		}
		a.BaseTriedAt, a.BaseTrouble = tx.Now, ""
		if why != nil {
			a.BaseTrouble = why.Error()
		}
		return store.DataArchives.Put(tx, a)
	})
	if err != nil {
		m.Log.Warn("trouble of a base backup not written", "service_instance", guid, "error", err)
	}
}

func (m *Manager) settle() time.Duration {
	if m.FirstBase != 0 {
		return m.FirstBase
	}
	return firstBase
}

// usable are the base backups that a recovery can begin from, the oldest first.
func usable(a *store.DataArchive) []store.DataBase {
	return slices.DeleteFunc(slices.Clone(a.Bases), func(b store.DataBase) bool { return b.State != store.OperationSucceeded })
}

// takeBase makes a base backup, has the segments that belong to it archived, and proves it.
func (m *Manager) takeBase(ctx context.Context, guid string) error {
	s, err := m.get(guid)
	if err != nil || s.State != store.DataReady {
		return err
	}
	archive, base, err := m.writeBase(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		m.baseTrouble(guid, fmt.Errorf("no base backup: %w", err))
		return err
	}
	return m.proveBase(ctx, s, archive, base)
}

func (m *Manager) writeBase(ctx context.Context, s *store.DataService) (archive, base string, err error) {
	o, p, err := m.kind(s)
	if err != nil {
		return "", "", err
	}
	a, start, err := m.flush(ctx, s, o, p)
	if err != nil {
		return "", "", err
	}
	b := store.DataBase{GUID: uuid.NewString(), Key: vault.NewKey(), State: store.OperationInProgress, Start: start}
	if err := m.changeArchive(a.GUID, func(tx *store.Tx, now *store.DataArchive) {
		dropUnfinished(now) // of a process that has ended
		b.BeganAt = tx.Now
		now.Bases = append(now.Bases, b)
	}); err != nil {
		return "", "", err
	}
	stored := &measure{h: sha256.New()}
	err = m.putStream(ctx, b.GUID, func(out io.Writer) error {
		return encrypt(io.MultiWriter(out, stored), b.Key, b.GUID, func(plain io.Writer) error {
			return m.runCommand(ctx, s.GUID, newView(s, p, nil, nil), o.Recovery.Base, nil, plain)
		})
	})
	if err != nil {
		return "", "", err
	}
	finished := time.Now().UTC()
	then, end, err := m.flush(ctx, s, o, p)
	if err != nil {
		return "", "", err
	}
	if then.GUID != a.GUID {
		return "", "", errInterrupted
	}
	return a.GUID, b.GUID, m.changeBase(a.GUID, b.GUID, func(now *store.DataBase) {
		now.State, now.FinishedAt, now.End, now.Bytes = store.OperationSucceeded, finished, end, stored.n
	})
}

// dropUnfinished moves base backups that were never finished to what is removed.
func dropUnfinished(a *store.DataArchive) {
	a.Bases = slices.DeleteFunc(a.Bases, func(b store.DataBase) bool {
		if b.State == store.OperationSucceeded {
			return false
		}
		a.Leaving = append(a.Leaving, store.DataPieces{Base: b.GUID})
		return true
	})
}

func (m *Manager) changeBase(archive, base string, fn func(*store.DataBase)) error {
	return m.changeArchive(archive, func(_ *store.Tx, a *store.DataArchive) {
		for i := range a.Bases {
			if a.Bases[i].GUID == base {
				fn(&a.Bases[i])
			}
		}
	})
}

// proveBase recovers a base backup with its segments in a server that lives for that alone, queries it, and stamps it.
func (m *Manager) proveBase(ctx context.Context, s *store.DataService, archive, base string) error {
	var a *store.DataArchive
	if err := m.DB.View(func(tx *store.Tx) (err error) {
		a, err = store.DataArchives.Get(tx, archive)
		return err
	}); err != nil {
		return err
	}
	i := slices.IndexFunc(a.Bases, func(b store.DataBase) bool { return b.GUID == base })
	if i < 0 {
		return nil
	}
	said := ""
	why := m.recovered(ctx, s, recovery{archive: a, base: a.Bases[i], last: a.Bases[i].End}, func(ctx context.Context, b *bench) (err error) {
		said, err = m.prove(ctx, b.guid, b.v, b.o)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if why != nil {
		m.Log.Error("a base backup could not be recovered", "service_instance", s.GUID, "archive", archive, "base", base, "error", why)
	}
	m.baseTrouble(s.GUID, why)
	return m.DB.Update(func(tx *store.Tx) error {
		now, err := store.DataArchives.Get(tx, archive)
		if err != nil {
			return err
		}
		for i := range now.Bases {
			switch {
			case now.Bases[i].GUID != base:
			case why != nil:
				now.Bases[i].Proof = "not recovered: " + why.Error()
			default:
				now.Bases[i].Proof, now.Bases[i].ProvedAt = said, tx.Now
			}
		}
		return store.DataArchives.Put(tx, now)
	})
}

// readBase gives the plain content of a base backup to a function.
func (m *Manager) readBase(ctx context.Context, b store.DataBase, use func(io.Reader) error) error {
	return m.readSealed(ctx, b.GUID, b.Key, use)
}

// stepRetention removes base backups that no moment within reach needs, each with the segments that no other needs.
func (m *Manager) stepRetention(ctx context.Context, guid string, all []*store.DataArchive) {
	now := time.Now()
	for _, a := range all {
		if len(a.Leaving) > 0 || expired(a, now) > 0 || outlived(a, now) {
			m.beginWork(ctx, pruneWork(guid), func() error { return m.prune(ctx, a.GUID) })
			return
		}
	}
}

// expired is how many of the oldest usable base backups nobody needs: a later one reaches as far back as is promised.
func expired(a *store.DataArchive, now time.Time) int {
	n := 0
	for i, b := range usable(a) {
		if !b.FinishedAt.After(now.AddDate(0, 0, -a.Days)) {
			n = i
		}
	}
	return n
}

// outlived reports whether all of an archive that is closed, or whose instance is gone, is older than is promised.
func outlived(a *store.DataArchive, now time.Time) bool {
	return a.Closed != "" && a.Until.Before(now.AddDate(0, 0, -a.Days))
}

// giveUpArchives lets all archives of an instance that is gone be removed.
func giveUpArchives(tx *store.Tx, guid string) error {
	all, err := archivesOf(tx, guid)
	for _, a := range all {
		a.Closed, a.Days = "the service instance is gone", 0
		err = errors.Join(err, store.DataArchives.Put(tx, a))
	}
	return err
}

// prune writes down what is removed from an archive, removes it, and forgets it.
func (m *Manager) prune(ctx context.Context, guid string) error {
	var a *store.DataArchive
	err := m.changeArchive(guid, func(tx *store.Tx, now *store.DataArchive) {
		a = now
		if outlived(now, tx.Now) {
			leaveAll(now)
			return
		}
		for range expired(now, tx.Now) {
			leaveOldest(now)
		}
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range a.Leaving {
		if err := m.removePieces(ctx, guid, p); err != nil {
			return err
		}
	}
	return m.DB.Update(func(tx *store.Tx) error {
		now, err := store.DataArchives.Get(tx, guid)
		if err != nil {
			return err
		}
		now.Leaving = slices.DeleteFunc(now.Leaving, func(p store.DataPieces) bool { return slices.Contains(a.Leaving, p) })
		if now.First == "" && len(now.Bases) == 0 && len(now.Leaving) == 0 && now.Closed != "" {
			return store.DataArchives.Delete(tx, guid)
		}
		return store.DataArchives.Put(tx, now)
	})
}

// leaveOldest gives up the oldest usable base backup with the segments before the next.
func leaveOldest(a *store.DataArchive) {
	good := usable(a)
	oldest, next := good[0], good[1]
	out := store.DataPieces{Base: oldest.GUID}
	if n, err := segmentNumber(next.Start); err == nil && segmentWithin(next.Start, a.First, a.Last) && next.Start != a.First {
		out.First, out.Last, a.First = a.First, segmentAt(a.First, n-1), next.Start
	}
	a.Leaving = append(a.Leaving, out)
	a.Bases = slices.DeleteFunc(a.Bases, func(b store.DataBase) bool { return b.GUID == oldest.GUID })
}

func leaveAll(a *store.DataArchive) {
	for _, b := range a.Bases {
		a.Leaving = append(a.Leaving, store.DataPieces{Base: b.GUID})
	}
	if a.First != "" {
		a.Leaving = append(a.Leaving, store.DataPieces{First: a.First, Last: a.Last})
	}
	a.Bases, a.First, a.Last = nil, "", ""
}

func (m *Manager) removePieces(ctx context.Context, archive string, p store.DataPieces) error {
	if p.Base != "" {
		if err := m.Vault.Remove(ctx, p.Base); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if p.First == "" {
		return nil
	}
	return segmentsOf(p.First, p.Last, func(name string) error { return m.Vault.Remove(ctx, pieceName(archive, name)) })
}
