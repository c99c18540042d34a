package docker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/node"
)

// linkLocal has the metadata services of the clouds in it.
var linkLocal = node.AddressRange{From: netip.MustParseAddr("169.254.0.0"), To: netip.MustParseAddr("169.254.255.255")}

const (
	maxRules = 20000 // of one chain; what a group has beyond that is refused
	bucket   = 26    // bits of the networks that a long list of addresses is split by
	logRate  = "10/sec"
)

// member is a container that rules are made for.
type member struct {
	address      netip.Addr
	egress, peer string
}

// verdicts are the targets that a chain's rules end in. Through this machine an allowed packet returns to the
// hook, so that Docker's own isolation of networks still counts.
type verdicts struct{ allow, refuse string }

// chains are chains of ours by their full names; each is a list of rules as iptables-restore reads them.
type chains map[string][]string

func (c chains) add(chain, format string, args ...any) {
	c[chain] = append(c[chain], strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// text is the whole as iptables-restore takes it: it replaces those chains at one stroke and removes those
// that are gone, without touching any other.
func (c chains) text(gone []string) string {
	var b strings.Builder
	b.WriteString("*filter\n")
	names := slices.Sorted(maps.Keys(c))
	for _, name := range slices.Concat(names, gone) {
		fmt.Fprintf(&b, ":%s - [0:0]\n", name)
	}
	for _, name := range names {
		for _, rule := range c[name] {
			fmt.Fprintf(&b, "-A %s %s\n", name, rule)
		}
	}
	for _, name := range gone {
		fmt.Fprintf(&b, "-X %s\n", name)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// plan makes rules. Its fields are set before use and not changed.
type plan struct {
	prefix        string // of our chains
	apps, staging string // interfaces
	gateway       netip.Addr
	hostPorts     []int
	farPort       int      // at the gateway, for what goes to other machines; zero: none
	nameservers   []string // link-local ones
	refuse        string   // target
	log           bool     // the kernel can log
}

func (p *plan) input() string     { return p.prefix + "IN" }
func (p *plan) forward() string   { return p.prefix + "FW" }
func (p *plan) egress() string    { return p.prefix + "EG" } // out through this machine
func (p *plan) host() string      { return p.prefix + "EH" } // to this machine
func (p *plan) neighbour() string { return p.prefix + "PO" } // from app to app

// base are the two chains that the hooks jump to. Answers are let through first, so that rules are looked at
// once for each connection.
func (p *plan) base(c chains) {
	in, fw := p.input(), p.forward()
	c[in], c[fw] = nil, nil
	for _, b := range []string{p.apps, p.staging} {
		c.add(in, "-i %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", b)
	}
	for _, proto := range []string{"udp", "tcp"} {
		c.add(in, "-d %s/32 -i %s -p %s -m %s --dport 53 -j ACCEPT", p.gateway, p.apps, proto, proto)
	}
	for _, port := range p.hostPorts { // the router, which is everybody's
		c.add(in, "-d %s/32 -i %s -p tcp -m tcp --dport %d -j ACCEPT", p.gateway, p.apps, port)
	}
	c.add(fw, "-i %s -o %s -g %s", p.apps, p.apps, p.neighbour())
	if p.farPort != 0 { // what was turned aside alone
		c.add(in, "-d %s/32 -i %s -p tcp -m tcp --dport %d -m conntrack --ctstate DNAT -j ACCEPT", p.gateway, p.apps, p.farPort)
	}
	for _, way := range [][2]string{{p.apps, p.staging}, {p.staging, p.apps}, {p.staging, p.staging}} {
		c.add(fw, "-i %s -o %s %s", way[0], way[1], p.refuse)
	}
	for _, b := range []string{p.apps, p.staging} {
		c.add(fw, "-i %s -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", b)
		for _, ns := range p.nameservers {
			for _, proto := range []string{"udp", "tcp"} {
				c.add(fw, "-d %s/32 -i %s -p %s -m %s --dport 53 -j RETURN", ns, b, proto, proto)
			}
		}
		c.add(fw, "-i %s -g %s", b, p.egress())
		c.add(in, "-i %s -g %s", b, p.host())
	}
}

// closed are the chains for members while nothing is known of what they may reach.
func (p *plan) closed(c chains) {
	for _, name := range []string{p.egress(), p.host(), p.neighbour()} {
		c[name] = nil
		c.add(name, "%s", p.refuse)
	}
}

// open are the chains for members: one for each list of groups that is in use, and one for each peer that a
// policy leads to. Their number follows what runs here, not what exists.
func (p *plan) open(c chains, n *node.Network, members []member) {
	egress, host, neighbours := map[netip.Addr]string{}, map[netip.Addr]string{}, map[netip.Addr]string{}
	byPeer := addressesByPeer(members)
	for _, m := range members {
		if !m.address.IsValid() {
			continue
		}
		if groups, ok := n.Egress[m.egress]; ok {
			id := digest(groups...)
			out, to := p.prefix+"S"+id, p.prefix+"H"+id
			if _, made := c[out]; !made {
				rules := rulesOf(n, groups)
				p.chain(c, out, rules, verdicts{"-j RETURN", p.refuse}, p.forwardRule)
				p.chain(c, to, rules, verdicts{"-j ACCEPT", p.refuse}, p.hostRule)
			}
			egress[m.address], host[m.address] = out, to
		}
	}
	for _, policy := range n.Policies {
		p.policy(c, policy, byPeer, neighbours)
	}
	for chain := range chainSet(neighbours) {
		c.add(chain, "%s", p.refuse)
	}
	c[p.neighbour()] = []string{"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"}
	p.dispatch(c, p.egress(), "-s", egress)
	p.dispatch(c, p.host(), "-s", host)
	p.dispatch(c, p.neighbour(), "-d", neighbours)
}

func chainSet(m map[netip.Addr]string) map[string]bool {
	set := map[string]bool{}
	for _, chain := range m {
		set[chain] = true
	}
	return set
}

func rulesOf(n *node.Network, groups []string) []node.Rule {
	var all []node.Rule
	for _, g := range groups {
		all = append(all, n.Groups[g]...)
	}
	return all
}

// policy adds a rule for each address that the policy leads from, to the chain of the peer it leads to.
func (p *plan) policy(c chains, policy node.Policy, byPeer map[string][]netip.Addr, neighbours map[netip.Addr]string) {
	if !connects(policy, byPeer) {
		return
	}
	chain := p.neighbourOf(policy.To)
	for _, to := range byPeer[policy.To] {
		neighbours[to] = chain
	}
	for _, from := range sortedAddresses(byPeer[policy.From]) {
		if len(c[chain]) >= maxRules {
			return
		}
		c.add(chain, "%s", neighbourRule(from, policy))
	}
}

// dispatch leads each address to its chain, and refuses the rest. A long list is split by networks, so that
// a packet meets few rules.
func (p *plan) dispatch(c chains, chain, side string, targets map[netip.Addr]string) {
	if _, there := c[chain]; !there {
		c[chain] = nil
	}
	all := sortedAddresses(slices.Collect(maps.Keys(targets)))
	if len(all) <= 1<<(32-bucket) {
		for _, a := range all {
			c.add(chain, "%s %s/32 -g %s", side, a, targets[a])
		}
		c.add(chain, "%s", p.refuse)
		return
	}
	var current netip.Prefix
	var sub string
	for _, a := range all {
		if net := netip.PrefixFrom(a, bucket).Masked(); net != current {
			current, sub = net, chain+digest(net.String())[:6]
			c.add(chain, "%s %s -g %s", side, net, sub)
		}
		c.add(sub, "%s %s/32 -g %s", side, a, targets[a])
	}
	c.add(chain, "%s", p.refuse)
	for _, rule := range c[chain] {
		if _, sub, ok := strings.Cut(rule, "-g "); ok && strings.HasPrefix(sub, chain) {
			c.add(sub, "%s", p.refuse)
		}
	}
}

func sortedAddresses(all []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(all), netip.Addr.Compare)
}

// chain writes rules, each as write says, and refuses what none allows.
func (p *plan) chain(c chains, name string, rules []node.Rule, v verdicts, write func(node.Rule, netip.Prefix, node.AddressRange) []string) {
	c[name] = nil
	for _, r := range rules {
		for _, d := range destinations(r) {
			prefix, _ := wholePrefix(d)
			for _, match := range write(r, prefix, d) {
				if len(c[name]) >= maxRules {
					break
				}
				if r.Log && p.log {
					c.add(name, "%s -m limit --limit %s -j LOG --log-prefix \"cupola allowed: \"", match, logRate)
				}
				c.add(name, "%s %s", match, v.allow)
			}
		}
	}
	c.add(name, "%s", v.refuse)
}

// destinations are the ranges that a rule really opens: none of IPv6, and without the link-local network
// unless the range lies in it.
func destinations(r node.Rule) []node.AddressRange {
	var all []node.AddressRange
	for _, d := range r.Destinations {
		if !d.From.Is4() || !d.To.Is4() || d.To.Less(d.From) {
			continue
		}
		inside := d.From.Compare(linkLocal.From) >= 0 && d.To.Compare(linkLocal.To) <= 0
		apart := d.To.Less(linkLocal.From) || linkLocal.To.Less(d.From)
		if inside || apart {
			all = append(all, d)
			continue
		}
		if d.From.Less(linkLocal.From) {
			all = append(all, node.AddressRange{From: d.From, To: linkLocal.From.Prev()})
		}
		if linkLocal.To.Less(d.To) {
			all = append(all, node.AddressRange{From: linkLocal.To.Next(), To: d.To})
		}
	}
	return all
}

// wholePrefix is the range as a network, if it is just one.
func wholePrefix(r node.AddressRange) (netip.Prefix, bool) {
	for bits := 0; bits <= 32; bits++ {
		p := netip.PrefixFrom(r.From, bits)
		if p.Masked().Addr() == r.From && last(p) == r.To {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func destination(p netip.Prefix, r node.AddressRange) string {
	switch {
	case p.IsValid() && p.Bits() == 0:
		return ""
	case p.IsValid():
		return "-d " + p.String()
	}
	return "-m iprange --dst-range " + r.From.String() + "-" + r.To.String()
}

// forwardRule is what a rule matches on the way through this machine.
func (p *plan) forwardRule(r node.Rule, prefix netip.Prefix, d node.AddressRange) []string {
	if r.Protocol == "all" {
		return []string{destination(prefix, d)}
	}
	return named(r, destination(prefix, d))
}

// hostRule is what a rule matches on the way to this machine: a rule for everything opens what apps may use.
func (p *plan) hostRule(r node.Rule, prefix netip.Prefix, d node.AddressRange) []string {
	to := destination(prefix, d)
	if r.Protocol != "all" {
		return named(r, to)
	}
	all := []string{to + " -p icmp"}
	for _, port := range p.hostPorts {
		all = append(all, fmt.Sprintf("%s -p tcp -m tcp --dport %d", to, port))
	}
	return all
}

// named are the matches of a rule that names its protocol.
func named(r node.Rule, to string) []string {
	switch r.Protocol {
	case "tcp", "udp":
		var all []string
		for _, port := range r.Ports {
			all = append(all, fmt.Sprintf("%s -p %s -m %s --dport %s", to, r.Protocol, r.Protocol, ports(port)))
		}
		return all
	case "icmp":
		kind := ""
		if r.ICMPType >= 0 {
			kind = " -m icmp --icmp-type " + strconv.Itoa(r.ICMPType)
			if r.ICMPCode >= 0 {
				kind += "/" + strconv.Itoa(r.ICMPCode)
			}
		}
		return []string{to + " -p icmp" + kind}
	}
	return nil
}

func ports(r node.PortRange) string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return strconv.Itoa(r.From) + ":" + strconv.Itoa(r.To)
}

// digest is a name's eight characters, for chains, whose names the kernel keeps short.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}

func byAddress(a, b member) int {
	return cmp.Or(a.address.Compare(b.address), strings.Compare(a.egress, b.egress), strings.Compare(a.peer, b.peer))
}
