package dataservice

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// What a caller of RestoreTo can tell apart besides.
var (
	// ErrNoMoments says that of the instance only backups can be restored, not any moment.
	ErrNoMoments = errors.New("no moment of the service instance can be restored, only its backups")
	// ErrOutside says that a moment is not one that can be restored. Its text names those that can.
	ErrOutside = errors.New("that moment cannot be restored")
)

// RestoreTo asks for the content that an instance of the same offering had at a moment, in place of what is in another
// one or in the same. It goes on meanwhile; the instance's operation tells how.
func (m *Manager) RestoreTo(guid, of string, at time.Time, more also) error {
	return m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		from, err := store.DataServices.Get(tx, of)
		if err != nil {
			return err
		}
		if err := m.restorable(tx, s, from.OfferingID); err != nil {
			return err
		}
		all, err := archivesOf(tx, of)
		if err != nil {
			return err
		}
		if err := m.within(from, all, at, tx.Now); err != nil {
			return err
		}
		s.State, s.RestoreTo, s.RestoreOf = store.DataRestoring, at.UTC(), of
		beginOperation(tx, s, store.DataRestore)
		return with(more, tx, s)
	})
}

// within checks a moment against what is archived, or will be in a moment.
func (m *Manager) within(s *store.DataService, all []*store.DataArchive, at, now time.Time) error {
	var windows []string
	for _, a := range all {
		from, until, ok := a.Window()
		if !ok {
			continue
		}
		if a.Closed == "" && s.State != store.DataDeleted { // what is not archived yet is before it is restored
			until = now
		}
		if !at.Before(from) && !at.After(until) {
			return nil
		}
		windows = append(windows, "from "+from.Format(time.RFC3339)+" to "+until.Format(time.RFC3339))
	}
	if len(windows) == 0 {
		o := m.offering(s)
		if recovers(o, o.plan(s.PlanID)) {
			return fmt.Errorf("%w: there is no base backup yet; one is made soon after an instance is, and each day", ErrOutside)
		}
		return ErrNoMoments
	}
	return fmt.Errorf("%w: %s is not within what is kept, %s", ErrOutside, at.UTC().Format(time.RFC3339), strings.Join(windows, " and "))
}

// recovery is what a server recovers from and to.
type recovery struct {
	archive *store.DataArchive
	base    store.DataBase
	last    string    // segment
	until   time.Time // zero: as far as the last segment reaches
}

// restoreMoment recovers the moment in a server of its own, and pours what that has into the instance, which is not
// touched before. Roles and bindings stay those of the instance.
func (m *Manager) restoreMoment(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	from, err := m.get(s.RestoreOf)
	if err != nil {
		return err
	}
	r, err := m.reach(ctx, from, s.RestoreTo)
	if err != nil {
		return err
	}
	m.tell(s.GUID, "the moment is recovered in a server of its own")
	return m.recovered(ctx, from, r, func(ctx context.Context, b *bench) error {
		m.tell(s.GUID, "what was recovered is put in place")
		return m.pour(ctx, s.GUID, newView(s, p, nil, nil), o, func(use func(io.Reader) error) error {
			return pipe(func(out io.Writer) error { return m.runCommand(ctx, b.guid, b.v, b.o.Backup, nil, out) }, use)
		})
	})
}

// reach finds what the moment is recovered from, and has the server archive what it has written until now where that is needed.
func (m *Manager) reach(ctx context.Context, s *store.DataService, at time.Time) (recovery, error) {
	all, err := m.archives(s.GUID)
	if err != nil {
		return recovery{}, err
	}
	if i := slices.IndexFunc(all, func(a *store.DataArchive) bool { return a.Closed == "" }); i >= 0 && at.After(all[i].Until) && s.State != store.DataDeleted {
		o, p, err := m.kind(s)
		if err != nil {
			return recovery{}, err
		}
		if _, _, err := m.flush(ctx, s, o, p); err != nil {
			return recovery{}, fmt.Errorf("%w: it was not archived yet, and now cannot be: %w", ErrOutside, err)
		}
		if all, err = m.archives(s.GUID); err != nil {
			return recovery{}, err
		}
	}
	for _, a := range all {
		if at.After(a.Until) {
			continue
		}
		good := usable(a)
		slices.Reverse(good)
		for _, b := range good {
			if !b.FinishedAt.After(at) {
				return recovery{archive: a, base: b, last: a.Last, until: at}, nil
			}
		}
	}
	return recovery{}, m.within(s, all, at, time.Now())
}

