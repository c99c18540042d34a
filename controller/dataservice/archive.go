package dataservice

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

const (
	// firstBase is how old an instance is before its first base backup, so that making one is not slowed down by it.
	firstBase = 2 * time.Minute
	// baseRetry is between a base backup that failed and the next.
	baseRetry = 10 * time.Minute
	// arrival is how long a segment may take to get into the archive.
	arrival = 2 * time.Minute
	// maxSegment bounds a segment, which compressed cannot be much more than it is.
	maxSegment = 32 << 20
)

// errInterrupted says that a segment that was waited for was lost, and another archive begun after it.
var errInterrupted = errors.New("the archive was interrupted meanwhile")

// recovers reports whether any moment of an instance of a plan can be restored.
func recovers(o *Offering, p *Plan) bool {
	return o != nil && p != nil && o.Recovery != nil && p.RecoveryDays > 0
}

func shipWork(guid string) string { return "ship " + guid }

// stepArchives has the segments of an instance brought away, base backups made, and what is too old removed.
func (m *Manager) stepArchives(ctx context.Context, s *store.DataService, all []*store.DataArchive) {
	if m.Vault == nil || m.BackupEvery <= 0 {
		return
	}
	o := m.offering(s)
	if s.State != store.DataReady {
		return
	}
	if !recovers(o, o.plan(s.PlanID)) {
		m.endArchives(s, all)
		return
	}
	m.beginWork(ctx, shipWork(s.GUID), func() error { return m.ship(ctx, s.GUID) })
	if m.baseDue(s, all) {
		m.beginWork(ctx, baseWork(s.GUID), func() error { return m.takeBase(ctx, s.GUID) })
	}
}

// endArchives closes the archive of an instance whose plan keeps no moments any more.
func (m *Manager) endArchives(s *store.DataService, all []*store.DataArchive) {
	for _, a := range all {
		if a.Closed != "" {
			continue
		}
		err := m.changeArchive(a.GUID, func(_ *store.Tx, now *store.DataArchive) { now.Closed = "the plan keeps backups alone" })
		if err != nil {
			m.Log.Warn("archive not closed", "service_instance", s.GUID, "error", err)
		}
	}
}

// ship takes segments from an instance's server for as long as it runs, each one encrypted into the vault. What an
// earlier process has taken and not acknowledged comes again.
func (m *Manager) ship(ctx context.Context, guid string) error {
	s, err := m.get(guid)
	if errors.Is(err, store.ErrNotFound) || err == nil && s.State != store.DataReady {
		return nil
	}
	if err != nil {
		return err
	}
	o, p, err := m.kind(s)
	if err != nil || !recovers(o, p) {
		return err
	}
	entries, fromServer := io.Pipe()
	acks, toServer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		c := Command{Run: []string{keeper.Path, "ship", o.Recovery.Spool}}
		err := m.runCommand(ctx, guid, newView(s, p, nil, nil), c, acks, fromServer)
		fromServer.CloseWithError(err)
		acks.CloseWithError(io.ErrClosedPipe)
		done <- err
	}()
	err = m.takeSegments(ctx, s, p, entries, toServer)
	entries.CloseWithError(io.ErrClosedPipe)
	toServer.Close() // which ends the command
	if why := <-done; err == nil {
		err = why
	}
	if now, gone := m.get(guid); gone != nil || now.State != store.DataReady || ctx.Err() != nil {
		return nil // it was stopped, and so was this
	}
	return err
}

func (m *Manager) takeSegments(ctx context.Context, s *store.DataService, p *Plan, from io.Reader, acks io.Writer) error {
	entries := tar.NewReader(from)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !segmentName.MatchString(h.Name) || h.Size > maxSegment {
			return fmt.Errorf("the server gives %q of %d bytes, which is no segment", h.Name, h.Size)
		}
		err = m.keepSegment(ctx, s, p, h, entries)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.trouble(s.GUID, err)
		if err != nil {
			return fmt.Errorf("segment %s: %w", h.Name, err)
		}
		if _, err := io.WriteString(acks, h.Name+"\n"); err != nil {
			return err
		}
	}
}

// keepSegment puts a segment into the vault and then into the record of the archive that goes on.
func (m *Manager) keepSegment(ctx context.Context, s *store.DataService, p *Plan, h *tar.Header, in io.Reader) error {
	a, had, err := m.archiveFor(s, p, h.Name)
	if err != nil || had {
		return err
	}
	name := pieceName(a.GUID, h.Name)
	if err := m.putStream(ctx, name, func(out io.Writer) error { return vault.EncryptPiece(out, in, a.Key, name) }); err != nil {
		return err
	}
	return m.changeArchive(a.GUID, func(_ *store.Tx, now *store.DataArchive) {
		if now.First == "" {
			now.First = h.Name
		}
		now.Last, now.Until, now.Days = h.Name, h.ModTime.UTC(), p.RecoveryDays
		if n := len(now.Bases); n > 0 {
			now.Bases[n-1].LogBytes += h.Size
		}
	})
}

// pieceName is what the vault calls a segment.
func pieceName(archive, segment string) string { return archive + "-" + segment }

