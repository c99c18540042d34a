package dataservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// attend does what an instance needs. Whatever it is, doing it again from the start does no harm.
func (m *Manager) attend(ctx context.Context, guid string) error {
	unlock, err := m.lock(ctx, guid)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := m.get(guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch s.State {
	case store.DataCreating:
		return m.create(ctx, s)
	case store.DataUpdating:
		return m.update(ctx, s)
	case store.DataRestoring:
		return m.restore(ctx, s)
	case store.DataDeleting:
		return m.delete(ctx, s)
	case store.DataReady:
		return m.keep(ctx, s)
	case store.DataDeleted:
		return m.expire(ctx, s)
	}
	return m.Engine.Stop(ctx, guid, -1) // failed
}

// create makes an instance usable, or failed with the reason in its operation. An end of ctx leaves it as it is: the
// next process goes on.
func (m *Manager) create(ctx context.Context, s *store.DataService) error {
	o, p, err := m.kind(s)
	if err == nil {
		err = m.createServer(ctx, s, o, p)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		m.standBy(ctx, s, o) // a new instance is bound soon
		return m.finish(s.GUID, store.DataReady, nil)
	}
	m.Log.Warn("data service not created", "service_instance", s.GUID, "error", err)
	return errors.Join(m.Engine.Stop(ctx, s.GUID, -1), m.finish(s.GUID, store.DataFailed, err))
}

func (m *Manager) createServer(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	if s.ImageDigest == "" {
		m.tell(s.GUID, "the image is being prepared")
		if err := m.takeImage(ctx, s, o); err != nil {
			return err
		}
	}
	m.tell(s.GUID, "the server is being started")
	return m.start(ctx, s, o, p)
}

func (m *Manager) takeImage(ctx context.Context, s *store.DataService, o *Offering) error {
	if err := m.follows(ctx, s, o); err != nil {
		return err
	}
	return m.change(s.GUID, func(_ *store.Tx, now *store.DataService) error {
		takeOver(now, s)
		return nil
	})
}

// follows gives s the image and definition of an offering.
func (m *Manager) follows(ctx context.Context, s *store.DataService, o *Offering) error {
	repository, digest, err := m.Images.Image(ctx, o, false)
	if err != nil {
		return fmt.Errorf("image of %s: %w", o.Name, err)
	}
	s.Repository, s.ImageDigest, s.Definition, s.Measures = repository, digest, o.source, true
	m.mu.Lock()
	m.made[digest] = true
	m.mu.Unlock()
	s.Version, err = m.version(o)
	return err
}

// takeOver gives an instance what another version of it has of follows.
func takeOver(now, from *store.DataService) {
	now.Repository, now.ImageDigest, now.Version, now.Definition, now.Measures = from.Repository, from.ImageDigest, from.Version, from.Definition, from.Measures
}

// tell writes how far an operation is.
func (m *Manager) tell(guid, description string) {
	err := m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		s.Operation.Description, s.Operation.UpdatedAt = description, tx.Now
		return nil
	})
	if err != nil {
		m.Log.Warn("progress of a data service not written", "service_instance", guid, "error", err)
	}
}

// finish ends the operation under way.
func (m *Manager) finish(guid, state string, why error) error {
	return m.change(guid, func(tx *store.Tx, s *store.DataService) error {
		s.State = state
		s.Operation.State, s.Operation.Description, s.Operation.UpdatedAt = store.OperationSucceeded, "", tx.Now
		if why != nil {
			s.Operation.State, s.Operation.Description = store.OperationFailed, why.Error()
		}
		return nil
	})
}

// start starts the server unless it runs, waits until it takes clients, and sets it up.
func (m *Manager) start(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	w, err := m.workload(s, o, p)
	if err != nil {
		return err
	}
	if err := m.Engine.Start(ctx, w); err != nil {
		return err
	}
	m.standBy(ctx, s, o) // to ask whether it is ready
	st, err := m.untilReady(ctx, s, o, p)
	if err != nil {
		return err
	}
	if s.Address != "" && s.Address != st.Address {
		m.Log.Warn("a data service has another address; who is bound to it must be bound anew", "service_instance", s.GUID, "was", s.Address, "is", st.Address)
	}
	s.Address = st.Address
	if err := m.runAll(ctx, s.GUID, newView(s, p, nil, nil), o.Setup); err != nil {
		return err
	}
	if err := m.regain(ctx, s, o, p); err != nil {
		return err
	}
	return m.change(s.GUID, func(tx *store.Tx, now *store.DataService) error {
		now.Address, now.CertificateAt, now.Disk, now.Evict = st.Address, tx.Now, s.Disk, nil
		return nil
	})
}

