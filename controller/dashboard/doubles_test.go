package dashboard

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// cluster stands behind the API where the platform has machines, disks and certificates: two nodes that can be drained.
type cluster struct {
	mu    sync.Mutex
	nodes []capi.Node
	moves capi.Engine
}

// move says how the migration stands.
func (c *cluster) move(e capi.Engine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moves = e
}

func (c *cluster) Plan(ctx context.Context, _ string) (*capi.Engine, error) { return c.Migration(ctx) }

func (c *cluster) Migration(context.Context) (*capi.Engine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.moves
	return &e, nil
}

func newCluster() *cluster {
	return &cluster{nodes: []capi.Node{
		{GUID: "n1", Name: "vm-1", State: capi.NodeReady, Zone: "a", Version: "1.11.3", Memory: 16384, Reserved: 6144, Count: 7},
		{GUID: "n2", Name: "vm-2", Address: "192.0.2.8", State: capi.NodeReady, Zone: "b", Version: "1.11.3", Memory: 8192, Reserved: 7936, Count: 12},
	}}
}

func (c *cluster) List(context.Context) ([]capi.Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes), nil
}

func (c *cluster) set(guid, state string, count int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.nodes {
		if c.nodes[i].GUID == guid {
			c.nodes[i].State = state
			if count >= 0 {
				c.nodes[i].Count = count
			}
			return nil
		}
	}
	return capi.ResourceNotFound.Errorf("Node not found")
}

// wrong says what is the matter with a node.
func (c *cluster) wrong(guid, state, problem string) error {
	c.mu.Lock()
	for i := range c.nodes {
		if c.nodes[i].GUID == guid {
			c.nodes[i].Problem = problem
		}
	}
	c.mu.Unlock()
	return c.set(guid, state, -1)
}

func (c *cluster) Label(context.Context, string, map[string]*string) error { return nil }

func (c *cluster) Drain(_ context.Context, guid string, drain bool) error {
	if drain {
		return c.set(guid, capi.NodeDraining, -1)
	}
	return c.set(guid, capi.NodeReady, -1)
}

func (c *cluster) Remove(_ context.Context, guid string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = slices.DeleteFunc(c.nodes, func(n capi.Node) bool { return n.GUID == guid })
	return nil
}

func (c *cluster) Disks(context.Context) ([]capi.Disk, error) {
	const gb = 1 << 30
	return []capi.Disk{
		{Name: "data", Path: "/var/lib/cupola", Total: 200 * gb, Free: 12 * gb, State: capi.DiskLow, Remedy: "make room soon", Parts: capi.Array[capi.DiskPart]{{Name: "registry", Bytes: 120 * gb}, {Name: "backups", Bytes: 44 * gb}}},
		{Name: "containers", Path: "/var/lib/docker", Total: 500 * gb, Free: 310 * gb, State: capi.DiskFine},
	}, nil
}

func (c *cluster) Certificate(_ context.Context, host string) capi.Certificate {
	return capi.Certificate{Host: host, Source: capi.CertificatePlatform, Issuer: "Example CA", State: capi.CertificateToCome}
}

func (c *cluster) Certificates(context.Context) ([]capi.Certificate, error) {
	now := time.Now()
	begun, soon, late := now.Add(-80*24*time.Hour), now.Add(9*24*time.Hour+time.Hour), now.Add(9*365*24*time.Hour)
	return []capi.Certificate{
		{Host: "Example CA", Source: capi.CertificatePlatform, Authority: true, Issuer: "Example CA", State: capi.CertificateValid, NotBefore: &begun, NotAfter: &late},
		{Host: "ending.example.com", Source: capi.CertificateACME, Issuer: "Example Authority", State: capi.CertificateEnding, NotBefore: &begun, NotAfter: &soon, Problem: "dns: " + hostile, Remedy: "have the name's address record point to this platform"},
		{Host: "refused.example.com", Source: capi.CertificateACME, State: capi.CertificateFailing, Problem: "no such name", Remedy: "have the name's address record point to this platform", RetryAt: &soon},
	}, nil
}

// said reads an app's log as the platform does.
func (w *world) said(app string, n int) []string {
	all, err := w.logs.Read(logs.Query{SourceID: app, Limit: n, Descending: true})
	w.must(err)
	var lines []string
	for _, e := range slices.Backward(all) {
		lines = append(lines, string(e.Payload))
	}
	return lines
}

// vault stands where the platform's own broker makes backups: what is asked for is done at once.
type vault struct{ w *world }