func (m *Manager) archives(guid string) (all []*store.DataArchive, err error) {
	err = m.DB.View(func(tx *store.Tx) (err error) {
		all, err = archivesOf(tx, guid)
		return err
	})
	return all, err
}

// recovered gives a function a server on a bench that has what an instance had at a moment.
func (m *Manager) recovered(ctx context.Context, s *store.DataService, r recovery, use func(context.Context, *bench) error) error {
	return m.onBench(ctx, s, r.base.GUID, func(ctx context.Context, b *bench) error {
		err := m.readBase(ctx, r.base, func(in io.Reader) error {
			return m.runCommand(ctx, b.guid, b.v, b.o.Recovery.Unpack, in, nil)
		})
		if err != nil {
			return fmt.Errorf("base backup %s: %w", r.base.GUID, err)
		}
		damaged, err := m.feedSegments(ctx, b, r)
		if err != nil {
			return err
		}
		err = m.recoverOn(ctx, b, r, damaged, use)
		if damaged != nil && err != nil && ctx.Err() == nil {
			return damaged
		}
		return err
	})
}

// feedSegments gives a bench the segments of a recovery, up to one that is damaged: the moment may lie before it.
func (m *Manager) feedSegments(ctx context.Context, b *bench, r recovery) (damaged, err error) {
	err = pipe(func(out io.Writer) error {
		stream := tar.NewWriter(out)
		err := segmentsOf(r.base.Start, r.last, func(name string) error {
			var content bytes.Buffer
			if err := m.readPiece(ctx, r.archive, name, &content); err != nil {
				return err
			}
			if err := stream.WriteHeader(&tar.Header{Name: name, Size: int64(content.Len()), Mode: 0o600}); err != nil {
				return err
			}
			_, err := content.WriteTo(stream)
			return err
		})
		if errors.Is(err, vault.ErrDamaged) {
			damaged, err = err, nil
		}
		return errors.Join(err, stream.Close())
	}, func(in io.Reader) error {
		return m.runCommand(ctx, b.guid, b.v, b.o.Recovery.Segments, in, nil)
	})
	return damaged, err
}

// untilFormat is how PostgreSQL reads a moment.
const untilFormat = "2006-01-02 15:04:05.999999+00"

// recoverOn runs the server to the moment. When nothing was written after it, a server waits for it in vain, and goes to
// the end of the last segment instead, which must then be where it has ended.
func (m *Manager) recoverOn(ctx context.Context, b *bench, r recovery, damaged error, use func(context.Context, *bench) error) error {
	server := b.o.Recovery.Server
	if !r.until.IsZero() {
		b.v.Until = r.until.UTC().Format(untilFormat)
		err := m.serve(ctx, b, server, use)
		if err == nil || damaged != nil || b.o.Recovery.Short == "" || !strings.Contains(err.Error(), b.o.Recovery.Short) {
			return err
		}
		b.v.Until = ""
	}
	return m.serve(ctx, b, server, func(ctx context.Context, b *bench) error {
		reached, err := m.ask(ctx, b.guid, b.v, b.o.Recovery.Reached)
		if err != nil {
			return err
		}
		if !segmentName.MatchString(reached) || reached[8:] != r.last[8:] { // it is in a time line of its own now
			return fmt.Errorf("segment %s of the archive: %w: the recovery ended there, and not in %s", reached, vault.ErrDamaged, r.last)
		}
		return use(ctx, b)
	})
}
