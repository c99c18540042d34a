package docker

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/node"
)

// TestFarRules: just what a policy of tcp allows from here to there is turned aside.
func TestFarRules(t *testing.T) {
	at := netip.MustParseAddr
	p := &plan{prefix: "X-", apps: "apps0", gateway: at("10.9.0.1"), farPort: 4000}
	members := []member{{address: at("10.9.0.2"), peer: "front"}, {address: at("10.9.0.3"), peer: "other"}}
	n := &node.Network{
		Far: []node.Far{{Peer: "back", Address: at("10.9.16.2"), Node: "n2"}, {Peer: "hidden", Address: at("10.9.16.3"), Node: "n2"}},
		Policies: []node.Policy{
			{From: "front", To: "back", Protocol: "tcp", Ports: node.PortRange{From: 80, To: 90}},
			{From: "front", To: "back", Protocol: "udp", Ports: node.PortRange{From: 80, To: 90}},
			{From: "back", To: "front", Protocol: "tcp", Ports: node.PortRange{From: 1, To: 1}},
		},
	}
	want := []string{"-s 10.9.0.2/32 -d 10.9.16.2/32 -i apps0 -p tcp -m tcp --dport 80:90 -j DNAT --to-destination 10.9.0.1:4000"}
	if got := p.farRules(n, members); !slices.Equal(got, want) {
		t.Errorf("rules = %q, want %q", got, want)
	}
	f := &firewall{plan: *p, network: n, members: map[string]member{"i1": members[0], "i2": members[1]}}
	for _, c := range []struct {
		from, to string
		port     uint16
		want     bool
	}{
		{"10.9.0.2", "10.9.16.2", 85, true}, {"10.9.0.2", "10.9.16.2", 91, false}, {"10.9.0.3", "10.9.16.2", 85, false},
		{"10.9.0.2", "10.9.16.3", 85, false}, {"10.9.0.9", "10.9.16.2", 85, false}, {"10.9.0.2", "10.9.0.3", 85, false},
	} {
		far, peer, ok := f.way(at(c.from), netip.AddrPortFrom(at(c.to), c.port))
		if ok != c.want || ok && (far.Node != "n2" || peer != "front") {
			t.Errorf("from %s to %s:%d: %v from %s, %t; want %t", c.from, c.to, c.port, far, peer, ok, c.want)
		}
	}
	f.countFar("front", "back")
	f.countFar("front", "gone")
	f.forgetFarLocked()
	if len(f.far.counts) != 1 || f.far.counts[peers{"front", "back"}] != 1 {
		t.Errorf("counted %v, want what a policy still allows", f.far.counts)
	}
}
