// Package networking is the loop that tells the engine what containers may reach: the security groups of
// each space, while it runs and while it stages, and the network policies between apps. It writes nothing to
// the store and calls no other loop; the controller runs it.
package networking

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

const (
	pause  = 50 * time.Millisecond // between two passes, so that a burst is one
	retry  = 2 * time.Second
	resync = time.Minute
)

// Running is the key of what instances and tasks in a space may reach (node.Workload.Egress).
func Running(spaceGUID string) string { return "running/" + spaceGUID }

// Staging is the key of what builds in a space may reach.
func Staging(spaceGUID string) string { return "staging/" + spaceGUID }

// Engine takes a whole new network; a node.Engine is one.
type Engine interface {
	SetNetwork(ctx context.Context, n node.Network) error
}

// Loop keeps the engine's network equal to the store. Its fields are set before Run and not changed.
type Loop struct {
	DB     *store.DB
	Engine Engine
	Log    *slog.Logger
}

// Run steps until ctx ends. What was said last goes on to hold.
func (l *Loop) Run(ctx context.Context) error {
	changed := l.DB.Watch(ctx, store.SecurityGroups.Name(), store.Spaces.Name(), store.NetworkPolicies.Name(), store.DataServices.Name(), store.DataBindings.Name())
	for {
		wait := resync
		if err := l.Step(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error("what containers may reach is not renewed", "error", err)
			wait = retry
		}
		if !store.Sleep(ctx, pause, nil) || !store.Sleep(ctx, wait, changed) {
			return nil
		}
	}
}

// Step reads one moment of the store and hands it over.
func (l *Loop) Step(ctx context.Context) error {
	var n node.Network
	err := l.DB.View(func(tx *store.Tx) error {
		n = Network(tx, func(group string, err error) {
			l.Log.Error("rules of a security group left out", "security_group", group, "error", err)
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read security groups: %w", err)
	}
	return l.Engine.SetNetwork(ctx, n)
}

// Network is what the store says containers may reach. A group whose rules cannot be read allows nothing and
// is told to bad.
func Network(tx *store.Tx, bad func(group string, err error)) node.Network {
	n := node.Network{Groups: map[string][]node.Rule{}, Egress: map[string][]string{}}
	var always, alwaysStaging []string
	running, staging := map[string][]string{}, map[string][]string{}
	for g := range store.SecurityGroups.All(tx) {
		rules, err := Rules(g.Rules)
		if err != nil {
			bad(g.Name, err)
			continue
		}
		n.Groups[g.GUID] = rules
		if g.Running {
			always = append(always, g.GUID)
		}
		if g.Staging {
			alwaysStaging = append(alwaysStaging, g.GUID)
		}
		collect(running, g.GUID, g.RunningSpaces)
		collect(staging, g.GUID, g.StagingSpaces)
	}
	for s := range store.Spaces.All(tx) {
		n.Egress[Running(s.GUID)] = union(always, running[s.GUID])
		n.Egress[Staging(s.GUID)] = union(alwaysStaging, staging[s.GUID])
	}
	for p := range store.NetworkPolicies.All(tx) {
		n.Policies = append(n.Policies, node.Policy{
			From: p.SourceAppGUID, To: p.DestinationAppGUID, Protocol: p.Protocol,
			Ports: node.PortRange{From: p.FirstPort, To: p.LastPort},
		})
	}
	n.Policies = append(n.Policies, dataPolicies(tx)...)
	return n
}

// dataPolicies let the apps that are bound to a data service connect to it, and nobody else.
func dataPolicies(tx *store.Tx) []node.Policy {
	var all []node.Policy
	for b := range store.DataBindings.All(tx) {
		s, err := store.DataServices.Get(tx, b.ServiceGUID)
		if err != nil || b.AppGUID == "" {
			continue
		}
		for _, port := range s.Ports {
			all = append(all, node.Policy{From: b.AppGUID, To: s.GUID, Protocol: "tcp", Ports: node.PortRange{From: port, To: port}})
		}
	}
	return all
}

func collect(into map[string][]string, group string, spaces []string) {
	for _, space := range spaces {
		into[space] = append(into[space], group)
	}
}

// union of groups, sorted, so that spaces with the same groups have the same list.
func union(a, b []string) []string {
	if len(b) == 0 {
		return a // shared by most spaces
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Rules reads the rules of a security group as the API stores them (CAPI v3, "The rule object").
func Rules(raw []byte) ([]node.Rule, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var in []capi.SecurityGroupRule
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	out := make([]node.Rule, 0, len(in))
	for i, r := range in {
		rule, err := rule(r)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i, err)
		}
		out = append(out, rule)
	}
	return out, nil
}

func rule(in capi.SecurityGroupRule) (node.Rule, error) {
	r := node.Rule{Protocol: in.Protocol, ICMPType: -1, ICMPCode: -1, Log: in.Log != nil && *in.Log}
	if in.Type != nil {
		r.ICMPType = int(*in.Type)
	}
	if in.Code != nil {
		r.ICMPCode = int(*in.Code)
	}
	for text := range strings.SplitSeq(in.Destination, ",") {
		d, err := destination(strings.TrimSpace(text))
		if err != nil {
			return r, err
		}
		r.Destinations = append(r.Destinations, d)
	}
	if in.Ports == "" {
		return r, nil
	}
	for text := range strings.SplitSeq(in.Ports, ",") {
		p, err := portRange(text)
		if err != nil {
			return r, err
		}
		r.Ports = append(r.Ports, p)
	}
	return r, nil
}

// destination is a network, a range or one address.
func destination(text string) (node.AddressRange, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return node.AddressRange{From: p.Masked().Addr(), To: lastOf(p)}, nil
	}
	first, second, isRange := strings.Cut(text, "-")
	from, err := netip.ParseAddr(first)
	if err != nil || !isRange {
		return node.AddressRange{From: from, To: from}, err
	}
	to, err := netip.ParseAddr(second)
	return node.AddressRange{From: from, To: to}, err
}

// lastOf is the highest address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func portRange(text string) (node.PortRange, error) {
	first, second, isRange := strings.Cut(text, "-")
	from, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || !isRange {
		return node.PortRange{From: from, To: from}, err
	}
	to, err := strconv.Atoi(strings.TrimSpace(second))
	return node.PortRange{From: from, To: to}, err
}
