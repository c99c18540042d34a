package docker

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/node"
)

// packet is what rules look at: the first of a connection.
type packet struct {
	in, out  string // interfaces; out is empty on the way to this machine
	from, to string
	proto    string
	port     int
	icmp     string // type/code
}

// fate follows a packet through chains as the kernel does, as far as our rules go. A goto's return leads
// to the chain that was jumped from, so to the hook.
func fate(t *testing.T, c chains, chain string, p packet) string {
	t.Helper()
	for _, rule := range c[chain] {
		target, ok := matches(t, rule, p)
		switch {
		case !ok || target == "LOG":
		case strings.HasPrefix(target, "goto "):
			return fate(t, c, strings.TrimPrefix(target, "goto "), p)
		default:
			return target
		}
	}
	return "RETURN"
}

func matches(t *testing.T, rule string, p packet) (target string, ok bool) {
	t.Helper()
	f := strings.Fields(strings.ReplaceAll(rule, "\"cupola allowed: \"", "text"))
	ok = true
	for i := 0; i+1 < len(f); i += 2 {
		v := f[i+1]
		switch f[i] {
		case "-i":
			ok = ok && v == p.in
		case "-o":
			ok = ok && v == p.out
		case "-s":
			ok = ok && netip.MustParsePrefix(v).Contains(netip.MustParseAddr(p.from))
		case "-d":
			ok = ok && netip.MustParsePrefix(v).Contains(netip.MustParseAddr(p.to))
		case "--dst-range":
			r := ranges(v)[0]
			to := netip.MustParseAddr(p.to)
			ok = ok && to.Compare(r.From) >= 0 && to.Compare(r.To) <= 0
		case "-p":
			ok = ok && v == p.proto
		case "--dport":
			from, to, isRange := strings.Cut(v, ":")
			if !isRange {
				to = from
			}
			a, _ := strconv.Atoi(from)
			b, _ := strconv.Atoi(to)
			ok = ok && a <= p.port && p.port <= b
		case "--icmp-type":
			ok = ok && strings.HasPrefix(p.icmp+"/", v+"/")
		case "--ctstate":
			ok = false // none of these packets is an answer
		case "-m", "--limit", "--log-prefix", "--reject-with":
		case "-j":
			target = v
		case "-g":
			target = "goto " + v
		default:
			t.Fatalf("rule %q: %s is not known to this test", rule, f[i])
		}
	}
	return target, ok
}

func ranges(text string) []node.AddressRange {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		to = from
	}
	return []node.AddressRange{{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}}
}

func samplePlan() *plan {
	return &plan{prefix: "P-", apps: "app", staging: "stg", gateway: netip.MustParseAddr("10.9.0.1"), hostPorts: []int{443}, refuse: "-j REJECT", log: true}
}

func sampleMembers() []member {
	at := netip.MustParseAddr
	return []member{
		{at("10.9.0.2"), "some", "front"}, {at("10.9.0.3"), "some", "back"}, {at("10.9.0.4"), "none", "back"},
		{at("10.9.0.5"), "wide", "other"}, {at("10.10.0.2"), "some", ""}, {at("10.9.0.6"), "meta", "front"},
	}
}

