package routerfeed

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/router"
)

const (
	// keptChanges and keptBytes bound what is remembered for routers that were away for a moment; who was away for longer gets all.
	keptChanges = 4096
	keptBytes   = 16 << 20
	// awayGrace is how long a router that says nothing is waited for when an instance is drained.
	awayGrace = 5 * time.Second
	// forgetAfter is when nothing is known any more of a router that does not listen.
	forgetAfter = 24 * time.Hour
)

// Local is the controller's own router; *router.Router is one.
type Local interface {
	SetTable(t router.Table) error
	Change(c router.Change) error
	WaitDrained(ctx context.Context, instanceID string) error
	SetCallers(apps map[netip.Addr]string)
	Edges() []router.Edge
	DropEdge(e router.Edge) (gone bool)
	AppSample(guid string) (router.AppSample, bool)
	Take(ctx context.Context, conn net.Conn, secure bool) error
}

// Certifier makes certificates; *router.Certificates is one.
type Certifier interface {
	ByACME(name string) bool
	Export(ctx context.Context, name string, obtain bool) (chain, key []byte, err error)
	Sign(name string, public crypto.PublicKey, life time.Duration) (chain []byte, err error)
	ServeChallenge(w http.ResponseWriter, r *http.Request) bool
}

// Options say what a Feed stands on. All are required.
type Options struct {
	Local        Local
	Certificates Certifier
	// Settings are those of a node at this moment. It is asked often.
	Settings func(node string) Settings
	// Routes reports whether the node may route still.
	Routes func(node string) bool
	// Access takes a line of a router's access log.
	Access func(a router.Access)
	Log    *slog.Logger
}

// Feed hands tables to the controller's own router and to all others. Its methods may be called at the same time.
type Feed struct {
	o     Options
	began time.Time

	mu        sync.Mutex // held while the local router takes a table: versions tell what it has
	epoch     string     // of this process
	seq       uint64
	routes    map[router.Name]router.Route // without handlers
	hosts     map[string]int               // how many routes each host has
	inside    map[string]int               // addresses of endpoints that are Inside, and how many routes name them
	log       []entry                      // the newest changes, without a gap
	bytes     int                          // of log
	news      chan struct{}                // closed when there is another version
	heard     chan struct{}                // closed when a router has said something
	followers map[string]*follower         // by the GUID of the node
	callers   map[string]map[netip.Addr]string
	far       farCounts
	closed    chan struct{} // ends the streams
}

// entry is a change, ready to be sent.
type entry struct {
	seq  uint64 // after it
	text []byte
}

// New makes a Feed of an empty table.
func New(o Options) *Feed {
	return &Feed{
		o: o, began: time.Now(), epoch: strings.ToLower(rand.Text()[:12]), routes: map[router.Name]router.Route{}, inside: map[string]int{},
		hosts: map[string]int{}, news: make(chan struct{}), heard: make(chan struct{}), followers: map[string]*follower{}, far: newFarCounts(), closed: make(chan struct{}),
	}
}

// Run ends all streams when ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	<-ctx.Done()
	close(f.closed)
	return nil
}

func version(epoch string, seq uint64) string { return epoch + "." + strconv.FormatUint(seq, 10) }

func (f *Feed) versionLocked() string { return version(f.epoch, f.seq) }

// SetTable has the local router take a table, and then all others.
func (f *Feed) SetTable(t router.Table) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.o.Local.SetTable(t); err != nil {
		return err
	}
	clear(f.routes)
	clear(f.inside)
	clear(f.hosts)
	f.log, f.bytes = nil, 0
	for _, r := range t.Routes {
		f.putLocked(r)
	}
	f.seq++
	f.tellLocked()
	return nil
}

// Change has the local router take a change, and then all others.
func (f *Feed) Change(c router.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.o.Local.Change(c); err != nil {
		return err
	}
	out := router.Change{Remove: c.Remove}
	for _, n := range c.Remove {
		f.dropLocked(n)
	}
	for _, r := range c.Set {
		f.putLocked(r)
		if r.Handler == nil {
			out.Set = append(out.Set, r)
		}
	}
	before := f.versionLocked()
	f.seq++
	text, err := json.Marshal(Message{Version: f.versionLocked(), After: before, Change: &out})
	if err != nil { // it is plain data; all routers get the whole table then
		f.o.Log.Error("a change is not told as such", "error", err)
		f.log, f.bytes = nil, 0
	} else {
		f.log, f.bytes = append(f.log, entry{f.seq, text}), f.bytes+len(text)
	}
	for len(f.log) > keptChanges || f.bytes > keptBytes && len(f.log) > 1 {
		f.bytes -= len(f.log[0].text)
		f.log = slices.Delete(f.log, 0, 1)
	}
	f.tellLocked()
	return nil
}

func (f *Feed) tellLocked() {
	close(f.news)
	f.news = make(chan struct{})
}

// putLocked keeps a route. Those that the controller serves itself are settings of routers, not routes.
func (f *Feed) putLocked(r router.Route) {
	f.dropLocked(r.Name())
	if r.Handler != nil {
		return
	}
	f.routes[r.Name()] = r
	f.hosts[r.Host]++
	for _, e := range r.Endpoints {
		if e.Inside {
			f.inside[e.Address]++
		}
	}
}

func (f *Feed) dropLocked(n router.Name) {
	r, ok := f.routes[n]
	if !ok {
		return
	}
	delete(f.routes, n)
	if f.hosts[n.Host]--; f.hosts[n.Host] == 0 {
		delete(f.hosts, n.Host)
	}
	for _, e := range r.Endpoints {
		if !e.Inside {
			continue
		}
		if f.inside[e.Address]--; f.inside[e.Address] == 0 {
			delete(f.inside, e.Address)
		}
	}
}

// since returns what follows a version, as lines, and the channel that is closed when there is more. Of a version that is too
// old, or of another process, that is the whole table.
func (f *Feed) since(have string) (lines [][]byte, now string, news <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, news = f.versionLocked(), f.news
	if have == now {
		return nil, now, news
	}
	epoch, text, _ := strings.Cut(have, ".")
	seq, err := strconv.ParseUint(text, 10, 64)
	if err == nil && epoch == f.epoch && seq < f.seq && len(f.log) > 0 && f.log[0].seq <= seq+1 {
		for _, e := range f.log[seq+1-f.log[0].seq:] {
			lines = append(lines, e.text)
		}
		return lines, now, news
	}
	m := Message{Version: now, Whole: true, Routes: make([]router.Route, 0, len(f.routes))}
	for _, r := range f.routes {
		m.Routes = append(m.Routes, r)
	}
	whole, err := json.Marshal(m)
	if err != nil {
		f.o.Log.Error("the table is not told", "error", err)
		return nil, now, news
	}
	return [][]byte{whole}, now, news
}

// SetCallersAt says which app each container has that is on the machine with that address, by the container's address.
func (f *Feed) SetCallersAt(machines map[string]map[netip.Addr]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers = machines
}
