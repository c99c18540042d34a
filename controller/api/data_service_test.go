package api

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// dataWorld is a world with the platform's own broker, of which nothing runs: wishes are written down and stay.
type dataWorld struct {
	*world
	offering *dataservice.Offering
}

// seenData uses the same of every instance.
type seenData struct{ *dataservice.Manager }

func (seenData) Usage(string) *capi.ServiceUsage {
	connections := 3
	return &capi.ServiceUsage{Connections: &connections, ConnectionsLimit: 50, DiskLimit: 1 << 30}
}

// newWorldOfData is a world whose platform has data services, and the offering postgres of theirs.
func newWorldOfData(t testing.TB) (*world, *dataservice.Offering) {
	t.Helper()
	catalogue, err := dataservice.ReadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) {
		o.Data = seenData{&dataservice.Manager{DB: o.DB, Catalogue: catalogue, Vault: vault.Folder{Dir: t.TempDir()}}}
	})
	i := slices.IndexFunc(catalogue, func(o *dataservice.Offering) bool { return o.Name == "postgres" })
	return w, catalogue[i]
}

func newDataWorld(t *testing.T) *dataWorld {
	t.Helper()
	w := &dataWorld{}
	w.world, w.offering = newWorldOfData(t)
	w.update(func(tx *store.Tx) error {
		b := &store.ServiceBroker{Name: "cupola", URL: "http://broker.example.com", BuiltIn: true}
		w.must(store.ServiceBrokers.Put(tx, b))
		o := &store.ServiceOffering{BrokerGUID: b.GUID, CatalogID: w.offering.ID, Name: w.offering.Name, Available: true, Bindable: true}
		w.must(store.ServiceOfferings.Put(tx, o))
		return store.ServicePlans.Put(tx, &store.ServicePlan{
			Meta: store.Meta{GUID: "small"}, OfferingGUID: o.GUID, BrokerGUID: b.GUID, CatalogID: w.offering.Plans[0].ID, Name: "small", Available: true, Free: true, Public: true, Bindable: true})
	})
	return w
}

// put writes a data service in the space, and what the marketplace knows of it unless it is deleted.
func (w *dataWorld) put(guid, name, state string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		done := store.Operation{Type: store.OperationCreate, State: store.OperationSucceeded, CreatedAt: tx.Now, UpdatedAt: tx.Now}
		d := &store.DataService{Meta: store.Meta{GUID: guid}, OfferingID: w.offering.ID, PlanID: w.offering.Plans[0].ID,
			OrgGUID: w.org, SpaceGUID: w.space, Name: name, State: state, Operation: done}
		if state == store.DataDeleted {
			d.PurgeAt = tx.Now.Add(dataservice.KeepDeleted)
			return store.DataServices.Put(tx, d)
		}
		i := &store.ServiceInstance{Meta: store.Meta{GUID: guid}, Name: name, Type: store.ServiceManaged, SpaceGUID: w.space, PlanGUID: "small", LastOperation: done}
		w.must(store.DataServices.Put(tx, d))
		return store.ServiceInstances.Put(tx, i)
	})
}

func (w *dataWorld) event(kind, guid string) {
	w.t.Helper()
	w.as("admin", "GET", "/v3/audit_events?types="+kind+"&target_guids="+guid, nil).want(200, `"total_results":1`)
}

// TestProofIsShown: an instance tells whether it keeps data and which backup was last restored on trial.
func TestProofIsShown(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	w.as("developer", "GET", "/v3/service_instances/db", nil).want(200, `"data_service":{"keeps_data":true,"backups":true,"last_proof":null,"recovery":null,"causes":[],"usage":{`)
	w.update(func(tx *store.Tx) error {
		for guid, b := range map[string]*store.DataBackup{
			"never": {}, "older": {ProvedAt: tx.Now.Add(-1), Proof: "1 tables, 1 rows"}, "newer": {ProvedAt: tx.Now, Proof: "1 tables, 2 rows"},
		} {
			b.GUID, b.ServiceGUID, b.State = guid, "db", store.OperationSucceeded
			w.must(store.DataBackups.Put(tx, b))
		}
		return nil
	})
	w.as("auditor", "GET", "/v3/service_instances", nil).want(200, `"last_proof":{"guid":"newer"`, `"proof":"1 tables, 2 rows"`)
	if r := w.makeService("mail", nil).want(201); strings.Contains(r.text, "data_service") {
		t.Errorf("a user-provided one tells of data: %s", r.text)
	}
}

