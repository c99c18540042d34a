package controller

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/cupola-paas/cupola/store"
)

// certStorage keeps certificates and their keys in the store, sealed like everything there. It is
// certmagic's Storage for one process: locks are in memory.
type certStorage struct {
	db *store.DB

	mu    sync.Mutex
	locks map[string]chan struct{}
}

var _ certmagic.Storage = (*certStorage)(nil)

// certPrefix sets these settings apart from others.
const certPrefix = "certificates/"

func newCertStorage(db *store.DB) *certStorage {
	return &certStorage{db: db, locks: map[string]chan struct{}{}}
}

// Lock waits for the name's lock or the end of ctx.
func (s *certStorage) Lock(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		held, taken := s.locks[name]
		if !taken {
			s.locks[name] = make(chan struct{})
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock releases the lock and wakes who waits for it.
func (s *certStorage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, taken := s.locks[name]
	if !taken {
		return errors.New("certificate lock " + name + " is not held")
	}
	delete(s.locks, name)
	close(held)
	return nil
}

func (s *certStorage) Store(_ context.Context, key string, value []byte) error {
	return s.db.Update(func(tx *store.Tx) error {
		return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: certPrefix + key}, Value: value})
	})
}

func (s *certStorage) Load(_ context.Context, key string) ([]byte, error) {
	r, err := s.get(key)
	if err != nil {
		return nil, err
	}
	return r.Value, nil
}

func (s *certStorage) get(key string) (r *store.Setting, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		r, err = store.Settings.Get(tx, certPrefix+key)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, fs.ErrNotExist
	}
	return r, err
}

// Delete removes the key, and everything below it when it names a folder.
func (s *certStorage) Delete(ctx context.Context, key string) error {
	keys, err := s.List(ctx, key, true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.db.Update(func(tx *store.Tx) error {
		for _, k := range append(keys, key) {
			if err := store.Settings.Delete(tx, certPrefix+k); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

func (s *certStorage) Exists(_ context.Context, key string) bool {
	_, err := s.get(key)
	return err == nil
}

// List returns the keys below a folder; without recursive, its direct children.
func (s *certStorage) List(_ context.Context, folder string, recursive bool) ([]string, error) {
	var keys []string
	seen := map[string]bool{}
	err := s.db.View(func(tx *store.Tx) error {
		for r := range store.Settings.All(tx) {
			key, ok := strings.CutPrefix(r.GUID, certPrefix)
			if !ok {
				continue
			}
			below, ok := strings.CutPrefix(key, strings.TrimSuffix(folder, "/")+"/")
			if folder == "" {
				below, ok = key, true
			}
			if !ok {
				continue
			}
			if !recursive {
				first, _, _ := strings.Cut(below, "/")
				key = path.Join(folder, first)
			}
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
		return nil
	})
	if err == nil && len(keys) == 0 {
		err = fs.ErrNotExist
	}
	return keys, err
}

func (s *certStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	r, err := s.get(key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: r.UpdatedAt, Size: int64(len(r.Value)), IsTerminal: true}, nil
	}
	if _, errList := s.List(ctx, key, false); errList == nil {
		return certmagic.KeyInfo{Key: key, Modified: time.Time{}}, nil
	}
	return certmagic.KeyInfo{}, err
}
