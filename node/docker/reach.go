package docker

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/cupola-paas/cupola/node"
)

// SetNetwork implements node.Engine. Where rules cannot be set, which Warnings says, it changes nothing.
func (d *Docker) SetNetwork(_ context.Context, n node.Network) error {
	if err := d.fw.setNetwork(n); err != nil && d.fw.err == nil {
		return fmt.Errorf("set the rules of the network: %w", err)
	}
	return nil
}

// PlaceBuild gives a container on the staging network its address, and lets it reach what egress says (see
// node.Network). The caller calls release when the container is gone.
func (d *Docker) PlaceBuild(id, egress string) (address string, release func(), err error) {
	id = "build/" + id // no workload has such an id
	var a netip.Addr
	if a, err = d.nets.staging.addresses.take(id, ""); err != nil {
		return "", nil, fmt.Errorf("build %s: %w", id, err)
	}
	release = func() {
		d.fw.leave(id)
		d.nets.staging.addresses.give(id)
	}
	if err := d.fw.join(id, member{address: a, egress: egress}); err != nil && d.fw.err == nil {
		release()
		return "", nil, fmt.Errorf("build %s: rules of what it may reach: %w", id, err)
	}
	return a.String(), release, nil
}