// TestBackupAndRestoreAreAudited: the event is written with the wish, and not without it.
func TestBackupAndRestoreAreAudited(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	w.as("auditor", "POST", "/v3/service_instances/db/backups", nil).want(403)
	backup := w.as("developer", "POST", "/v3/service_instances/db/backups", nil).want(201).guid()
	w.event("audit.service_instance.backup", "db")
	if r := w.as("developer", "POST", "/v3/service_instances/db/backups", nil); r.status < 400 {
		t.Errorf("a second backup meanwhile: %d", r.status)
	}
	w.event("audit.service_instance.backup", "db")
	w.update(func(tx *store.Tx) error {
		b, err := store.DataBackups.Get(tx, backup)
		w.must(err)
		b.State = store.OperationSucceeded
		return store.DataBackups.Put(tx, b)
	})
	restore := map[string]any{"backup": map[string]any{"guid": backup}}
	w.as("stranger", "POST", "/v3/service_instances/db/actions/restore", restore).want(404)
	w.as("developer", "POST", "/v3/service_instances/db/actions/restore", restore).want(202)
	w.event("audit.service_instance.restore", "db")
}

// TestRestoreToTime: a moment within what is archived is restored by developers of both sides, another one is refused with the
// window, and the event says which.
func TestRestoreToTime(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	w.put("copy", "copy", store.DataReady)
	const restore = "/v3/service_instances/copy/actions/restore"
	ask := func(at string, more map[string]any) map[string]any {
		in := map[string]any{"time": at, "service_instance": map[string]any{"guid": "db"}}
		for k, v := range more {
			in[k] = v
		}
		return in
	}
	const from, within, until = "2026-01-02T03:04:05Z", "2026-01-02T03:30:00Z", "2026-01-02T04:04:05Z"
	refused := func(at string) {
		t.Helper()
		if r := w.as("developer", "POST", restore, ask(at, nil)); r.status < 400 {
			t.Errorf("the moment %s is taken: %d", at, r.status)
		}
	}
	refused(within) // there is no base backup yet
	began, err := time.Parse(time.RFC3339, from)
	w.must(err)
	w.update(func(tx *store.Tx) error {
		return store.DataArchives.Put(tx, &store.DataArchive{ServiceGUID: "db", Closed: "a gap", Until: began.Add(time.Hour), Trouble: "not shown of what is closed",
			Bases: []store.DataBase{{GUID: "b", State: store.OperationSucceeded, FinishedAt: began, Bytes: 5, LogBytes: 2, ProvedAt: began, Proof: "1 rows"}}})
	})
	w.as("auditor", "GET", "/v3/service_instances/db", nil).want(200, `"recovery":{"windows":[{"from":"`+from+`","until":"`+until+`","bytes":7}],"open":false`, `"proof":"1 rows"`, `"trouble":""`)
	w.as("developer", "GET", "/v3/backup_states", nil).want(200, `"recovery":{"windows":[{"from":"`+from)
	refused("2026-01-02T05:00:00Z") // after what is archived
	w.as("developer", "POST", restore, ask("yesterday", nil)).want(422, "RFC 3339")
	w.as("developer", "POST", restore, ask(within, map[string]any{"backup": map[string]any{"guid": "b"}})).want(422, "Name either")
	w.as("developer", "POST", restore, map[string]any{"service_instance": map[string]any{"guid": "db"}}).want(422, "Name either")
	w.as("developer", "POST", restore, ask(within, map[string]any{"service_instance": map[string]any{"guid": "none"}})).want(422, "There is no such service instance")
	w.as("auditor", "POST", restore, ask(within, nil)).want(403)
	w.as("developer", "POST", restore, ask(within, nil)).want(202)
	w.as("admin", "GET", "/v3/audit_events?types=audit.service_instance.restore&target_guids=copy", nil).want(200, `"total_results":1`, within)
	w.view(func(tx *store.Tx) error {
		d, err := store.DataServices.Get(tx, "copy")
		w.must(err)
		if d.State != store.DataRestoring || d.RestoreOf != "db" || d.RestoreTo.Format(time.RFC3339) != within {
			t.Errorf("the data service is %+v", d)
		}
		return nil
	})
}

