package docker

import (
	"context"
	"testing"

	"github.com/docker/docker/api/types/network"
)

// TestOlderNetwork: instances on a network that an older version made move to the new one and never stop.
func TestOlderNetwork(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	d := f.open(t, nil)
	w := f.workload(nil)
	start(t, d, w)
	before := until(t, d, w.ID, "it is ready", isReady)
	name := d.nets.apps.name

	// What an older version left: the same network without our share of its addresses.
	old, err := d.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.removeNetwork(ctx, old.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.api.NetworkCreate(ctx, name, d.networkOptions(&d.nets.apps)); err != nil {
		t.Fatal(err)
	}
	for c := range old.Containers {
		if err := d.api.NetworkConnect(ctx, name, c, nil); err != nil {
			t.Fatal(err)
		}
	}

	next := f.open(t, nil)
	after := until(t, next, w.ID, "it is ready again", isReady)
	if !after.StartedAt.Equal(before.StartedAt) || after.Crashes != 0 {
		t.Errorf("it was started at %v and crashed %d times, want %v and 0", after.StartedAt, after.Crashes, before.StartedAt)
	}
	if have, err := next.api.NetworkInspect(ctx, name, network.InspectOptions{}); err != nil || have.Labels[labelAddresses] == "" {
		t.Errorf("the network is still the old one: %v %v", have.Labels, err)
	}
}
