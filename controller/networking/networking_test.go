package networking

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

func TestRules(t *testing.T) {
	raw := `[{"protocol":"tcp","destination":"10.0.0.0/30, 192.0.2.1-192.0.2.9,198.51.100.7","ports":"80,443,1000-2000","log":true},
		{"protocol":"icmp","destination":"0.0.0.0/0","type":8,"code":-1},{"protocol":"all","destination":"2001:db8::/126"}]`
	got, err := Rules([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr
	want := []node.Rule{
		{Protocol: "tcp", Log: true, ICMPType: -1, ICMPCode: -1,
			Destinations: []node.AddressRange{{From: at("10.0.0.0"), To: at("10.0.0.3")}, {From: at("192.0.2.1"), To: at("192.0.2.9")}, {From: at("198.51.100.7"), To: at("198.51.100.7")}},
			Ports:        []node.PortRange{{From: 80, To: 80}, {From: 443, To: 443}, {From: 1000, To: 2000}}},
		{Protocol: "icmp", ICMPType: 8, ICMPCode: -1, Destinations: []node.AddressRange{{From: at("0.0.0.0"), To: at("255.255.255.255")}}},
		{Protocol: "all", ICMPType: -1, ICMPCode: -1, Destinations: []node.AddressRange{{From: at("2001:db8::"), To: at("2001:db8::3")}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rules = %+v, want %+v", got, want)
	}
	for _, bad := range []string{`{`, `[{"protocol":"all","destination":"here"}]`, `[{"protocol":"all","destination":"10.0.0.1-x"}]`, `[{"protocol":"tcp","destination":"10.0.0.1","ports":"x"}]`, `[{"protocol":"tcp","destination":"10.0.0.1","ports":"1-x"}]`} {
		if got, err := Rules([]byte(bad)); err == nil {
			t.Errorf("rules %s = %+v, want an error", bad, got)
		}
	}
}

// told keeps what the engine was told last.
type told struct{ networks chan node.Network }

func (e told) SetNetwork(_ context.Context, n node.Network) error { e.networks <- n; return nil }

func TestLoop(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	put := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := db.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	rules := []byte(`[{"protocol":"all","destination":"192.0.2.1"}]`)
	one, two := &store.Space{Name: "one", OrgGUID: "o"}, &store.Space{Name: "two", OrgGUID: "o"}
	always := &store.SecurityGroup{Name: "always", Rules: rules, Running: true}
	builds := &store.SecurityGroup{Name: "builds", Rules: rules, Staging: true}
	bound := &store.SecurityGroup{Name: "bound", Rules: rules}
	broken := &store.SecurityGroup{Name: "broken", Rules: []byte(`{`), Running: true, Staging: true}
	put(func(tx *store.Tx) error {
		err := errors.Join(store.Spaces.Put(tx, one), store.Spaces.Put(tx, two))
		bound.RunningSpaces, bound.StagingSpaces = []string{one.GUID}, []string{two.GUID}
		for _, g := range []*store.SecurityGroup{always, builds, bound, broken} {
			err = errors.Join(err, store.SecurityGroups.Put(tx, g))
		}
		return errors.Join(err, store.NetworkPolicies.Put(tx, &store.NetworkPolicy{SourceAppGUID: "a", DestinationAppGUID: "b", Protocol: "udp", FirstPort: 1, LastPort: 9}))
	})
	e := told{make(chan node.Network)}
	l := &Loop{DB: db, Engine: e, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	n := <-e.networks
	sorted := func(groups ...*store.SecurityGroup) []string {
		var all []string
		for _, g := range groups {
			all = append(all, g.GUID)
		}
		slices.Sort(all)
		return all
	}
	for key, want := range map[string][]string{
		"running/" + one.GUID: sorted(always, bound), "running/" + two.GUID: sorted(always),
		"staging/" + one.GUID: sorted(builds), "staging/" + two.GUID: sorted(builds, bound),
	} {
		if got := n.Egress[key]; !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", key, got, want)
		}
	}
	if len(n.Groups) != 3 || len(n.Groups[bound.GUID]) != 1 {
		t.Errorf("groups = %+v", n.Groups)
	}
	if want := (node.Policy{From: "a", To: "b", Protocol: "udp", Ports: node.PortRange{From: 1, To: 9}}); len(n.Policies) != 1 || n.Policies[0] != want {
		t.Errorf("policies = %+v", n.Policies)
	}
	put(func(tx *store.Tx) error { bound.RunningSpaces = nil; return store.SecurityGroups.Put(tx, bound) })
	if n = <-e.networks; !slices.Equal(n.Egress["running/"+one.GUID], sorted(always)) {
		t.Errorf("after the change %s has %q", one.GUID, n.Egress["running/"+one.GUID])
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