// TestUndelete: a deleted instance comes back in its space, and from a space that is gone into another.
func TestUndelete(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataDeleted)
	const again = "/v3/deleted_service_instances/db/actions/restore"
	w.as("auditor", "POST", again, nil).want(403)
	w.as("stranger", "POST", again, map[string]any{"relationships": map[string]any{"space": one(w.otherSpace)}}).want(404)
	w.as("developer", "POST", again, map[string]any{"relationships": map[string]any{"space": one(w.otherSpace)}}).want(422, "Invalid space")
	w.put("other", "taken", store.DataReady)
	w.as("developer", "POST", again, map[string]any{"name": "taken"}).want(422, "The service instance name is taken: taken")
	w.as("developer", "GET", "/v3/deleted_service_instances", nil).want(200, `"guid":"db"`)
	w.update(func(tx *store.Tx) error {
		d, err := store.DataServices.Get(tx, "db")
		w.must(err)
		d.Version = "17.0.0" // since when the offering has become another
		p, err := store.ServicePlans.Get(tx, "small")
		w.must(err)
		p.MaintenanceInfo = []byte(`{"version":"17.0.1"}`)
		return errors.Join(store.DataServices.Put(tx, d), store.ServicePlans.Put(tx, p))
	})
	w.as("developer", "POST", again, map[string]any{"name": "back"}).want(200, `"name":"back"`, `"version":"17.0.0"`, `"upgrade_available":true`)
	w.event("audit.service_instance.undelete", "db")
	w.as("developer", "GET", "/v3/deleted_service_instances", nil).want(200, `"resources":[]`)

	w.put("lost", "lost", store.DataDeleted)
	w.as("admin", "DELETE", "/v3/spaces/"+w.space, nil).want(202)
	w.as("stranger", "GET", "/v3/deleted_service_instances", nil).want(200, `"resources":[]`)
	w.as("orgmanager", "GET", "/v3/deleted_service_instances", nil).want(200, `"guid":"lost"`)
	const lost = "/v3/deleted_service_instances/lost/actions/restore"
	w.as("admin", "POST", lost, nil).want(422, "Invalid space")
	w.as("orgmanager", "POST", lost, map[string]any{"relationships": map[string]any{"space": one(w.otherSpace)}}).want(403)
	w.as("admin", "POST", lost, map[string]any{"relationships": map[string]any{"space": one(w.otherSpace)}}).want(200, `"name":"lost"`, w.otherSpace)
	w.view(func(tx *store.Tx) error {
		d, err := store.DataServices.Get(tx, "lost")
		w.must(err)
		if d.SpaceGUID != w.otherSpace || d.OrgGUID != w.otherOrg || d.State != store.DataUpdating || !d.PurgeAt.IsZero() {
			t.Errorf("the data service is %+v", d)
		}
		return nil
	})
}

// TestUndeleteKeepsWhatDescribes: an instance comes back with the name, tags, labels and annotations that it had at the end.
func TestUndeleteKeepsWhatDescribes(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	w.as("developer", "PATCH", "/v3/service_instances/db", map[string]any{
		"name": "rows", "tags": []string{"sql"}, "metadata": map[string]any{"labels": map[string]string{"team": "a"}, "annotations": map[string]string{"note": "b"}},
	}).want(200)
	w.as("admin", "DELETE", "/v3/service_instances/db?purge=true", nil).want(204)
	w.update(func(tx *store.Tx) error { // what the broker does then
		d, err := store.DataServices.Get(tx, "db")
		w.must(err)
		d.State, d.PurgeAt = store.DataDeleted, tx.Now.Add(dataservice.KeepDeleted)
		return store.DataServices.Put(tx, d)
	})
	w.as("developer", "GET", "/v3/deleted_service_instances?names=rows", nil).want(200, `"guid":"db"`)
	w.as("developer", "POST", "/v3/deleted_service_instances/db/actions/restore", nil).want(200, `"name":"rows"`, `"tags":["sql"]`, `"labels":{"team":"a"}`, `"annotations":{"note":"b"}`)
}

// TestPurgeDeleted: only what is deleted is destroyed, and the event says who did it.
func TestPurgeDeleted(t *testing.T) {
	w := newDataWorld(t)
	w.put("live", "live", store.DataReady)
	w.put("db", "db", store.DataDeleted)
	w.as("admin", "DELETE", "/v3/deleted_service_instances/live", nil).want(404)
	w.as("auditor", "DELETE", "/v3/deleted_service_instances/db", nil).want(403)
	w.as("developer", "DELETE", "/v3/deleted_service_instances/db", nil).want(204)
	w.event("audit.service_instance.purge_data", "db")
	w.as("developer", "GET", "/v3/deleted_service_instances", nil).want(200, `"resources":[]`)
	w.as("developer", "POST", "/v3/deleted_service_instances/db/actions/restore", nil).want(404)
}

