package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// someDisks are two disks.
type someDisks struct{}

func (someDisks) Disks(context.Context) ([]capi.Disk, error) {
	return []capi.Disk{{Name: "data", Total: 100, Free: 3, State: capi.DiskFull, Remedy: "make room"}}, nil
}

// someCertificates are of two hosts and an authority.
type someCertificates struct{}

func (someCertificates) Certificate(_ context.Context, host string) capi.Certificate {
	return capi.Certificate{Host: host, State: capi.CertificateToCome}
}

func (someCertificates) Certificates(context.Context) ([]capi.Certificate, error) {
	soon, later := time.Now().Add(time.Hour), time.Now().Add(1000*time.Hour)
	return []capi.Certificate{
		{Host: "The platform's CA", Authority: true, State: capi.CertificateValid, NotAfter: &later},
		{Host: "theirs.example.com", State: capi.CertificateEnding, NotAfter: &soon},
		{Host: "ours.example.com", State: capi.CertificateValid, NotAfter: &later},
		{Host: "sub.ours.example.com", State: capi.CertificateValid, NotAfter: &later},
	}, nil
}

func TestDisks(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Disks = someDisks{} })
	w.as("admin", "GET", "/v3/admin/disks", nil).want(200, `"state":"FULL"`, `"free_bytes":3`, "make room")
	w.as("readonly", "GET", "/v3/admin/disks", nil).want(200, `"state":"FULL"`)
	w.as("developer", "GET", "/v3/admin/disks", nil).want(403)
	newWorld(t, func(*Options) {}).as("admin", "GET", "/v3/admin/disks", nil).want(200, `"resources":[]`)
}

func TestCleanUp(t *testing.T) {
	const at = "/v3/admin/actions/clean_up"
	passes := 0
	w := newWorld(t, func(o *Options) {
		o.CleanUp = func(context.Context) (capi.CleanUp, error) {
			if passes++; passes > 1 {
				return capi.CleanUp{}, errors.New("the engine is away")
			}
			return capi.CleanUp{Freed: 6, Images: 1, Packages: 2, Pulled: 3}, nil
		}
	})
	w.as("developer", "POST", at, nil).want(403)
	w.as("readonly", "POST", at, nil).want(403)
	w.as("admin", "POST", at, nil).want(200, `"freed_bytes":6`, `"image_bytes":1`, `"package_bytes":2`, `"pulled_bytes":3`)
	w.as("admin", "POST", at, nil).want(400, "did not get to its end: the engine is away")
	newWorld(t, func(*Options) {}).as("admin", "POST", at, nil).want(400, "nothing that could be cleaned up")
}

// TestCertificates shows that one sees the certificates of the hosts that one's routes have, and no others.
func TestCertificates(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Certificates = someCertificates{} })
	w.update(func(tx *store.Tx) error {
		return firstOf(
			store.Routes.Put(tx, &store.Route{Host: "ours", DomainGUID: w.domain, SpaceGUID: w.space}),
			store.Routes.Put(tx, &store.Route{Host: "theirs", DomainGUID: w.domain, SpaceGUID: w.otherSpace}))
	})
	sees := func(who, query string, hosts ...string) *reply {
		t.Helper()
		r := w.as(who, "GET", "/v3/certificates"+query, nil).want(200)
		if r.count() != len(hosts) {
			t.Errorf("%s sees %d certificates with %q, want %q: %s", who, r.count(), query, hosts, r.text)
		}
		for _, h := range hosts {
			if !strings.Contains(r.text, h) {
				t.Errorf("%s does not see %s with %q", who, h, query)
			}
		}
		return r
	}
	sees("admin", "", "The platform's CA", "theirs.example.com", "ours.example.com").want(200, `"resources":[{"host":"theirs.example.com"`)
	sees("readonly", "?states=ENDING", "theirs.example.com")
	sees("developer", "", "ours.example.com")
	sees("stranger", "", "theirs.example.com")
	sees("nobody", "")
	sees("developer", "?hosts=OURS.example.com,theirs.example.com,none.example.com", "ours.example.com").want(200, `"state":"TO COME"`)
	w.as("developer", "GET", "/v3/certificates?hosts="+strings.Repeat("a,", 201), nil).want(400, "at most 200")
	w.update(func(tx *store.Tx) error {
		return store.Routes.Put(tx, &store.Route{Host: "*", DomainGUID: w.domain, SpaceGUID: w.space})
	})
	sees("developer", "", "theirs.example.com", "ours.example.com", "sub.ours.example.com") // all are below the wildcard now
	newWorld(t, func(*Options) {}).as("admin", "GET", "/v3/certificates", nil).want(200, `"resources":[]`)
}

