package nomad

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// keeper is the agent of a machine that keeps workloads. What a test does not need panics.
type keeper struct {
	Agent
	started map[string]node.Workload
	volumes map[string]bool
	room    int // MB
	refuses int // so many times Stop is not answered
}

func (k *keeper) Stop(_ context.Context, id string, _ time.Duration) error {
	if k.refuses > 0 {
		k.refuses--
		return fmt.Errorf("%w: away for a moment", node.ErrUnavailable)
	}
	delete(k.started, id)
	return nil
}

func (k *keeper) Start(_ context.Context, w node.Workload, own bool) error {
	for _, v := range w.Volumes {
		k.volumes[v.ID] = true
	}
	if w.MemoryMB > k.room {
		return fmt.Errorf("%w: memory", node.ErrInsufficient)
	}
	if !own || w.Image != "db@sha256:1" || w.PullSecret != "" {
		return fmt.Errorf("it was told to pull %s with %q", w.Image, w.PullSecret)
	}
	k.started[w.ID] = w
	return nil
}

func (k *keeper) RemoveVolume(_ context.Context, id string) error {
	delete(k.volumes, id)
	return nil
}

// remembered are places in memory.
type remembered struct {
	mu sync.Mutex
	m  map[string]string
}

func (r *remembered) Place(id string) (string, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.m[id]
	return at, ok, nil
}

func (r *remembered) SetPlace(id, nodeID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[id] = nodeID
	return nil
}

func (r *remembered) ForgetPlace(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.m, id)
	return nil
}

