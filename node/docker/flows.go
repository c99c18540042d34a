package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/node"
)

var _ node.FlowCounter = (*Docker)(nil)

// peers are two that a policy connects.
type peers struct{ from, to string }

// flows adds up the counters of the rules that let neighbours connect. Answers and all further packets pass before those
// rules, so each counts what begins a connection. The kernel counts from zero whenever the rules are written anew: what a
// rule has counted is taken over just before; what comes in the instant between is not counted.
type flows struct {
	rules map[string]peers  // by the rule, as the kernel's tool shows it
	seen  map[string]uint64 // packets of a rule at the last look
	total map[peers]uint64
}

// Flows implements node.FlowCounter. Where rules cannot be set, nothing is counted.
func (d *Docker) Flows(context.Context) ([]node.Flow, error) {
	f := d.fw
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.countLocked(); err != nil {
		return nil, fmt.Errorf("count connections between apps: %w", err)
	}
	sums := maps.Clone(f.flows.total)
	if sums == nil {
		sums = map[peers]uint64{}
	}
	for p, n := range f.far.counts {
		sums[p] += n
	}
	all := make([]node.Flow, 0, len(sums))
	for p, n := range sums {
		all = append(all, node.Flow{From: p.from, To: p.to, Connections: n})
	}
	slices.SortFunc(all, func(a, b node.Flow) int { return strings.Compare(a.From+" "+a.To, b.From+" "+b.To) })
	return all, nil
}

// countLocked takes over what the rules have counted since the last look. Without policies it asks nobody.
func (f *firewall) countLocked() error {
	if f.err != nil {
		return f.err
	}
	if len(f.flows.rules) == 0 {
		return nil
	}
	text, err := f.save("-c")
	if err != nil {
		return err
	}
	f.flows.add(text)
	return nil
}

// rewritten says that the rules were written anew, for that network and those members.
func (f *flows) rewritten(p *plan, n *node.Network, members []member) {
	f.rules, f.seen = p.neighbourRules(n, members), map[string]uint64{}
	totals := map[peers]uint64{}
	for _, pair := range f.rules {
		totals[pair] = f.total[pair]
	}
	f.total = totals
}

// neighbourRules are the rules that policies make, by their text after "-A ", each with whom it lets through.
func (p *plan) neighbourRules(n *node.Network, members []member) map[string]peers {
	rules := map[string]peers{}
	if n == nil {
		return rules
	}
	byPeer := addressesByPeer(members)
	for _, policy := range n.Policies {
		if !connects(policy, byPeer) {
			continue
		}
		chain := p.neighbourOf(policy.To)
		for _, from := range byPeer[policy.From] {
			rules[chain+" "+neighbourRule(from, policy)] = peers{policy.From, policy.To}
		}
	}
	return rules
}

// add reads what iptables-save says with counters: "[packets:bytes] -A CHAIN rule".
func (f *flows) add(text string) {
	now := map[string]uint64{}
	for line := range strings.Lines(text) {
		counter, rule, ok := strings.Cut(strings.TrimSpace(line), "] -A ")
		if !ok {
			continue
		}
		if _, ours := f.rules[rule]; !ours {
			continue
		}
		packets, _, _ := strings.Cut(strings.TrimPrefix(counter, "["), ":")
		if n, err := strconv.ParseUint(packets, 10, 64); err == nil {
			now[rule] += n // the same rule may be there twice; only the first of them counts
		}
	}
	for rule, n := range now {
		before := f.seen[rule]
		if n < before {
			before = 0 // somebody set the counters to zero
		}
		f.total[f.rules[rule]] += n - before
	}
	f.seen = now
}

// connects reports whether a policy makes rules for what runs here.
func connects(policy node.Policy, byPeer map[string][]netip.Addr) bool {
	return (policy.Protocol == "tcp" || policy.Protocol == "udp") && len(byPeer[policy.To]) > 0 && len(byPeer[policy.From]) > 0
}

func addressesByPeer(members []member) map[string][]netip.Addr {
	byPeer := map[string][]netip.Addr{}
	for _, m := range members {
		if m.address.IsValid() && m.peer != "" {
			byPeer[m.peer] = append(byPeer[m.peer], m.address)
		}
	}
	return byPeer
}

// neighbourOf is the chain of the rules that lead to a peer.
func (p *plan) neighbourOf(peer string) string { return p.prefix + "T" + digest(peer) }

// neighbourRule lets one address through.
func neighbourRule(from netip.Addr, policy node.Policy) string {
	return fmt.Sprintf("-s %s/32 -p %s -m %s --dport %s -j ACCEPT", from, policy.Protocol, policy.Protocol, ports(policy.Ports))
}
