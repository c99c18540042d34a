package controller

import (
	"errors"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestWayBackToOneMachine: without the cluster the server starts once all has moved back, and not before.
func TestWayBackToOneMachine(t *testing.T) {
	for _, c := range []struct {
		name, was string
		migration *store.Migration
		fine      bool
	}{
		{"it was never elsewhere", engineDocker, nil, true},
		{"instances are in the cluster", engineNomad, nil, false},
		{"they are on their way", engineNomad, &store.Migration{Target: engineDocker, State: store.MigrationRunning}, false},
		{"they have moved to the cluster", engineNomad, &store.Migration{Target: engineNomad, State: store.MigrationDone}, false},
		{"all are back", engineNomad, &store.Migration{Target: engineDocker, State: store.MigrationDone}, true},
	} {
		s := &Server{db: openStore(t), config: Config{Engine: engineDocker}}
		if err := s.db.Update(func(tx *store.Tx) error {
			err := errors.Join(store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: engineSetting}, Value: []byte(c.was)}),
				store.Instances.Put(tx, &store.Instance{Meta: store.Meta{GUID: "i"}, AppGUID: "a", State: store.InstanceRunning}))
			if m := c.migration; m != nil {
				m.GUID = store.MigrationGUID
				err = errors.Join(err, store.Migrations.Put(tx, m))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a start that was cut off after this is made again
			if err := s.checkEngine(); (err == nil) != c.fine {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if !c.fine {
			continue
		}
		_ = s.db.View(func(tx *store.Tx) error {
			if _, err := store.Migrations.Get(tx, store.MigrationGUID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: the migration is still there: %v", c.name, err)
			}
			return nil
		})
	}
}
