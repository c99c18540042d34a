package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
	"github.com/cupola-paas/cupola/store"
)

// DataServices is what the platform's own broker can do besides the Open Service Broker API. Its errors that a caller
// can mend are *capi.Error. What also writes is written in the transaction of the change.
type DataServices interface {
	// Backup asks for a backup and returns its record; it is made meanwhile.
	Backup(instanceGUID string, also func(*store.Tx, *store.DataService) error) (*store.DataBackup, error)
	// Restore asks for the content of a backup in place of an instance's.
	Restore(instanceGUID, backupGUID string, also func(*store.Tx, *store.DataService) error) error
	// RestoreTo asks for the content that the instance of had at a moment, in place of an instance's.
	RestoreTo(instanceGUID, of string, at time.Time, also func(*store.Tx, *store.DataService) error) error
	// Undelete brings the data of a deleted instance back to life; also may give it another name and space.
	Undelete(instanceGUID string, also func(*store.Tx, *store.DataService) error) error
	// Purge destroys the data of a deleted instance.
	Purge(instanceGUID string, also func(*store.Tx, *store.DataService) error) error
	// Keeps tells whether instances of an offering keep what was written to them, and whether that can be backed up.
	Keeps(offeringID string) (data, backups bool)
	// Usage is what an instance used lately; nil: not known.
	Usage(instanceGUID string) *capi.ServiceUsage
}

// deletedAt is the space that a deleted data service was in, and just the org when the space has gone.
func deletedAt(tx *store.Tx, c *Ctx) (Place, error) {
	s, err := store.DataServices.Get(tx, c.Path("guid"))
	if err == nil && s.State != store.DataDeleted {
		err = store.ErrNotFound
	}
	if err != nil {
		return Place{}, err
	}
	return placeOfDeleted(tx, s)
}

func placeOfDeleted(tx *store.Tx, d *store.DataService) (Place, error) {
	place, err := placeOf(tx, d.SpaceGUID)
	if errors.Is(err, store.ErrNotFound) {
		return Place{OrgGUID: d.OrgGUID}, nil
	}
	return place, err
}

// dataServiceRoutes are our own: backups of data services, and those that were deleted but whose data is still there.
func (s *Server) dataServiceRoutes() []Route {
	const one, gone = "/v3/service_instances/{guid}", "/v3/deleted_service_instances"
	see := on(serviceInstanceAt, "Service instance", SeeSpace, SeeSpace)
	develop := on(serviceInstanceAt, "Service instance", SeeSpace, Develop)
	again := on(deletedAt, "Deleted service instance", SeeSpace, Develop)
	return []Route{
		index(one+"/backups", see, s.listBackups),
		post(one+"/backups", develop, s.createBackup),
		post(one+"/actions/restore", develop, s.restoreBackup),
		index(gone, signedIn(), s.listDeleted, "names", "space_guids"),
		post(gone+"/{guid}/actions/restore", again, s.undelete),
		del(gone+"/{guid}", again, s.purgeDeleted),
	}
}

var errNoDataServices = errInvalid("The service instance is not one of the platform's own data services: its broker keeps its data.")

// dataService is the data service behind a service instance.
func (s *Server) dataService(tx *store.Tx, c *Ctx) (*store.DataService, error) {
	d, err := store.DataServices.Get(tx, c.Path("guid"))
	if errors.Is(err, store.ErrNotFound) || err == nil && s.data == nil {
		return nil, errNoDataServices
	}
	return d, err
}

func presentBackup(b *store.DataBackup) capi.Backup {
	out := capi.Backup{Resource: resource(&b.Meta),
		State: b.State, Error: b.Error, Bytes: b.Bytes, SHA256: b.SHA256, Proof: b.Proof}
	out.FinishedAt, out.ProvedAt = timeOrNil(b.FinishedAt), timeOrNil(b.ProvedAt)
	return out
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Server) listBackups(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		if _, err := s.dataService(tx, c); err != nil {
			return nil, err
		}
		found, _, err := store.DataBackups.List(tx, store.Query[store.DataBackup]{Where: []store.Cond{store.By("service", c.Path("guid"))}})
		all := make([]capi.Backup, len(found))
		for i, b := range found {
			all[i] = presentBackup(b)
		}
		return pageOf(c, all), err
	})
}

func (s *Server) createBackup(c *Ctx) error {
	if err := c.View(func(tx *store.Tx) error { _, err := s.dataService(tx, c); return err }); err != nil {
		return err
	}
	b, err := s.data.Backup(c.Path("guid"), c.auditData("backup", nil))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, presentBackup(b))
}