func TestPlan(t *testing.T) {
	n := &node.Network{
		Groups: map[string][]node.Rule{
			"db": {{Protocol: "tcp", Destinations: ranges("10.0.0.0-10.0.0.9"), Ports: []node.PortRange{{From: 80, To: 80}, {From: 5000, To: 5010}}, Log: true}},
			"ping": {{Protocol: "icmp", Destinations: ranges("10.0.0.0-10.0.0.255"), ICMPType: 8, ICMPCode: 0},
				{Protocol: "icmp", Destinations: ranges("10.1.0.0-10.1.0.255"), ICMPType: -1, ICMPCode: -1}},
			"all":  {{Protocol: "all", Destinations: ranges("0.0.0.0-255.255.255.255")}},
			"own":  {{Protocol: "tcp", Destinations: ranges("172.16.0.0-172.31.255.255"), Ports: []node.PortRange{{From: 9024, To: 9024}}}},
			"meta": {{Protocol: "tcp", Destinations: ranges("169.254.169.254"), Ports: []node.PortRange{{From: 80, To: 80}}}},
			"six":  {{Protocol: "all", Destinations: ranges("2001:db8::-2001:db8::ff")}},
		},
		Egress: map[string][]string{"some": {"db", "ping", "own", "six"}, "none": {}, "wide": {"all"}, "meta": {"meta", "absent"}},
		Policies: []node.Policy{
			{From: "front", To: "back", Protocol: "tcp", Ports: node.PortRange{From: 8080, To: 8081}},
			{From: "back", To: "back", Protocol: "udp", Ports: node.PortRange{From: 7, To: 7}},
			{From: "gone", To: "back", Protocol: "tcp", Ports: node.PortRange{From: 1, To: 65535}},
		},
	}
	p := samplePlan()
	c := chains{}
	p.base(c)
	p.open(c, n, sampleMembers())
	out := func(from, to, proto string, port int, icmp string) packet {
		return packet{"app", "eth0", from, to, proto, port, icmp}
	}
	host := func(from, to string, port int) packet { return packet{"app", "", from, to, "tcp", port, ""} }
	peer := func(from, to, proto string, port int) packet { return packet{"app", "app", from, to, proto, port, ""} }
	for name, x := range map[string]struct {
		chain string
		p     packet
		want  string
	}{
		"one of a range":             {"P-FW", out("10.9.0.2", "10.0.0.9", "tcp", 5005, ""), "RETURN"},
		"port beside it":             {"P-FW", out("10.9.0.2", "10.0.0.9", "tcp", 81, ""), "REJECT"},
		"address behind it":          {"P-FW", out("10.9.0.2", "10.0.0.10", "tcp", 80, ""), "REJECT"},
		"other protocol":             {"P-FW", out("10.9.0.2", "10.0.0.9", "udp", 80, ""), "REJECT"},
		"no groups":                  {"P-FW", out("10.9.0.4", "10.0.0.9", "tcp", 80, ""), "REJECT"},
		"nobody's address":           {"P-FW", out("10.9.0.99", "10.0.0.9", "tcp", 80, ""), "REJECT"},
		"icmp type and code":         {"P-FW", out("10.9.0.2", "10.0.0.200", "icmp", 0, "8/0"), "RETURN"},
		"icmp other type":            {"P-FW", out("10.9.0.2", "10.0.0.200", "icmp", 0, "3/0"), "REJECT"},
		"icmp any":                   {"P-FW", out("10.9.0.2", "10.1.0.200", "icmp", 0, "3/1"), "RETURN"},
		"everything":                 {"P-FW", out("10.9.0.5", "192.0.2.1", "udp", 9, ""), "RETURN"},
		"everything but metadata":    {"P-FW", out("10.9.0.5", "169.254.169.254", "tcp", 80, ""), "REJECT"},
		"metadata by name":           {"P-FW", out("10.9.0.6", "169.254.169.254", "tcp", 80, ""), "RETURN"},
		"a build":                    {"P-FW", packet{"stg", "eth0", "10.10.0.2", "10.0.0.1", "tcp", 80, ""}, "RETURN"},
		"a build to an app":          {"P-FW", packet{"stg", "app", "10.10.0.2", "10.9.0.2", "tcp", 80, ""}, "REJECT"},
		"an app to a build":          {"P-FW", packet{"app", "stg", "10.9.0.5", "10.10.0.2", "tcp", 80, ""}, "REJECT"},
		"the name server":            {"P-IN", packet{"app", "", "10.9.0.4", "10.9.0.1", "udp", 53, ""}, "ACCEPT"},
		"everything, the router":     {"P-IN", host("10.9.0.5", "192.0.2.2", 443), "ACCEPT"},
		"everything, another port":   {"P-IN", host("10.9.0.5", "192.0.2.2", 22), "REJECT"},
		"a port by name":             {"P-IN", host("10.9.0.2", "172.17.0.1", 9024), "ACCEPT"},
		"the router without a group": {"P-IN", host("10.9.0.2", "172.17.0.1", 443), "REJECT"},
		"the router at the gateway":  {"P-IN", host("10.9.0.4", "10.9.0.1", 443), "ACCEPT"},
		"the gateway's other ports":  {"P-IN", host("10.9.0.4", "10.9.0.1", 22), "REJECT"},
		"policy":                     {"P-FW", peer("10.9.0.2", "10.9.0.3", "tcp", 8081), "ACCEPT"},
		"policy, other port":         {"P-FW", peer("10.9.0.2", "10.9.0.3", "tcp", 8082), "REJECT"},
		"policy, other way":          {"P-FW", peer("10.9.0.3", "10.9.0.2", "tcp", 8080), "REJECT"},
		"policy among themselves":    {"P-FW", peer("10.9.0.3", "10.9.0.4", "udp", 7), "ACCEPT"},
		"groups open no neighbour":   {"P-FW", peer("10.9.0.5", "10.9.0.3", "tcp", 8080), "REJECT"},
	} {
		if got := fate(t, c, x.chain, x.p); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	if !slices.ContainsFunc(c[p.prefix+"S"+digest("db", "ping", "own", "six")], func(r string) bool { return strings.Contains(r, "-j LOG") }) {
		t.Error("no rule that logs")
	}
}

// TestManyMembers: a long list is split, and each still gets its own.
func TestManyMembers(t *testing.T) {
	n := &node.Network{Groups: map[string][]node.Rule{}, Egress: map[string][]string{}}
	var members []member
	a := netip.MustParseAddr("10.9.0.2")
	for i := range 500 {
		key := strconv.Itoa(i)
		n.Groups[key] = []node.Rule{{Protocol: "tcp", Destinations: ranges("192.0.2.1"), Ports: []node.PortRange{{From: 1000 + i, To: 1000 + i}}}}
		n.Egress[key] = []string{key}
		members = append(members, member{address: a, egress: key})
		a = a.Next()
	}
	p := samplePlan()
	c := chains{}
	p.base(c)
	p.open(c, n, members)
	for i, m := range members {
		for port, want := range map[int]string{1000 + i: "RETURN", 1001 + i: "REJECT"} {
			if got := fate(t, c, "P-FW", packet{"app", "eth0", m.address.String(), "192.0.2.1", "tcp", port, ""}); got != want {
				t.Fatalf("%s to port %d: %s, want %s", m.address, port, got, want)
			}
		}
	}
	if len(c["P-EG"]) > 20 {
		t.Errorf("the first chain has %d rules", len(c["P-EG"]))
	}
	for name := range c {
		if len("CUPOLA-12345678-"+strings.TrimPrefix(name, "P-")) > 28 {
			t.Errorf("chain name %s is too long for the kernel", name)
		}
	}
}

// TestRulesBounded: a group of millions of rules is cut, and what is cut is refused.
func TestRulesBounded(t *testing.T) {
	r := node.Rule{Protocol: "tcp"}
	for i := range 300 {
		r.Destinations = append(r.Destinations, ranges(fmt.Sprintf("10.0.%d.1", i%256))...)
	}
	for i := range 300 {
		r.Ports = append(r.Ports, node.PortRange{From: 1 + i, To: 1 + i})
	}
	n := &node.Network{Groups: map[string][]node.Rule{"g": {r}}, Egress: map[string][]string{"k": {"g"}}}
	c := chains{}
	samplePlan().open(c, n, []member{{address: netip.MustParseAddr("10.9.0.2"), egress: "k"}})
	list := c["P-S"+digest("g")]
	if len(list) != maxRules+1 || list[maxRules] != "-j REJECT" {
		t.Errorf("%d rules, the last is %q", len(list), list[len(list)-1])
	}
}

func TestAddresses(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("10.9.0.0/28"), netip.MustParseAddr("10.9.0.1"))
	seen := map[netip.Addr]bool{}
	for i := 0; ; i++ {
		addr, err := a.take(strconv.Itoa(i), "")
		if err != nil {
			break
		}
		if seen[addr] || addr == a.gateway || a.docker.Contains(addr) || !a.subnet.Contains(addr) || addr == a.subnet.Addr() {
			t.Fatalf("%s was given to the %dth", addr, i)
		}
		seen[addr] = true
	}
	if len(seen) < 9 {
		t.Errorf("only %d addresses of a /28 were given", len(seen))
	}
	first, _ := a.take("0", "")
	if again, err := a.take("0", ""); err != nil || again != first {
		t.Errorf("the second time it is %s (%v), was %s", again, err, first)
	}
	a.give("0")
	if addr, err := a.take("new", ""); err != nil || addr != first {
		t.Errorf("the one that became free is %s; got %s (%v)", first, addr, err)
	}
	a.give("3")
	a.give("5")
	if addr, err := a.take("back", "10.9.0.7"); err != nil || addr.String() != "10.9.0.7" {
		t.Errorf("a free address that was wanted: got %s (%v)", addr, err)
	}
	if addr, err := a.take("late", "10.9.0.7"); err != nil || addr.String() == "10.9.0.7" {
		t.Errorf("an address that is taken was wanted: got %s (%v)", addr, err)
	}
}
