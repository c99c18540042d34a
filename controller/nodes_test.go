package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// TestMachineStates: what is wrong with a machine has a state, and a sentence that says what to do. Drained is asked for, so it needs none.
func TestMachineStates(t *testing.T) {
	up := node.Machine{Up: true, Eligible: true, Agent: true}
	with := func(change func(*node.Machine)) node.Machine {
		m := up
		change(&m)
		return m
	}
	noAnswer := fmt.Errorf("%w: connection refused", node.ErrUnavailable)
	for _, c := range []struct {
		name    string
		machine node.Machine
		state   string
		problem string // a part of it; empty: there is none
	}{
		{"ready", up, capi.NodeReady, ""},
		{"clock nearly right", with(func(m *node.Machine) { m.Skew = 29 * time.Second }), capi.NodeReady, ""},
		{"clock ahead", with(func(m *node.Machine) { m.Skew = 3*time.Minute + 400*time.Millisecond }), capi.NodeSkewed, "its clock is 3m0s ahead of the server's"},
		{"clock behind", with(func(m *node.Machine) { m.Skew = -2 * time.Hour }), capi.NodeSkewed, "its clock is 2h0m0s behind the server's"},
		{"clock off by days", with(func(m *node.Machine) { m.Away = fmt.Errorf("%w: %w", noAnswer, node.ErrClock) }), capi.NodeSkewed, "timedatectl set-ntp true"},
		{"clock off by days, and Nomad has lost it", with(func(m *node.Machine) { m.Up, m.Away = false, node.ErrClock }), capi.NodeDown, "timedatectl set-ntp true"},
		{"down", with(func(m *node.Machine) { m.Up, m.Away = false, noAnswer }), capi.NodeDown, "Nomad does not hear it"},
		{"no answer", with(func(m *node.Machine) { m.Away = noAnswer }), capi.NodeAway, "cupola-node runs there"},
		{"not ours", with(func(m *node.Machine) { m.Agent = false }), capi.NodeForeign, "cupola node join"},
		{"disk full", with(func(m *node.Machine) { m.DiskFull = true }), capi.NodeFull, "make room"},
		{"draining", with(func(m *node.Machine) { m.Eligible, m.Workloads = false, 1 }), capi.NodeDraining, ""},
		{"drained", with(func(m *node.Machine) { m.Eligible = false }), capi.NodeDrained, ""},
	} {
		if got := machineState(c.machine); got != c.state {
			t.Errorf("%s: state %q, want %q", c.name, got, c.state)
		}
		if got := machineProblem(c.machine); (got == "") != (c.problem == "") || !strings.Contains(got, c.problem) {
			t.Errorf("%s: problem %q, want it to say %q", c.name, got, c.problem)
		}
	}
}

// strange is an engine whose cluster has no machine.
type strange struct{ node.Reserver }

func (strange) SetEligible(context.Context, string, bool) error { return node.ErrNotFound }

func (strange) SetLabels(context.Context, string, map[string]*string) error { return node.ErrNotFound }

// TestNotInTheCluster: of a machine that is listed and is no node of the cluster, it is said what it is.
func TestNotInTheCluster(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *store.Tx) error {
		late := &store.Node{Meta: store.Meta{GUID: "n1"}, Name: "late"}
		edge := &store.Node{Meta: store.Meta{GUID: "n2"}, Name: "edge", RouterOnly: true}
		return errors.Join(store.Nodes.Put(tx, late), store.Nodes.Put(tx, edge))
	})
	if err != nil {
		t.Fatal(err)
	}
	m := machines{engine: strange{}, db: db}
	for guid, want := range map[string]string{"n1": "late has joined and has not come yet", "n2": "edge only routes", "n3": "Node not found"} {
		for what, err := range map[string]error{"drain": m.Drain(t.Context(), guid, true), "label": m.Label(t.Context(), guid, nil)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v, want %q", what, guid, err, want)
			}
		}
	}
}