func (s *Server) restoreBackup(c *Ctx) error {
	var in capi.RestoreRequest
	if err := c.decode(&in); err != nil {
		return err
	}
	if (in.Backup.GUID == "") == (in.Time == "") || in.Time == "" && in.ServiceInstance.GUID != "" {
		return errInvalid("Name either a backup as backup.guid, or a time, and with it, if it is another one, a service_instance.guid.")
	}
	at, err := time.Parse(time.RFC3339, in.Time)
	if err != nil && in.Time != "" {
		return errInvalid("The time is not one such as 2026-01-02T15:04:05Z (RFC 3339).")
	}
	of := cmp.Or(in.ServiceInstance.GUID, c.Path("guid"))
	err = c.View(func(tx *store.Tx) error {
		if _, err := s.dataService(tx, c); err != nil {
			return err
		}
		if in.Time != "" {
			return c.mayTakeFrom(tx, of, errInvalid("There is no such service instance: name one as service_instance.guid."))
		}
		none := errInvalid("There is no such backup: name one as backup.guid.")
		b, err := store.DataBackups.Get(tx, in.Backup.GUID)
		if err != nil {
			return orElse(err, none)
		}
		return c.mayTakeFrom(tx, b.ServiceGUID, none)
	})
	if err != nil {
		return err
	}
	if audit := c.auditData("restore", in); in.Time != "" {
		err = s.data.RestoreTo(c.Path("guid"), of, at, audit)
	} else {
		err = s.data.Restore(c.Path("guid"), in.Backup.GUID, audit)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, struct{}{})
}

// mayTakeFrom: who restores what another data service had must be a developer there, too.
func (c *Ctx) mayTakeFrom(tx *store.Tx, guid string, none error) error {
	from, err := store.DataServices.Get(tx, guid)
	if err != nil {
		return orElse(err, none)
	}
	place, err := placeOf(tx, from.SpaceGUID)
	if err != nil {
		return orElse(err, none)
	}
	ok, err := c.Can(tx, place, Develop)
	if err == nil && !ok {
		err = none
	}
	return err
}

// listDeleted shows those of the spaces that the caller sees, and of spaces that are gone those of an org where the caller sees all.
func (s *Server) listDeleted(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.deletedInView(tx)
		if err != nil {
			return nil, err
		}
		return answerList(c, tx, Listing[store.DataService, capi.DeletedServiceInstance]{
			Table: store.DataServices, Meta: func(d *store.DataService) *store.Meta { return &d.Meta },
			Where: c.filterBy(where, "names", "name", "space_guids", "space"),
			Present: func(_ *store.Tx, d *store.DataService) (capi.DeletedServiceInstance, error) {
				return capi.DeletedServiceInstance{Resource: resource(&d.Meta),
					Name: d.Name, PurgeAt: d.PurgeAt, Relationships: capi.ServiceInstanceRelatesTo{Space: capi.To(d.SpaceGUID)}}, nil
			},
		})
	})
}

func (c *Ctx) deletedInView(tx *store.Tx) ([]store.Cond, error) {
	where := []store.Cond{store.By("state", store.DataDeleted)}
	in, err := c.Where(tx, SeeSpace)
	if err != nil || in.All {
		return where, err
	}
	return append(where, store.By("place", slices.Concat(in.Spaces, in.Orgs)...)), nil
}

// auditData tells of what somebody did with the data of a service instance, in the transaction of the change, after
// asking once more whether they may.
func (c *Ctx) auditData(what string, asked any) func(*store.Tx, *store.DataService) error {
	return func(tx *store.Tx, d *store.DataService) error {
		if err := c.s.guard(c, tx); err != nil {
			return err
		}
		return c.auditDataService(tx, d, what, asked)
	}
}

func (c *Ctx) auditDataService(tx *store.Tx, d *store.DataService, what string, asked any) error {
	place, err := placeOfDeleted(tx, d)
	if err != nil {
		return err
	}
	e := Event{Type: "audit.service_instance." + what, Target: store.Actor{GUID: d.GUID, Type: "service_instance", Name: d.Name}, Place: place}
	if asked != nil {
		e.Data = request(redacted(asked))
	}
	return c.audit(tx, e)
}