// stayCluster has the machines n1, n2 and n3; the first has most memory by its word, and no room.
func stayCluster(t *testing.T) (*Nomad, map[string]*keeper, *remembered) {
	t.Helper()
	places, agents := &remembered{m: map[string]string{}}, map[string]*keeper{}
	e := &Nomad{
		o:    Options{Places: places, ImagePrefix: "127.0.0.1:5870/"},
		Feed: node.NewFeed(), workloads: map[string]*workload{}, nodes: map[string]*member{}, kept: map[string]*member{}, farWake: make(chan struct{}, 1),
	}
	for n, room := range []int{0, 2048, 2048} {
		id := fmt.Sprintf("n%d", n+1)
		agents[id] = &keeper{started: map[string]node.Workload{}, volumes: map[string]bool{}, room: room}
		e.nodes[id] = &member{
			id: id, hostname: "vm-" + id, agent: agents[id], agentAddress: id + ":1", eligible: true, memoryMB: 4096 - n*1024, statuses: map[string]node.Status{},
			host: node.Host{Subnet: netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", n))},
		}
	}
	return e, agents, places
}

func database(id string) node.Workload {
	return node.Workload{ID: id, Image: "127.0.0.1:5870/db@sha256:1", PullSecret: "example-secret", MemoryMB: 256, Volumes: []node.Volume{{ID: "v-" + id, Path: "/data"}}}
}

// TestDataStays: a workload with a volume is started where there is room, and from then on there alone.
func TestDataStays(t *testing.T) {
	e, agents, places := stayCluster(t)
	w := database("db")
	if err := e.startThere(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"v-db": "n2"}; !maps.Equal(places.m, want) || len(agents["n2"].started) != 1 || len(agents["n1"].volumes) != 0 {
		t.Fatalf("places = %v, want %v; n1 has the volumes %v", places.m, want, agents["n1"].volumes)
	}
	if s := e.Find("db"); len(s) != 1 || s[0].State != node.Starting {
		t.Fatalf("find = %+v", s)
	}
	e.nodes["n2"].away = true
	if s := e.Find("db"); s[0].Ready || s[0].Details == "" {
		t.Errorf("while its machine is away it is %+v", s[0])
	}
	// A controller that starts now has seen nothing of it.
	delete(e.nodes["n2"].statuses, "db")
	delete(e.kept, "db")
	for what, err := range map[string]error{
		"start": e.startThere(t.Context(), w), "stop": e.stopUnseen("v-db"), "remove": e.RemoveVolume(t.Context(), "v-db"),
	} {
		if !errors.Is(err, node.ErrUnavailable) {
			t.Errorf("%s while its machine is away = %v, want ErrUnavailable", what, err)
		}
	}
	if len(agents["n3"].started) != 0 || len(agents["n3"].volumes) != 0 {
		t.Fatalf("it was begun elsewhere: %v", agents["n3"])
	}
	e.nodes["n2"].away = false
	if err := e.startThere(t.Context(), w); err != nil || len(agents["n2"].started) != 1 {
		t.Errorf("when its machine is back: %v", err)
	}
	if err := e.RemoveVolume(t.Context(), "v-db"); err != nil || len(places.m) != 0 || len(agents["n2"].volumes) != 0 {
		t.Errorf("remove = %v; places = %v", err, places.m)
	}
}

// TestDataOfARemovedMachine: it is waited for until somebody destroys the volume, which is gone already.
func TestDataOfARemovedMachine(t *testing.T) {
	e, agents, places := stayCluster(t)
	if err := e.startThere(t.Context(), database("db")); err != nil {
		t.Fatal(err)
	}
	delete(e.nodes, "n2")
	delete(e.kept, "db")
	if err := e.startThere(t.Context(), database("db")); !errors.Is(err, node.ErrUnavailable) || len(agents["n3"].started) != 0 {
		t.Errorf("start = %v", err)
	}
	if err := e.RemoveVolume(t.Context(), "v-db"); err != nil || len(places.m) != 0 {
		t.Errorf("remove = %v; places = %v", err, places.m)
	}
}

// TestPurgeTriesAgain: what does not answer for a moment is purged all the same.
func TestPurgeTriesAgain(t *testing.T) {
	e, agents, _ := stayCluster(t)
	if err := e.startThere(t.Context(), database("db")); err != nil {
		t.Fatal(err)
	}
	for _, m := range e.nodes {
		for id := range agents[m.id].started {
			m.statuses[id] = node.Status{ID: id, Own: true}
			e.keepLocked(m)
			agents[m.id].refuses = 2
		}
	}
	if len(e.kept) != 1 {
		t.Fatalf("kept are %v", e.kept)
	}
	if err := e.Purge(t.Context()); err != nil || len(e.kept) != 0 {
		t.Errorf("purge = %v; kept are %v", err, e.kept)
	}
	for id, k := range agents {
		if len(k.started) != 0 || k.refuses != 0 {
			t.Errorf("%s: %+v", id, k)
		}
	}
}

// TestNoRoomToStay: without a machine that could keep it nothing is remembered.
func TestNoRoomToStay(t *testing.T) {
	e, _, places := stayCluster(t)
	for change, do := range map[string]func(m *member){
		"too large":       func(*member) {},
		"disk full":       func(m *member) { m.host.DiskFull = true },
		"same addresses":  func(m *member) { m.host.Subnet = netip.MustParsePrefix("10.9.0.0/16") },
		"of another pool": func(m *member) { m.pool = "others" },
		"away":            func(m *member) { m.away = true },
	} {
		w := database("db")
		if change == "too large" {
			w.MemoryMB = 2600
		}
		for _, m := range e.nodes {
			do(m)
		}
		if err := e.startThere(t.Context(), w); !errors.Is(err, node.ErrInsufficient) || len(places.m) != 0 {
			t.Errorf("%s: %v; places = %v", change, err, places.m)
		}
		fresh, _, _ := stayCluster(t)
		fresh.o.Places = places
		e = fresh
	}
}

// TestFar: every machine is told of workloads on others that a policy leads to, and not of its own.
func TestFar(t *testing.T) {
	e, _, _ := stayCluster(t)
	for id, address := range map[string]string{"n1": "10.9.0.5", "n2": "10.9.1.5"} {
		e.nodes[id].statuses["i"+id] = node.Status{ID: "i" + id, Peer: "back", Address: address}
	}
	e.nodes["n3"].statuses["x"] = node.Status{ID: "x", Peer: "unwanted", Address: "10.9.2.5"}
	e.network = &node.Network{Policies: []node.Policy{{From: "front", To: "back", Protocol: "tcp"}}}
	n := *e.network
	n.Far, n.Nodes = e.farLocked()
	if len(n.Far) != 2 || len(n.Nodes) != 3 {
		t.Fatalf("far = %+v of %v", n.Far, n.Nodes)
	}
	got := e.nodes["n1"].networkFor(&n).Far
	if want := (node.Far{Peer: "back", Address: netip.MustParseAddr("10.9.1.5"), Node: "n2", Agent: "n2:1"}); len(got) != 1 || got[0] != want {
		t.Errorf("n1 is told of %+v, want %+v", got, want)
	}
	if !e.Reachable(netip.MustParseAddr("10.9.1.9")) || e.Reachable(netip.MustParseAddr("10.8.0.1")) {
		t.Error("what is reachable is what a machine of the cluster has")
	}
	e.nodes["n3"].host.Subnet = netip.MustParsePrefix("10.9.1.0/24")
	if e.Reachable(netip.MustParseAddr("10.9.1.9")) {
		t.Error("addresses that two machines have lead nowhere")
	}
}
