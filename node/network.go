package node

import (
	"context"
	"net/netip"
)

// Network is all that workloads may reach, as desired state (see Engine.SetNetwork). What it does not name
// is refused.
type Network struct {
	// Groups are rules by the group's name.
	Groups map[string][]Rule
	// Egress names the groups whose rules a workload's outgoing connections obey, by Workload.Egress. A
	// workload whose key is absent reaches nothing.
	Egress map[string][]string
	// Policies let workloads of this installation reach one another; no rule of a group does that.
	Policies []Policy
	// Far are the workloads on other machines that policies lead to, and Nodes the machines whose workloads may come to those
	// here. An engine of several machines fills both in for each; others leave them empty.
	Far   []Far
	Nodes []string
}

// Far is a workload on another machine. Connections of tcp are carried to it by the agents of both machines.
type Far struct {
	Peer    string     // that policies lead to
	Address netip.Addr // there; no two machines of Far have the same addresses
	Node    string     // its machine; empty: the controller's
	Agent   string     // host:port of the agent there; empty: of the controller
}

// Rule allows connections to any of its destinations. Rules are added up: none takes away what another gives.
//
// Two things want to be named. The link-local network, with a cloud's metadata service in it, is reached only
// by a destination that lies inside of it. And of this machine itself a rule for all protocols opens no more
// than the ports that apps may use anyway; others are opened by a rule that names protocol and port.
type Rule struct {
	Protocol     string // tcp, udp, icmp or all; a rule for another one allows nothing
	Destinations []AddressRange
	Ports        []PortRange // of tcp and udp; none: nothing is allowed
	ICMPType     int         // -1: any
	ICMPCode     int         // -1: any
	Log          bool        // the kernel logs the connections that it lets through
}

// AddressRange has both its ends in it. Ranges of IPv6 are ignored where workloads have no such addresses.
type AddressRange struct{ From, To netip.Addr }

// PortRange has both its ends in it.
type PortRange struct{ From, To int }

// Policy lets the workloads of one peer connect to those of another (Workload.Peer).
type Policy struct {
	From, To string
	Protocol string // tcp or udp
	Ports    PortRange
}

// Flow is how many connections policies let through between two peers. Of UDP it is how many times one side sent
// something that the other had not answered yet, and a connection that nobody answers counts more than once, because its
// first packet is sent again: it is the policies' rules that count.
type Flow struct {
	From, To    string // peers
	Connections uint64 // never goes down while the policy is there
}

// FlowCounter is an Engine that can count what policies let through.
type FlowCounter interface {
	// Flows returns one Flow for each two peers that a policy of the last SetNetwork lets connect and of which workloads
	// run here. It asks the kernel, so it is not for every request.
	Flows(ctx context.Context) ([]Flow, error)
}