// untilReady waits until the server takes clients.
func (m *Manager) untilReady(ctx context.Context, s *store.DataService, o *Offering, p *Plan) (node.Status, error) {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	look := time.NewTicker(readyLook)
	defer look.Stop()
	v := newView(s, p, nil, nil)
	var last error
	for {
		found := m.Engine.Find(s.GUID)
		if len(found) == 0 {
			return node.Status{}, errors.New("the server's container has gone")
		}
		st := found[0]
		switch {
		case st.Crashes >= crashLimit:
			return st, fmt.Errorf("the server does not stay up: %s", st.Details)
		case st.State == node.Running && st.Ready && o.Ready.empty():
			return st, nil
		case st.State == node.Running && st.Ready:
			if last = m.runCommand(ctx, s.GUID, v, o.Ready, nil, nil); last == nil {
				return st, nil
			}
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-limit.C:
			return st, errors.Join(fmt.Errorf("the server takes no clients after %v: %s", readyLimit, st.Details), last)
		case <-look.C:
		}
	}
}

func (m *Manager) restart(ctx context.Context, s *store.DataService) error {
	o, p, err := m.kind(s)
	if err != nil {
		return err
	}
	if err := m.Engine.Stop(ctx, s.GUID, o.grace()); err != nil {
		return err
	}
	return m.start(ctx, s, o, p)
}

// grace is how long a server may take to stop.
func (o *Offering) grace() time.Duration { return time.Duration(o.StopGrace) * time.Second }

// delete stops the server. The volume stays for KeepDeleted; one of an instance that was never usable goes at once.
func (m *Manager) delete(ctx context.Context, s *store.DataService) error {
	grace := time.Minute
	if o := m.offering(s); o != nil {
		grace = o.grace()
	}
	if err := m.Engine.Stop(ctx, s.GUID, grace); err != nil {
		return err
	}
	if s.PurgeAt.IsZero() {
		return m.purge(ctx, s.GUID)
	}
	return m.DB.Update(func(tx *store.Tx) error {
		if err := deleteBindings(tx, s.GUID); err != nil {
			return err
		}
		now, err := store.DataServices.Get(tx, s.GUID)
		if err != nil {
			return err
		}
		now.State = store.DataDeleted
		now.Operation.State, now.Operation.Description, now.Operation.UpdatedAt = store.OperationSucceeded, "", tx.Now
		return store.DataServices.Put(tx, now)
	})
}

func deleteBindings(tx *store.Tx, guid string) error {
	bindings, _, err := store.DataBindings.List(tx, store.Query[store.DataBinding]{Where: []store.Cond{store.By("service", guid)}})
	for _, b := range bindings {
		err = errors.Join(err, store.DataBindings.Delete(tx, b.GUID))
	}
	return err
}

// purge destroys the volume and forgets the instance, and with it what it could be restored from: its archives, and its backups,
// which the loop removes once it is gone.
func (m *Manager) purge(ctx context.Context, guid string) error {
	if err := errors.Join(m.Engine.RemoveVolume(ctx, volumeID(guid)), m.Spool.Remove(ctx, asideName(guid))); err != nil {
		return err
	}
	m.Log.Info("data of a service instance destroyed", "service_instance", guid)
	return m.DB.Update(func(tx *store.Tx) error {
		if err := errors.Join(deleteBindings(tx, guid), giveUpArchives(tx, guid)); err != nil {
			return err
		}
		return store.DataServices.Delete(tx, guid)
	})
}

// expire purges what was deleted long enough ago.
func (m *Manager) expire(ctx context.Context, s *store.DataService) error {
	if err := m.Engine.Stop(ctx, s.GUID, time.Minute); err != nil {
		return err
	}
	if time.Now().Before(s.PurgeAt) {
		return nil
	}
	return m.purge(ctx, s.GUID)
}

// keep brings back a server that is not there, and renews the certificate of one that is. One that was stopped for its
// disk stays so.
func (m *Manager) keep(ctx context.Context, s *store.DataService) error {
	o, p, err := m.kind(s)
	if err != nil {
		return err
	}
	if s.Disk == store.DataStopped {
		return m.Engine.Stop(ctx, s.GUID, o.grace())
	}
	seen, err := m.statuses(ctx)
	if err != nil {
		return err
	}
	if _, there := seen[s.GUID]; !there {
		return m.start(ctx, s, o, p)
	}
	if time.Since(s.CertificateAt) < renewAt {
		return nil
	}
	if err := m.renew(ctx, s, o, p, ""); err != nil {
		return err
	}
	return m.change(s.GUID, func(tx *store.Tx, now *store.DataService) error {
		now.CertificateAt = tx.Now
		return nil
	})
}
