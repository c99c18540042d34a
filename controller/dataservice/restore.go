package dataservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// labelProof marks servers that live for one proof; a process that starts removes those of the one before.
const labelProof = "proof_of"

// maxProof bounds what a proof prints.
const maxProof = 1024

// Restore asks for the content of a backup in an instance of the same offering, in place of what is there. It goes on
// meanwhile; the instance's operation tells how.
func (m *Manager) Restore(guid, backupGUID string, more also) error {
	return m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		b, err := store.DataBackups.Get(tx, backupGUID)
		if err != nil {
			return err
		}
		if b.State != store.OperationSucceeded {
			return ErrNotWhole
		}
		if err := m.restorable(tx, s, b.OfferingID); err != nil {
			return err
		}
		s.State, s.RestoreFrom = store.DataRestoring, backupGUID
		if s.RestoreKey == nil {
			s.RestoreKey = vault.NewKey()
		}
		beginOperation(tx, s, store.DataRestore)
		return with(more, tx, s)
	})
}

// restorable reports why nothing of an offering can be restored into an instance now.
func (m *Manager) restorable(tx *store.Tx, s *store.DataService, offering string) error {
	switch {
	case inProgress(s):
		return ErrBusy
	case s.State != store.DataReady || s.Disk == store.DataStopped:
		return ErrNotUsable
	case offering != s.OfferingID:
		return ErrOtherOffering
	case m.Vault == nil:
		return ErrNoBackups
	}
	return notBackedUp(tx, s.GUID)
}

// restore does it. A backup that is damaged, or cannot be fetched, is seen before anything is changed.
func (m *Manager) restore(ctx context.Context, s *store.DataService) error {
	why := m.restoreFrom(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	gone := m.Spool.Remove(ctx, s.GUID)
	if why == nil || errors.Is(why, errPutBack) { // otherwise it may be all that is left of what was there
		gone = errors.Join(gone, m.Spool.Remove(ctx, asideName(s.GUID)))
	}
	if gone != nil {
		m.Log.Warn("copies for a restore not removed", "service_instance", s.GUID, "error", gone)
	}
	err := m.change(s.GUID, func(_ *store.Tx, now *store.DataService) error {
		now.RestoreFrom, now.RestoreTo, now.RestoreOf = "", time.Time{}, ""
		return nil
	})
	return errors.Join(err, m.finish(s.GUID, store.DataReady, why))
}

func (m *Manager) restoreFrom(ctx context.Context, s *store.DataService) error {
	o, p, err := m.kind(s)
	if err != nil {
		return err
	}
	if !s.RestoreTo.IsZero() {
		return m.restoreMoment(ctx, s, o, p)
	}
	b, err := m.getBackup(s.RestoreFrom)
	if err != nil {
		return err
	}
	if err := m.fetch(ctx, s, b); err != nil {
		return err
	}
	aside := false
	if !o.RestoreWhole {
		if aside, err = m.setAside(ctx, s, o, p); err != nil {
			return err
		}
	}
	why := m.replace(ctx, s, o, p, func(use func(io.Reader) error) error { return m.readFetched(ctx, s, b, use) })
	if why == nil || ctx.Err() != nil || !aside {
		return why
	}
	return m.putBack(ctx, s, o, p, why)
}

// replace puts the content that from gives in place of the instance's.
func (m *Manager) replace(ctx context.Context, s *store.DataService, o *Offering, p *Plan, from func(use func(io.Reader) error) error) error {
	if err := m.pour(ctx, s.GUID, newView(s, p, nil, nil), o, from); err != nil || !o.RestoreRestarts {
		return err
	}
	return m.takeUp(ctx, s, o, p)
}

// pour runs the offering's commands for a restore with the content that from gives. With RestoreRestarts the server has it
// after its next start.
func (m *Manager) pour(ctx context.Context, workload string, v *view, o *Offering, from func(use func(io.Reader) error) error) error {
	if err := m.runAll(ctx, workload, v, o.BeforeRestore); err != nil {
		return err
	}
	if err := from(func(in io.Reader) error { return m.runCommand(ctx, workload, v, o.Restore, in, nil) }); err != nil {
		return err
	}
	if o.RestoreRestarts {
		return nil
	}
	return m.runAll(ctx, workload, v, o.Restored)
}

// takeUp restarts a server whose content was restored with the users of another time, and gives it those of now.
func (m *Manager) takeUp(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	if err := m.restart(ctx, s); err != nil {
		return err
	}
	if err := m.runAll(ctx, s.GUID, newView(s, p, nil, nil), o.Restored); err != nil {
		return err
	}
	bindings, err := m.bindings(s.GUID)
	for _, b := range bindings {
		if err == nil && b.Made {
			err = m.runAll(ctx, s.GUID, newView(s, p, b, nil), o.Bind)
		}
	}
	return err
}

// Prove restores a backup into a server that lives for that alone, queries it, and stamps the backup with what it
// answered. That the backup cannot be restored is no error of Prove: the stamp says so.
func (m *Manager) Prove(ctx context.Context, backupGUID string) error {
	b, err := m.getBackup(backupGUID)
	if err != nil {
		return err
	}
	said, why := m.tryOut(ctx, b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.changeBackup(b.GUID, func(tx *store.Tx, now *store.DataBackup) {
		if why != nil {
			now.Proof, now.ProvedAt = "not restored: "+why.Error(), time.Time{}
			m.Log.Error("a backup could not be restored", "service_instance", b.ServiceGUID, "backup", b.GUID, "error", why)
			return
		}
		now.Proof, now.ProvedAt = said, tx.Now
	})
}

func (m *Manager) tryOut(ctx context.Context, b *store.DataBackup) (said string, err error) {
	s, err := m.get(b.ServiceGUID)
	if err != nil {
		return "", err
	}
	if o := m.offering(s); o != nil && o.RestoreRestarts {
		return m.tryCold(ctx, s, b)
	}
	trial := *s
	trial.GUID, trial.Address, trial.PlanID = uuid.NewString(), "", b.PlanID
	o, p, err := m.kind(&trial)
	if err != nil {
		return "", err
	}
	w, err := m.workload(&trial, o, p)
	if err != nil {
		return "", err
	}
	w.Volumes = nil // what it writes goes with it
	w.Labels[labelProof] = b.GUID
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, m.Engine.Stop(stop, trial.GUID, -1))
	}()
	if err := m.Engine.Start(ctx, w); err != nil {
		return "", err
	}
	if _, err := m.untilReady(ctx, &trial, o, p); err != nil {
		return "", err
	}
	v := newView(&trial, p, nil, nil)
	if err := m.runAll(ctx, trial.GUID, v, o.Setup); err != nil {
		return "", err
	}
	if err := m.pour(ctx, trial.GUID, v, o, func(use func(io.Reader) error) error { return m.readBackup(ctx, b, use) }); err != nil {
		return "", err
	}
	return m.prove(ctx, trial.GUID, v, o)
}

