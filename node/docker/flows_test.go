package docker

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/cupola-paas/cupola/node"
)

// TestFlowsAddUp: what rules counted is kept when they are written anew, is never counted twice, and goes with its policy.
func TestFlowsAddUp(t *testing.T) {
	p := samplePlan()
	n := &node.Network{Policies: []node.Policy{
		{From: "front", To: "back", Protocol: "tcp", Ports: node.PortRange{From: 80, To: 80}},
		{From: "front", To: "back", Protocol: "tcp", Ports: node.PortRange{From: 80, To: 80}}, // two bindings of one app
		{From: "front", To: "data", Protocol: "tcp", Ports: node.PortRange{From: 5432, To: 5433}},
		{From: "front", To: "away", Protocol: "tcp", Ports: node.PortRange{From: 80, To: 80}}, // of which nothing runs here
	}}
	members := []member{
		{address: netip.MustParseAddr("10.9.0.2"), peer: "front"}, {address: netip.MustParseAddr("10.9.0.3"), peer: "front"},
		{address: netip.MustParseAddr("10.9.0.4"), peer: "back"}, {address: netip.MustParseAddr("10.9.0.5"), peer: "data"},
	}
	var f flows
	want := func(when string, back, data uint64) {
		t.Helper()
		if w := map[peers]uint64{{"front", "back"}: back, {"front", "data"}: data}; !maps.Equal(f.total, w) {
			t.Errorf("%s: %v, want %v", when, f.total, w)
		}
	}
	f.rewritten(p, n, members)
	want("at first", 0, 0)
	back, data := "-A P-T"+digest("back")+" ", "-A P-T"+digest("data")+" "
	first := "[3:180] " + back + "-s 10.9.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n" +
		"[0:0] " + back + "-s 10.9.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n" +
		"[2:120] " + back + "-s 10.9.0.3/32 -p tcp -m tcp --dport 80 -j ACCEPT\n" +
		"[7:420] " + data + "-s 10.9.0.3/32 -p tcp -m tcp --dport 5432:5433 -j ACCEPT\n" +
		"[9:540] " + data + "-j REJECT --reject-with icmp-port-unreachable\n[5:1] -A FORWARD -j DOCKER-USER\n"
	f.add(first)
	want("after connections", 5, 7)
	f.add(first)
	want("after nothing", 5, 7)
	f.rewritten(p, n, members)
	f.add("[1:60] " + back + "-s 10.9.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n")
	want("after the rules were written anew", 6, 7)
	f.add("[0:0] " + back + "-s 10.9.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n")
	want("after somebody set the counters to zero", 6, 7)
	n.Policies = n.Policies[:2]
	f.rewritten(p, n, members)
	if w := map[peers]uint64{{"front", "back"}: 6}; !maps.Equal(f.total, w) {
		t.Errorf("without the policy to data: %v, want %v", f.total, w)
	}
}
