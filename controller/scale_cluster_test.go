package controller

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
)

// cluster is an engine whose nodes are numbers: a workload is healthy a moment after it was placed.
type cluster struct {
	node.Engine // what the loops don't use
	*node.Feed
	calls atomic.Int64 // of the loops

	mu     sync.Mutex
	there  map[string]*placed
	load   []map[string]*placed // by node
	next   int                  // node that gets the next workload
	ready  int
	looked []chan struct{} // closed by the next TakeChanges
	lost   []*placed       // by the last lose
}

type placed struct {
	node.Status
	node int
}

func newCluster(nodes int) *cluster {
	c := &cluster{Feed: node.NewFeed(), there: map[string]*placed{}, load: make([]map[string]*placed, nodes)}
	for n := range c.load {
		c.load[n] = map[string]*placed{}
	}
	return c
}

// placing is how long a workload takes to be healthy on its node.
const placing = 50 * time.Millisecond

func (c *cluster) Start(_ context.Context, w node.Workload) error {
	c.calls.Add(1)
	if w.Finish != nil {
		if _, err := w.Finish("10.0.0.1"); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.there[w.ID] == nil {
		p := &placed{Status: node.Status{ID: w.ID, Labels: w.Labels}}
		c.there[w.ID] = p
		c.placeLocked(p)
	}
	return nil
}

// placeLocked puts a workload on the next node that is left and makes it healthy there.
func (c *cluster) placeLocked(p *placed) {
	for c.next = (c.next + 1) % len(c.load); c.load[c.next] == nil; {
		c.next = (c.next + 1) % len(c.load)
	}
	p.node = c.next
	c.load[p.node][p.ID] = p
	p.State, p.Ready, p.StartedAt = node.Starting, false, time.Now()
	p.Address = fmt.Sprintf("10.%d.%d.1", p.node/256, p.node%256)
	p.Host, p.HostPorts = p.Address, map[int]int{8080: 20000 + p.Generation}
	at := p.Generation
	c.Note(p.ID)
	time.AfterFunc(placing, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.there[p.ID] == p && p.Generation == at {
			p.State, p.Ready = node.Running, true
			c.ready++
			c.Note(p.ID)
		}
	})
}

func (c *cluster) Stop(_ context.Context, id string, _ time.Duration) error {
	c.calls.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.there[id]; p != nil {
		c.unplaceLocked(p)
		delete(c.there, id)
		c.Note(id)
	}
	return nil
}

func (c *cluster) unplaceLocked(p *placed) {
	if p.Ready {
		c.ready--
	}
	p.Generation++
	delete(c.load[p.node], p.ID)
}

// lose takes nodes away for good. Once the loops have seen it their workloads are placed elsewhere, as a scheduler
// would that is not ours.
func (c *cluster) lose(nodes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = nil
	for n := range c.load {
		if nodes == 0 || c.load[n] == nil {
			continue
		}
		for _, p := range c.load[n] {
			c.unplaceLocked(p)
			p.State, p.Ready = node.Starting, false
			c.lost = append(c.lost, p)
			c.Note(p.ID)
		}
		c.load[n] = nil
		nodes--
	}
	looked := make(chan struct{})
	c.looked = append(c.looked, looked)
	go func() {
		<-looked
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, p := range c.lost {
			c.placeLocked(p)
		}
	}()
}

func (c *cluster) TakeChanges() node.Changes {
	c.calls.Add(1)
	c.mu.Lock()
	for _, l := range c.looked {
		close(l)
	}
	c.looked = nil
	c.mu.Unlock()
	return c.Feed.TakeChanges()
}

func (c *cluster) Changed() <-chan struct{} { return c.Feed.Changed() }

func (c *cluster) List(context.Context) ([]node.Status, error) {
	c.calls.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]node.Status, 0, len(c.there))
	for _, p := range c.there {
		all = append(all, p.Status)
	}
	return all, nil
}

func (c *cluster) Find(ids ...string) (found []node.Status) {
	c.calls.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if p := c.there[id]; p != nil {
			found = append(found, p.Status)
		}
	}
	return found
}

// Logs is silent until the loop ends.
func (c *cluster) Logs(ctx context.Context, _ string, _ time.Time, _ func(node.LogLine)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *cluster) Dial(context.Context, string, string, string) (net.Conn, error) {
	return nil, node.ErrNotFound
}

// refugees are the addresses of the workloads that lost their nodes, by id.
func (c *cluster) refugees() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := make(map[string]string, len(c.lost))
	for _, p := range c.lost {
		now[p.ID] = p.Address
	}
	return now
}

// numbers are how many workloads there are and how many of them are healthy.
func (c *cluster) numbers() (all, ready int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.there), c.ready
}

// counted is a router that knows how many instances its table has.
type counted struct {
	*router.Router
	total  atomic.Int64
	routes map[router.Name]int
}

func (c *counted) SetTable(t router.Table) error {
	c.routes = map[router.Name]int{}
	c.total.Store(0)
	c.count(t.Routes)
	return c.Router.SetTable(t)
}

func (c *counted) Change(change router.Change) error {
	c.count(change.Set)
	for _, n := range change.Remove {
		c.total.Add(-int64(c.routes[n]))
		delete(c.routes, n)
	}
	return c.Router.Change(change)
}

func (c *counted) count(routes []router.Route) {
	for i := range routes {
		n := routes[i].Name()
		c.total.Add(int64(len(routes[i].Endpoints) - c.routes[n]))
		c.routes[n] = len(routes[i].Endpoints)
	}
}