// TestDeletedAreFiltered: the list of what was deleted obeys every filter that it takes.
func TestDeletedAreFiltered(t *testing.T) {
	w := newDataWorld(t)
	w.put("one", "db", store.DataDeleted)
	w.put("two", "queue", store.DataDeleted)
	w.update(func(tx *store.Tx) error {
		d, err := store.DataServices.Get(tx, "two")
		w.must(err)
		d.Labels = map[string]string{"env": "prod"}
		return store.DataServices.Put(tx, d)
	})
	for query, want := range map[string]string{
		"names=db": "one", "names=queue,none": "two", "guids=two": "two", "label_selector=env%3Dprod": "two", "label_selector=!env": "one",
		"space_guids=" + w.space + "&names=db": "one", "order_by=-created_at&per_page=1": "two",
	} {
		list := w.as("developer", "GET", "/v3/deleted_service_instances?"+query, nil).want(200)
		if list.count() != 1 || list.str("resources", 0, "guid") != want {
			t.Errorf("%s: %s, want %s alone", query, list.body, want)
		}
	}
	for _, query := range []string{"names=none", "guids=none", "space_guids=" + w.otherSpace, "created_ats[lt]=2020-01-01T00:00:00Z"} {
		w.as("developer", "GET", "/v3/deleted_service_instances?"+query, nil).want(200, `"resources":[]`)
	}
}

// TestPurgeInstanceOfTheOwnBroker: to forget an instance of the platform's own broker stops its server, and keeps its data.
func TestPurgeInstanceOfTheOwnBroker(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	w.as("admin", "DELETE", "/v3/service_instances/db?purge=true", nil).want(204)
	w.as("admin", "GET", "/v3/service_instances/db", nil).want(404)
	w.view(func(tx *store.Tx) error {
		for o := range store.ServiceOperations.All(tx) {
			if o.TargetGUID == "db" && o.Orphan && o.Type == store.OperationDelete {
				return nil
			}
		}
		t.Error("the broker is not told: the server would run for ever")
		return nil
	})
}

// TestUsageAndFullDisk: an instance tells what it uses, and that it is full, as the apps do that are bound to it.
func TestUsageAndFullDisk(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	app := w.makeApp("shop")
	w.update(func(tx *store.Tx) error {
		d, err := store.DataServices.Get(tx, "db")
		w.must(err)
		d.Disk = store.DataFull
		return errors.Join(store.DataServices.Put(tx, d), store.ServiceBindings.Put(tx, &store.ServiceBinding{Type: capi.BindingApp, InstanceGUID: "db", SpaceGUID: w.space, AppGUID: app}))
	})
	w.as("auditor", "GET", "/v3/service_instances/db", nil).want(200, `"connections":3,"connections_limit":50`, `"disk_bytes":null,"disk_limit_bytes":1073741824`,
		`"kind":"service_full"`, "update-service db -p PLAN")
	w.as("stranger", "GET", "/v3/service_instances/db", nil).want(404)
	bound := map[string]bool{}
	w.view(func(tx *store.Tx) error {
		causes, err := boundCauses(tx, app)
		for _, c := range causes {
			bound[c.Kind] = true
		}
		return err
	})
	if !bound["service_full"] {
		t.Errorf("the app that is bound has the causes %v", bound)
	}
}

// TestLogsOfDataServices: who may see the credentials of a service instance reads its log; others do not learn that there is one.
func TestLogsOfDataServices(t *testing.T) {
	w := newDataWorld(t)
	w.put("db", "db", store.DataReady)
	access := w.s.LogAccess()
	for who, allowed := range map[string]bool{"admin": true, "developer": true, "auditor": false, "manager": false, "stranger": false} {
		r := httptest.NewRequest("GET", "/api/v1/read/db", nil)
		r.Header.Set("Authorization", "bearer "+who)
		if err := access.Source(r, "db"); (err == nil) != allowed {
			t.Errorf("the log of a data service for %s: %v", who, err)
		}
	}
}
