package dataservice

import (
	"context"
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/store"
)

// bind writes the binding down, which opens the way for its app, and lets the server know it. The instance's lock is
// held by the caller.
func (m *Manager) bind(ctx context.Context, s *store.DataService, b *store.DataBinding) (map[string]any, error) {
	o, p, err := m.kind(s)
	if err != nil {
		return nil, err
	}
	if b.User == "" {
		b.User, b.Password = digits("b", b.GUID), newSecret()
	}
	if err := m.DB.Update(func(tx *store.Tx) error { return store.DataBindings.Put(tx, b) }); err != nil {
		return nil, err
	}
	err = m.runAll(ctx, s.GUID, newView(s, p, b, nil), o.Bind)
	if err == nil && s.Disk == store.DataFull {
		err = m.tellDisk(ctx, s, o, p) // the new one as the others
	}
	if err == nil && o.FilesHaveBindings {
		err = m.renew(ctx, s, o, p, "")
	}
	if err != nil {
		return nil, errors.Join(err, m.unbind(context.WithoutCancel(ctx), s, b))
	}
	b.Made = true
	if err := m.DB.Update(func(tx *store.Tx) error { return store.DataBindings.Put(tx, b) }); err != nil {
		return nil, err
	}
	return m.credentials(s, b)
}

// credentials are what the catalogue file says, filled in.
func (m *Manager) credentials(s *store.DataService, b *store.DataBinding) (map[string]any, error) {
	o, p, err := m.kind(s)
	if err != nil {
		return nil, err
	}
	ca, err := m.ca()
	if err != nil {
		return nil, err
	}
	filled, err := newView(s, p, b, ca).credentials(map[string]any(o.Credentials))
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return filled.(map[string]any), nil
}

// unbind takes the role away and then the record. The instance's lock is held by the caller.
func (m *Manager) unbind(ctx context.Context, s *store.DataService, b *store.DataBinding) error {
	stopped := s.Disk == store.DataStopped
	if s.State == store.DataReady && !stopped {
		o, p, err := m.kind(s)
		if err != nil {
			return err
		}
		if err := m.runAll(ctx, s.GUID, newView(s, p, b, nil), o.Unbind); err != nil {
			return err
		}
		if o.FilesHaveBindings {
			if err := m.renew(ctx, s, o, p, b.GUID); err != nil {
				return err
			}
		}
	}
	return m.DB.Update(func(tx *store.Tx) error {
		if err := store.DataBindings.Delete(tx, b.GUID); err != nil {
			return ignoreMissing(err)
		}
		if !stopped {
			return nil
		}
		now, err := store.DataServices.Get(tx, s.GUID)
		if err != nil {
			return err
		}
		now.Evict = append(now.Evict, b.User)
		return store.DataServices.Put(tx, now)
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
