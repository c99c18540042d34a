package dataservice

import (
	"context"
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/store"
)

// beginUpgrade writes down that the instance gets a new image, and asks for the backup that is made before.
func (m *Manager) beginUpgrade(tx *store.Tx, s *store.DataService) error {
	b, err := m.requestBackup(tx, s)
	switch {
	case errors.Is(err, ErrNoBackups):
	case errors.Is(err, ErrBusy):
		return errConcurrency
	case err != nil:
		return err
	default:
		s.UpgradeBackup = b.GUID
	}
	s.Upgrade = true
	return nil
}

// update restarts the server in the size of the next plan, and from a new image if it is an upgrade. When that does not
// work it returns to what it was.
func (m *Manager) update(ctx context.Context, s *store.DataService) error {
	next := *s
	next.PlanID = s.NextPlanID
	why := m.prepareUpgrade(ctx, &next)
	if why == nil {
		why = m.restartAs(ctx, s, &next)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := m.change(s.GUID, func(_ *store.Tx, now *store.DataService) error {
		if why == nil {
			now.PlanID = next.PlanID
			takeOver(now, &next)
		}
		now.NextPlanID, now.Upgrade, now.UpgradeBackup = "", false, ""
		return nil
	})
	if why != nil {
		m.Log.Warn("data service stays as it was", "service_instance", s.GUID, "error", why)
		why = fmt.Errorf("the service instance stays as it was: %w", why)
	}
	return errors.Join(err, m.finish(s.GUID, store.DataReady, why))
}

// restartAs restarts the server as next says, and as s says again when that does not work.
func (m *Manager) restartAs(ctx context.Context, s, next *store.DataService) error {
	why := m.restart(ctx, next)
	if why == nil || ctx.Err() != nil {
		return why
	}
	return errors.Join(why, m.restart(ctx, s))
}

// prepareUpgrade waits for the backup and takes the new image and definition; the server runs meanwhile.
func (m *Manager) prepareUpgrade(ctx context.Context, next *store.DataService) error {
	if !next.Upgrade {
		return nil
	}
	if next.UpgradeBackup != "" {
		m.tell(next.GUID, "a backup is made and proved before the upgrade")
		if err := m.awaitProof(ctx, next.UpgradeBackup); err != nil {
			return fmt.Errorf("backup before the upgrade: %w", err)
		}
	}
	o := m.Catalogue.offering(next.OfferingID)
	if o == nil {
		return fmt.Errorf("no catalogue file has the offering %s", next.OfferingID)
	}
	m.tell(next.GUID, "the image is being prepared")
	return m.follows(ctx, next, o)
}

// awaitProof waits until a backup is made and restored on trial, which the loop does meanwhile.
func (m *Manager) awaitProof(ctx context.Context, guid string) error {
	for {
		done, forget := m.expect(backupWork(guid))
		b, err := m.getBackup(guid)
		switch {
		case err != nil:
		case b.State == store.OperationFailed:
			err = errors.New(b.Error)
		case b.State == store.OperationSucceeded && !b.ProvedAt.IsZero():
			forget()
			return nil
		case b.State == store.OperationSucceeded && b.Proof != "":
			err = errors.New(b.Proof)
		}
		if err != nil {
			forget()
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			forget()
			return ctx.Err()
		}
	}
}
