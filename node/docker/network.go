package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// bridge is a network of ours: its name in Docker and the interface on the host, which rules match.
type bridge struct{ name, iface string }

type networks struct{ apps, staging bridge }

// StagingNetwork is the Docker network that builds run in.
func (d *Docker) StagingNetwork() string { return d.nets.staging.name }

// AppsNetwork is the Docker network of the instances.
func (d *Docker) AppsNetwork() string { return d.nets.apps.name }

// short is the installation in eight characters, for names that the kernel keeps short.
func short(installation string) string {
	sum := sha256.Sum256([]byte(installation))
	return hex.EncodeToString(sum[:4])
}

func (d *Docker) ensureNetworks(ctx context.Context) error {
	id := short(d.o.Installation)
	d.nets = networks{
		apps:    bridge{"cupola-" + d.o.Installation + "-apps", "cup" + id + "a"},
		staging: bridge{"cupola-" + d.o.Installation + "-staging", "cup" + id + "s"},
	}
	if err := d.ensureNetwork(ctx, d.nets.apps, d.o.AppsSubnet); err != nil {
		return err
	}
	if err := d.ensureNetwork(ctx, d.nets.staging, d.o.StagingSubnet); err != nil {
		return err
	}
	d.checkBridgeFilter()
	return nil
}

func (d *Docker) ensureNetwork(ctx context.Context, b bridge, subnet string) error {
	have, err := d.api.NetworkInspect(ctx, b.name, network.InspectOptions{})
	if err == nil {
		if have.Labels[LabelInstallation] != d.o.Installation {
			return fmt.Errorf("docker: network %s exists and is not ours; remove it with docker network rm %s", b.name, b.name)
		}
		return nil
	}
	if !notFound(err) {
		return failed("network "+b.name, err)
	}
	_, err = d.api.NetworkCreate(ctx, b.name, d.networkOptions(b, subnet))
	if err != nil && !conflict(err) {
		return failed("create network "+b.name, err)
	}
	return nil
}

func (d *Docker) networkOptions(b bridge, subnet string) network.CreateOptions {
	off := false
	o := network.CreateOptions{
		Driver:     "bridge",
		EnableIPv6: &off,
		Labels:     map[string]string{LabelInstallation: d.o.Installation},
		Options: map[string]string{
			"com.docker.network.bridge.name":       b.iface,
			"com.docker.network.bridge.enable_icc": "false",
		},
	}
	if subnet != "" {
		o.IPAM = &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	return o
}

// checkBridgeFilter sees whether the kernel shows bridged packets to iptables at all; if not, containers
// on one bridge talk to each other whatever the rules say.
func (d *Docker) checkBridgeFilter() {
	if !d.info.local {
		return
	}
	v, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if err != nil || strings.TrimSpace(string(v)) != "1" {
		d.warn("apps can reach one another: load the kernel module br_netfilter and set net.bridge.bridge-nf-call-iptables=1")
	}
}

func (d *Docker) removeNetworks(ctx context.Context) error {
	found, err := d.api.NetworkList(ctx, network.ListOptions{Filters: d.filter()})
	if err != nil {
		return failed("list networks", err)
	}
	for _, n := range found {
		if err := d.removeNetwork(ctx, n.ID); err != nil {
			return err
		}
	}
	return nil
}

// removeNetwork disconnects what is not ours and still uses the network, rather than removing it.
func (d *Docker) removeNetwork(ctx context.Context, id string) error {
	n, err := d.api.NetworkInspect(ctx, id, network.InspectOptions{})
	if notFound(err) {
		return nil
	}
	if err != nil {
		return failed("network "+id, err)
	}
	for c := range n.Containers {
		if err := d.api.NetworkDisconnect(ctx, id, c, true); err != nil && !notFound(err) {
			return failed("disconnect container "+c+" from network "+n.Name, err)
		}
	}
	if err := d.api.NetworkRemove(ctx, id); err != nil && !notFound(err) {
		return failed("remove network "+n.Name, err)
	}
	return nil
}

// filter matches what carries this installation's label.
func (d *Docker) filter() filters.Args {
	return filters.NewArgs(filters.Arg("label", LabelInstallation+"="+d.o.Installation))
}