// prove queries a server that something was restored into.
func (m *Manager) prove(ctx context.Context, workload string, v *view, o *Offering) (string, error) {
	if o.Proof.empty() {
		return "restored", nil
	}
	said, err := m.ask(ctx, workload, v, o.Proof)
	return strings.Trim(said, `"`), err // in which some programs put what they print
}

// tryCold is tryOut for servers that take up at their start what was restored: it is there before the server is.
func (m *Manager) tryCold(ctx context.Context, s *store.DataService, backup *store.DataBackup) (said string, err error) {
	err = m.onBench(ctx, s, backup.GUID, func(ctx context.Context, b *bench) error {
		if err := m.pour(ctx, b.guid, b.v, b.o, func(use func(io.Reader) error) error { return m.readBackup(ctx, backup, use) }); err != nil {
			return err
		}
		return m.serve(ctx, b, Command{Run: []string{keeper.Path}}, func(ctx context.Context, b *bench) (err error) {
			said, err = m.prove(ctx, b.guid, b.v, b.o)
			return err
		})
	})
	return said, err
}

// clear removes what an earlier process has left in the middle of a proof.
func (m *Manager) clear(ctx context.Context) {
	list, err := m.Engine.List(ctx)
	if err != nil {
		m.Log.Warn("servers of unfinished proofs not looked for", "error", err)
		return
	}
	for _, st := range list {
		if st.Labels[labelProof] != "" {
			if err := m.Engine.Stop(ctx, st.ID, -1); err != nil {
				m.Log.Warn("server of an unfinished proof not removed", "workload", st.ID, "error", err)
			}
		}
	}
}

// Undelete brings back an instance that was deleted less than KeepDeleted ago, with its data and without bindings. more
// may give it another space.
func (m *Manager) Undelete(guid string, more also) error {
	return m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		if s.State != store.DataDeleted {
			return ErrNotUsable
		}
		s.State, s.NextPlanID, s.PurgeAt = store.DataUpdating, s.PlanID, time.Time{}
		beginOperation(tx, s, store.DataUndelete)
		return with(more, tx, s)
	})
}

// Purge destroys the data of a deleted instance now.
func (m *Manager) Purge(guid string, more also) error {
	return m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		if s.State != store.DataDeleted {
			return fmt.Errorf("%w: delete it first", ErrNotUsable)
		}
		s.State, s.PurgeAt = store.DataDeleting, time.Time{} // without a day until which its volume is kept
		return with(more, tx, s)
	})
}