// undelete makes the service instance anew under its old GUID, with its tags and metadata but without bindings, and lets its
// data live: in its space, or in another one, where the caller must be a developer too.
func (s *Server) undelete(c *Ctx) error {
	var in capi.UndeleteRequest
	if err := c.decode(&in); err != nil {
		return err
	}
	if s.data == nil {
		return errNoDataServices
	}
	var i *store.ServiceInstance
	err := s.data.Undelete(c.Path("guid"), func(tx *store.Tx, d *store.DataService) (err error) {
		if err := s.guard(c, tx); err != nil {
			return err
		}
		if in.Name != "" {
			d.Name = in.Name
		}
		place, err := c.placeInBody(tx, cmp.Or(in.Relationships.Space.GUID(), d.SpaceGUID), Develop)
		if err != nil {
			return err
		}
		d.OrgGUID, d.SpaceGUID = place.OrgGUID, place.SpaceGUID
		if i, err = putUndeleted(tx, d); err != nil {
			return err
		}
		return c.auditDataService(tx, d, "undelete", in)
	})
	if err != nil {
		return err
	}
	return c.answer(func(tx *store.Tx) (any, error) { return s.presentServiceInstance(tx, i) })
}

func putUndeleted(tx *store.Tx, d *store.DataService) (*store.ServiceInstance, error) {
	plan, err := planByCatalog(tx, d.PlanID)
	if err != nil {
		return nil, err
	}
	info := plan.MaintenanceInfo
	if d.Version != "" && d.Version != versionOf(info) { // it is run by what it was deleted with, so that an upgrade is offered
		if info, err = json.Marshal(map[string]string{"version": d.Version}); err != nil {
			return nil, err
		}
	}
	i := &store.ServiceInstance{
		Meta: store.Meta{GUID: d.GUID, Labels: d.Labels, Annotations: d.Annotations}, Name: d.Name, Tags: d.Tags, Type: store.ServiceManaged,
		SpaceGUID: d.SpaceGUID, PlanGUID: plan.GUID, MaintenanceInfo: info,
		LastOperation: store.Operation{Type: store.OperationCreate, State: store.OperationSucceeded, Description: "restored", CreatedAt: tx.Now, UpdatedAt: tx.Now},
	}
	return i, firstOf(validateServiceInstance(i), nameFree(tx, i), checkServiceQuota(tx, i, plan), putServiceInstance(tx, i), appusage.Service(tx, i, appusage.Created))
}

func planByCatalog(tx *store.Tx, catalogID string) (*store.ServicePlan, error) {
	for p := range store.ServicePlans.All(tx) {
		if p.CatalogID != catalogID {
			continue
		}
		b, err := store.ServiceBrokers.Get(tx, p.BrokerGUID)
		if err == nil && b.BuiltIn {
			return p, nil
		}
	}
	return nil, errInvalid("The plan of the service instance is offered no more: put its catalogue file back first.")
}

func (s *Server) purgeDeleted(c *Ctx) error {
	if s.data == nil {
		return errNoDataServices
	}
	if err := s.data.Purge(c.Path("guid"), c.auditData("purge_data", nil)); err != nil {
		return err
	}
	return c.NoContent()
}

// ownOperation is the last operation of an instance. What its owner asked of the platform's own broker directly, a
// restore, is an update to clients.
func ownOperation(tx *store.Tx, i *store.ServiceInstance) store.Operation {
	d, err := store.DataServices.Get(tx, i.GUID)
	if err != nil || d.Operation.Type != store.DataRestore && d.Operation.Type != store.DataUndelete || d.Operation.CreatedAt.Before(i.LastOperation.CreatedAt) {
		return i.LastOperation
	}
	o := d.Operation
	o.Type = store.OperationUpdate
	return o
}

// diskCauses say when a data service holds more than its plan allows.
func diskCauses(d *store.DataService, name string) []capi.Cause {
	if cause, ok := explain.FullService(name, d.Disk == store.DataFull, d.Disk == store.DataStopped); ok && d.State == store.DataReady {
		return []capi.Cause{cause}
	}
	return []capi.Cause{}
}

// presentData tells of the data of an instance of the platform's own broker; nil: it is another's.
func (s *Server) presentData(tx *store.Tx, i *store.ServiceInstance) (*capi.DataService, error) {
	d, err := store.DataServices.Get(tx, i.GUID)
	if errors.Is(err, store.ErrNotFound) || s.data == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &capi.DataService{Causes: diskCauses(d, i.Name), Usage: s.data.Usage(d.GUID)}
	out.KeepsData, out.Backups = s.data.Keeps(d.OfferingID)
	var last *store.DataBackup
	err = each(tx, store.DataBackups, func(_ *store.Tx, b *store.DataBackup) error {
		if !b.ProvedAt.IsZero() && (last == nil || b.ProvedAt.After(last.ProvedAt)) {
			last = b
		}
		return nil
	}, store.By("service", i.GUID))
	if last != nil {
		out.LastProof = &capi.BackupProof{GUID: last.GUID, CreatedAt: capi.At(last.CreatedAt), ProvedAt: capi.At(last.ProvedAt), Proof: last.Proof}
	}
	if err != nil {
		return nil, err
	}
	out.Recovery, err = presentRecovery(tx, d)
	return out, err
}