// TestBackupStates shows the data service whose proof is oldest first, to those who see its space.
func TestBackupStates(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx *store.Tx) error {
		put := func(name, space string, own bool) string {
			i := &store.ServiceInstance{Name: name, Type: store.ServiceManaged, SpaceGUID: space}
			err := store.ServiceInstances.Put(tx, i)
			if own {
				err = firstOf(err, store.DataServices.Put(tx, &store.DataService{Meta: store.Meta{GUID: i.GUID}, SpaceGUID: space, Name: name}))
			}
			if err != nil {
				t.Fatal(err)
			}
			return i.GUID
		}
		proved := put("proved-db", w.space, true)
		put("bare-db", w.space, true)
		put("bought-db", w.space, false)
		put("foreign-db", w.otherSpace, true)
		return firstOf(
			store.DataBackups.Put(tx, &store.DataBackup{ServiceGUID: proved, State: store.OperationSucceeded, Bytes: 7, ProvedAt: tx.Now, Proof: "7 tables"}),
			store.DataBackups.Put(tx, &store.DataBackup{ServiceGUID: proved, State: store.OperationFailed, Error: "the disk is full"}))
	})
	r := w.as("auditor", "GET", "/v3/backup_states", nil).want(200, "proved-db", "bare-db", "7 tables", "the disk is full", `"proved":null`)
	if r.count() != 2 || strings.Index(r.text, "bare-db") > strings.Index(r.text, "proved-db") {
		t.Errorf("want bare-db, then proved-db: %s", r.text)
	}
	if n := w.as("admin", "GET", "/v3/backup_states", nil).want(200, "foreign-db").count(); n != 3 {
		t.Errorf("an administrator sees %d, want 3", n)
	}
	w.as("stranger", "GET", "/v3/backup_states?space_guids="+w.space, nil).want(200, `"resources":[]`)
}

// TestCauses shows that the API says why an app does not serve, with what it said last where that helps.
func TestCauses(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Said = func(string, int) []string { return []string{"Error: Cannot find module 'left-pad'"} }
	})
	guid := w.makeApp("shop")
	w.as("auditor", "GET", "/v3/apps/"+guid+"/causes", nil).want(200, `"kind":"no_source"`, "cupola push shop", `"said":[]`)
	w.as("stranger", "GET", "/v3/apps/"+guid+"/causes", nil).want(404, "App not found")
	w.update(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, guid)
		d := &store.Droplet{AppGUID: guid, SpaceGUID: w.space, State: store.StateStaged}
		err = firstOf(err, store.Droplets.Put(tx, d))
		app.State, app.CurrentDropletGUID = store.AppStarted, d.GUID
		web, webErr := webProcess(tx, app)
		err = firstOf(err, webErr, store.Apps.Put(tx, app))
		return firstOf(err, store.Instances.Put(tx, &store.Instance{
			AppGUID: guid, ProcessGUID: web.GUID, ProcessType: "web", Version: web.Version, State: store.InstanceCrashed, Details: "exited with status 1",
		}))
	})
	w.as("auditor", "GET", "/v3/apps/"+guid+"/causes", nil).want(200, `"kind":"missing_module"`, "1 of 1 instances of process web have crashed: exited with status 1", `"kind":"no_route"`, "left-pad")
}

// TestBuildPhases shows what a build took its time for.
func TestBuildPhases(t *testing.T) {
	w := newWorld(t)
	b := &store.Build{AppGUID: w.makeApp("shop"), SpaceGUID: w.space, State: store.StateStaged, Phases: []store.PhaseTime{{Name: "detect", Duration: 40 * time.Millisecond}, {Name: "build", Duration: 3 * time.Second}}}
	w.update(func(tx *store.Tx) error { return store.Builds.Put(tx, b) })
	w.as("auditor", "GET", "/v3/builds/"+b.GUID+"/phases", nil).want(200, `[{"name":"detect","milliseconds":40},{"name":"build","milliseconds":3000}]`)
	w.as("stranger", "GET", "/v3/builds/"+b.GUID+"/phases", nil).want(404, "Build not found")
}

// TestNodeInstances shows what runs on which node.
func TestNodeInstances(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Nodes = &someNodes{} })
	guid := w.makeApp("shop")
	w.update(func(tx *store.Tx) error {
		return firstOf(
			store.Instances.Put(tx, &store.Instance{AppGUID: guid, ProcessType: "web", State: store.InstanceRunning, MemoryMB: 256}),
			store.Instances.Put(tx, &store.Instance{AppGUID: guid, ProcessType: "worker", State: store.InstanceRunning, Host: "10.0.0.9"}))
	})
	r := w.as("admin", "GET", "/v3/admin/nodes/n1/instances", nil).want(200, `"app_name":"shop"`, `"process_type":"web"`, `"memory_in_mb":256`)
	if r.count() != 1 {
		t.Errorf("%d instances on n1, want that without an address alone: %s", r.count(), r.text)
	}
	w.as("readonly", "GET", "/v3/admin/nodes/n1/instances", nil).want(200)
	w.as("developer", "GET", "/v3/admin/nodes/n1/instances", nil).want(403)
	w.as("admin", "GET", "/v3/admin/nodes/n2/instances", nil).want(404, "Node not found")
}
