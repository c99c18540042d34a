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

// listBackupStates has one entry for each data service that the caller sees, the one whose proof is oldest first.
func (s *Server) listBackupStates(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		where = append(where, store.By("type", store.ServiceManaged))
		where = c.filterBy(where, "service_instance_guids", "guid")
		instances, err := store.ServiceInstances.GUIDs(tx, where...)
		if err != nil {
			return nil, err
		}
		ours, _, err := store.DataServices.List(tx, store.Query[store.DataService]{Where: []store.Cond{store.By("guid", instances...)}})
		if err != nil {
			return nil, err
		}
		all := []capi.BackupState{}
		for _, d := range ours {
			if s.data != nil {
				if _, backups := s.data.Keeps(d.OfferingID); !backups {
					continue // such as a cache, which has nothing to lose
				}
			}
			one, err := backupState(tx, d.GUID)
			if err != nil {
				return nil, err
			}
			if one.Recovery, err = presentRecovery(tx, d); err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		slices.SortStableFunc(all, func(a, b capi.BackupState) int { return a.ProvedAt().Compare(b.ProvedAt()) })
		return pageOf(c, all), nil
	})
}

func backupState(tx *store.Tx, guid string) (capi.BackupState, error) {
	i, err := store.ServiceInstances.Get(tx, guid)
	if err != nil {
		return capi.BackupState{}, err
	}
	out := capi.BackupState{ServiceInstance: capi.GUID{GUID: i.GUID}, Name: i.Name, Space: capi.GUID{GUID: i.SpaceGUID}}
	found, _, err := store.DataBackups.List(tx, store.Query[store.DataBackup]{Where: []store.Cond{store.By("service", i.GUID)}})
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