func (v *vault) Backup(instance string, also func(*store.Tx, *store.DataService) error) (*store.DataBackup, error) {
	b := &store.DataBackup{ServiceGUID: instance, State: store.OperationSucceeded, Bytes: 5 << 20, Proof: "12 tables, 3400 rows"}
	return b, v.w.db.Update(func(tx *store.Tx) error {
		b.FinishedAt, b.ProvedAt = tx.Now, tx.Now
		s, err := store.DataServices.Get(tx, instance)
		if err == nil && also != nil {
			err = also(tx, s)
		}
		if err != nil {
			return err
		}
		return store.DataBackups.Put(tx, b)
	})
}

func (v *vault) RestoreTo(instance, _ string, _ time.Time, also func(*store.Tx, *store.DataService) error) error {
	return v.Restore(instance, "", also)
}

func (v *vault) Restore(instance, backup string, also func(*store.Tx, *store.DataService) error) error {
	return v.w.db.Update(func(tx *store.Tx) error {
		s, err := store.DataServices.Get(tx, instance)
		if err != nil {
			return err
		}
		if err := also(tx, s); err != nil {
			return err
		}
		s.RestoreFrom = backup
		return store.DataServices.Put(tx, s)
	})
}

func (*vault) Undelete(string, func(*store.Tx, *store.DataService) error) error { return nil }
func (*vault) Purge(string, func(*store.Tx, *store.DataService) error) error    { return nil }
func (*vault) Usage(string) *capi.ServiceUsage                                  { return exampleUsage() }
func (*vault) Keeps(string) (data, backups bool)                                { return true, true }

// dataService makes a service instance that the platform itself keeps the data of.
func (w *world) dataService(name, space string) string {
	w.t.Helper()
	i := &store.ServiceInstance{Name: name, Type: store.ServiceManaged, SpaceGUID: space, LastOperation: store.Operation{Type: store.OperationCreate, State: store.OperationSucceeded}}
	w.must(w.db.Update(func(tx *store.Tx) error {
		i.PlanGUID = w.plan(tx)
		w.must(store.ServiceInstances.Put(tx, i))
		return store.DataServices.Put(tx, &store.DataService{Meta: store.Meta{GUID: i.GUID}, Name: name, SpaceGUID: space, State: store.DataReady})
	}))
	return i.GUID
}

// plan is what the platform's own broker sells.
func (w *world) plan(tx *store.Tx) string {
	w.t.Helper()
	for p := range store.ServicePlans.All(tx) {
		return p.GUID
	}
	b := &store.ServiceBroker{Name: "cupola", URL: "http://127.0.0.1:1", BuiltIn: true}
	w.must(store.ServiceBrokers.Put(tx, b))
	o := &store.ServiceOffering{BrokerGUID: b.GUID, CatalogID: "postgres", Name: "postgres", Description: "PostgreSQL, a relational database", Available: true, Bindable: true, Tags: []string{"postgres", "relational"}}
	w.must(store.ServiceOfferings.Put(tx, o))
	w.offering = o.GUID
	var first string
	for _, p := range []*store.ServicePlan{{Name: "small", Description: "512 MB of memory, 1 GB of disk", Free: true}, {Name: "large", Description: "4 GB of memory, 20 GB of disk"}} {
		p.OfferingGUID, p.BrokerGUID, p.CatalogID, p.Available, p.Bindable, p.Public = o.GUID, b.GUID, p.Name, true, true, true
		w.must(store.ServicePlans.Put(tx, p))
		if first == "" {
			first = p.GUID
		}
	}
	return first
}

// person makes a user with the administrator's password, scopes, and at most one role.
func (w *world) person(name, role, org, space string, scopes ...string) {
	w.t.Helper()
	w.must(w.db.Update(func(tx *store.Tx) error {
		found, _, err := store.Users.List(tx, store.Query[store.User]{Where: []store.Cond{store.By("username", "admin")}})
		w.must(err)
		u := &store.User{Username: name, Origin: found[0].Origin, PasswordHash: found[0].PasswordHash, PasswordAt: tx.Now, Groups: append([]string{"openid", "cloud_controller.read", "cloud_controller.write"}, scopes...)}
		w.must(store.Users.Put(tx, u))
		if role == "" {
			return nil
		}
		return store.Roles.Put(tx, &store.Role{Type: role, UserGUID: u.GUID, OrgGUID: org, SpaceGUID: space})
	}))
}

func exampleUsage() *capi.ServiceUsage {
	cpu, memory, disk, connections := 0.25, int64(96<<20), int64(900<<20), 7
	return &capi.ServiceUsage{At: capi.At(time.Now()), CPU: &cpu, MemoryBytes: &memory, MemoryLimit: 256 << 20, DiskBytes: &disk, DiskLimit: 1 << 30, Connections: &connections, ConnectionsLimit: 50}
}
