package api

import (
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// backupStateRoutes are Cupola's own: which data would be lost with its disk.
func (s *Server) backupStateRoutes() []Route {
	return []Route{index("/v3/backup_states", signedIn(), s.listBackupStates, "space_guids", "organization_guids", "service_instance_guids")}
}

// listBackupStates has one entry for each data service that the caller sees, the one whose proof is oldest first. All backups are read
// for that order, and the rest for the page alone.
func (s *Server) listBackupStates(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		seen, err := c.dataInView(tx)
		if err != nil {
			return nil, err
		}
		all := []capi.BackupState{}
		for _, d := range seen {
			if s.data != nil {
				if _, backups := s.data.Keeps(d.OfferingID); !backups {
					continue // such as a cache, which has nothing to lose
				}
			}
			one, err := backupState(tx, d.GUID)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		slices.SortStableFunc(all, func(a, b capi.BackupState) int { return a.ProvedAt().Compare(b.ProvedAt()) })
		from, to := c.bounds(len(all))
		for i := range all[from:to] {
			if err := describeState(tx, &all[from+i]); err != nil {
				return nil, err
			}
		}
		return pageOf(c, all), nil
	})
}

// dataInView are the data services of the instances that the caller sees and asks for.
func (c *Ctx) dataInView(tx *store.Tx) ([]*store.DataService, error) {
	where, err := c.filterSpaces(tx, "space")
	if err != nil {
		return nil, err
	}
	ours, err := store.DataServices.GUIDs(tx) // which other brokers' instances are not of
	if err != nil {
		return nil, err
	}
	where = append(c.filterBy(where, "service_instance_guids", "guid"), store.By("guid", ours...))
	instances, err := store.ServiceInstances.GUIDs(tx, where...)
	if err != nil {
		return nil, err
	}
	seen, _, err := store.DataServices.List(tx, store.Query[store.DataService]{Where: []store.Cond{store.By("guid", instances...)}})
	return seen, err
}

// describeState adds what is known of the instance besides its backups.
func describeState(tx *store.Tx, one *capi.BackupState) error {
	i, err := store.ServiceInstances.Get(tx, one.ServiceInstance.GUID)
	if err != nil {
		return err
	}
	d, err := store.DataServices.Get(tx, i.GUID)
	if err != nil {
		return err
	}
	one.Name, one.Space = i.Name, capi.GUID{GUID: i.SpaceGUID}
	one.Recovery, err = presentRecovery(tx, d)
	return err
}

// backupState tells of the backups of a data service.
func backupState(tx *store.Tx, guid string) (capi.BackupState, error) {
	out := capi.BackupState{ServiceInstance: capi.GUID{GUID: guid}}
	found, _, err := store.DataBackups.List(tx, store.Query[store.DataBackup]{Where: []store.Cond{store.By("service", guid)}})
	for _, b := range found {
		shown := presentBackup(b)
		if out.Last == nil || b.CreatedAt.After(out.Last.CreatedAt.Time) {
			out.Last = &shown
		}
		if !b.ProvedAt.IsZero() && b.ProvedAt.After(out.ProvedAt()) {
			out.Proved = &shown
		}
	}
	return out, err
}