// archiveFor is the archive that a segment belongs to. One that misses a segment is closed, and another begun. had says that
// the segment is there already.
func (m *Manager) archiveFor(s *store.DataService, p *Plan, segment string) (a *store.DataArchive, had bool, err error) {
	err = m.DB.Update(func(tx *store.Tx) error {
		if a, err = openArchive(tx, s.GUID); err != nil {
			return err
		}
		switch {
		case a != nil && (a.Last == "" || segmentFollows(a.Last, segment)):
			return nil
		case a != nil && segmentWithin(segment, a.First, a.Last):
			had = true
			return nil
		case a != nil:
			a.Closed = fmt.Sprintf("what was written after the segment %s and before %s was lost, as the archive did not take it in time", a.Last, segment)
			m.Log.Error("a gap in the archive of a data service; moments within it cannot be restored", "service_instance", s.GUID, "after", a.Last, "before", segment)
			if err := store.DataArchives.Put(tx, a); err != nil {
				return err
			}
		}
		a = &store.DataArchive{ServiceGUID: s.GUID, Key: vault.NewKey(), Days: p.RecoveryDays}
		return store.DataArchives.Put(tx, a)
	})
	return a, had, err
}

func archivesOf(tx *store.Tx, service string) ([]*store.DataArchive, error) {
	all, _, err := store.DataArchives.List(tx, store.Query[store.DataArchive]{Where: []store.Cond{store.By("service", service)}})
	slices.SortFunc(all, func(a, b *store.DataArchive) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all, err
}

// openArchive is the one that goes on, nil: there is none.
func openArchive(tx *store.Tx, service string) (*store.DataArchive, error) {
	all, err := archivesOf(tx, service)
	if i := slices.IndexFunc(all, func(a *store.DataArchive) bool { return a.Closed == "" }); i >= 0 {
		return all[i], err
	}
	return nil, err
}

func (m *Manager) changeArchive(guid string, fn func(tx *store.Tx, a *store.DataArchive)) error {
	return m.DB.Update(func(tx *store.Tx) error {
		a, err := store.DataArchives.Get(tx, guid)
		if err != nil {
			return err
		}
		fn(tx, a)
		return store.DataArchives.Put(tx, a)
	})
}

// trouble writes down that the archive of an instance could not take something, or that it can again.
func (m *Manager) trouble(guid string, why error) {
	text := ""
	if why != nil {
		text = why.Error()
	}
	err := m.DB.Update(func(tx *store.Tx) error {
		a, err := openArchive(tx, guid)
		if err != nil || a == nil || a.Trouble == text {
			return err
		}
		if a.Trouble == "" {
			a.TroubleAt = tx.Now
		}
		if a.Trouble = text; text == "" {
			a.TroubleAt = time.Time{}
		}
		return store.DataArchives.Put(tx, a)
	})
	if err != nil {
		m.Log.Warn("trouble of an archive not written", "service_instance", guid, "error", err)
	}
}

// flush has the server end the segment that it writes, and waits until it is in the archive.
func (m *Manager) flush(ctx context.Context, s *store.DataService, o *Offering, p *Plan) (a *store.DataArchive, segment string, err error) {
	segment, err = m.ask(ctx, s.GUID, newView(s, p, nil, nil), o.Recovery.Flush)
	if err != nil {
		return nil, "", err
	}
	if !segmentName.MatchString(segment) {
		return nil, "", fmt.Errorf("flush prints %q, which is no segment", segment)
	}
	a, err = m.awaitSegment(ctx, s.GUID, segment)
	return a, segment, err
}

// awaitSegment waits until a segment is in the archive that goes on, or that has begun after it.
func (m *Manager) awaitSegment(ctx context.Context, guid, segment string) (*store.DataArchive, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, arrival, fmt.Errorf("the segment %s did not get into the archive in %v", segment, arrival))
	defer cancel()
	changed := m.DB.Watch(ctx, store.DataArchives.Name())
	for {
		var a *store.DataArchive
		err := m.DB.View(func(tx *store.Tx) (err error) {
			a, err = openArchive(tx, guid)
			return err
		})
		if err != nil {
			return nil, err
		}
		if a != nil && segmentWithin(segment, a.First, a.Last) {
			return a, nil
		}
		if a != nil && segmentBefore(segment, a.First) {
			return nil, fmt.Errorf("segment %s: %w", segment, errInterrupted)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := context.Cause(ctx)
			if a != nil && a.Trouble != "" {
				err = fmt.Errorf("%w: %s", err, a.Trouble)
			}
			return nil, err
		}
	}
}

// readPiece writes the plain content of a segment. Its error names the segment.
func (m *Manager) readPiece(ctx context.Context, a *store.DataArchive, segment string, out io.Writer) error {
	name := pieceName(a.GUID, segment)
	sealed, err := m.Vault.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it is not where backups are kept", vault.ErrDamaged)
	}
	if err == nil {
		defer sealed.Close()
		err = vault.DecryptPiece(out, sealed, a.Key, name)
	}
	if err != nil {
		return fmt.Errorf("segment %s of the archive: %w", segment, err)
	}
	return nil
}
