package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// bridge is a network of ours: its name in Docker, the interface on the host, which rules match, and its
// addresses.
type bridge struct {
	name, iface string
	addresses   *addresses
}

type networks struct{ apps, staging bridge }

// labelAddresses is on networks whose addresses we give out.
const labelAddresses = "cupola.addresses"

// StagingNetwork is the Docker network that builds run in.
func (d *Docker) StagingNetwork() string { return d.nets.staging.name }

// AppsNetwork is the Docker network of the instances.
func (d *Docker) AppsNetwork() string { return d.nets.apps.name }

// short is the installation in eight characters, for names that the kernel keeps short.
func short(installation string) string {
	sum := sha256.Sum256([]byte(installation))
	return hex.EncodeToString(sum[:4])
}

// Gateway is this machine's address on the bridge of the apps: a name server for them listens there.
func (d *Docker) Gateway() netip.Addr { return d.nets.apps.addresses.gateway }

// AppsSubnet is where the instances' addresses are.
func (d *Docker) AppsSubnet() netip.Prefix { return d.nets.apps.addresses.subnet.Masked() }

// Subnets are where all addresses of containers are, those of builds included.
func (d *Docker) Subnets() []netip.Prefix {
	return []netip.Prefix{d.AppsSubnet(), d.nets.staging.addresses.subnet.Masked()}
}

func (d *Docker) ensureNetworks(ctx context.Context) error {
	id := short(d.o.Installation)
	d.nets = networks{
		apps:    bridge{name: "cupola-" + d.o.Installation + "-apps", iface: "cup" + id + "a"},
		staging: bridge{name: "cupola-" + d.o.Installation + "-staging", iface: "cup" + id + "s"},
	}
	if err := d.ensureNetwork(ctx, &d.nets.apps, d.o.AppsSubnet); err != nil {
		return err
	}
	if err := d.ensureNetwork(ctx, &d.nets.staging, d.o.StagingSubnet); err != nil {
		return err
	}
	d.checkBridgeFilter()
	return nil
}

// ensureNetwork makes a network whose addresses are ours to give out. Docker allows that only in a subnet
// that it was told, so where none was configured, a first network shows which one Docker finds free.
// What runs on a network that an older version made moves to the new one without a restart.
func (d *Docker) ensureNetwork(ctx context.Context, b *bridge, subnet string) error {
	var residents []string // of a network of an older version, which has no addresses to give out
	have, err := d.api.NetworkInspect(ctx, b.name, network.InspectOptions{})
	switch {
	case err == nil && have.Labels[LabelInstallation] != d.o.Installation:
		return fmt.Errorf("docker: network %s exists and is not ours; remove it with docker network rm %s", b.name, b.name)
	case err == nil && have.Labels[labelAddresses] != "" && (len(have.Containers) > 0 || !otherSubnet(have, subnet)):
		return b.learn(have)
	case err == nil:
		residents = slices.Collect(maps.Keys(have.Containers))
		err = d.removeNetwork(ctx, have.ID)
	case notFound(err):
		err = nil
	}
	if err == nil && subnet != "" {
		err = d.createNetwork(ctx, b, subnet)
	} else if err == nil {
		err = d.createAnywhere(ctx, b)
	}
	for _, c := range residents {
		if err == nil {
			err = d.api.NetworkConnect(ctx, b.name, c, nil)
		}
	}
	if err != nil {
		return failed("network "+b.name, err)
	}
	have, err = d.api.NetworkInspect(ctx, b.name, network.InspectOptions{})
	if err != nil {
		return failed("network "+b.name, err)
	}
	return b.learn(have)
}

// otherSubnet reports whether a network has other addresses than it shall have.
func otherSubnet(n network.Inspect, wanted string) bool {
	return wanted != "" && !slices.ContainsFunc(n.IPAM.Config, func(c network.IPAMConfig) bool { return c.Subnet == wanted })
}

func (b *bridge) learn(n network.Inspect) error {
	for _, c := range n.IPAM.Config {
		subnet, err := netip.ParsePrefix(c.Subnet)
		if err != nil || !subnet.Addr().Is4() {
			continue
		}
		gateway, err := netip.ParseAddr(c.Gateway)
		if err != nil {
			gateway = subnet.Masked().Addr().Next()
		}
		b.addresses = newAddresses(subnet, gateway)
		return nil
	}
	return fmt.Errorf("docker: network %s has no subnet", b.name)
}

// createAnywhere tries again when somebody else was quicker to take the subnet that was free.
func (d *Docker) createAnywhere(ctx context.Context, b *bridge) error {
	for attempt := 1; ; attempt++ {
		subnet, err := d.freeSubnet(ctx, b)
		if err == nil {
			err = d.createNetwork(ctx, b, subnet)
		}
		if err == nil || attempt == subnetAttempts || !strings.Contains(err.Error(), "overlap") {
			return err
		}
	}
}

// subnetAttempts is how often another network may be quicker.
const subnetAttempts = 10

// freeSubnet is what Docker chooses for a network of which nothing is said.
func (d *Docker) freeSubnet(ctx context.Context, b *bridge) (string, error) {
	made, err := d.api.NetworkCreate(ctx, b.name, d.networkOptions(b))
	if err != nil {
		return "", err
	}
	n, err := d.api.NetworkInspect(ctx, made.ID, network.InspectOptions{})
	if errRemove := d.api.NetworkRemove(ctx, made.ID); err == nil {
		err = errRemove
	}
	if err != nil {
		return "", err
	}
	if len(n.IPAM.Config) == 0 {
		return "", fmt.Errorf("docker: network %s was given no subnet", b.name)
	}
	return n.IPAM.Config[0].Subnet, nil
}

func (d *Docker) createNetwork(ctx context.Context, b *bridge, subnet string) error {
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil || !prefix.Addr().Is4() || prefix.Bits() > 28 {
		return fmt.Errorf("subnet %q: name an IPv4 network of 16 addresses or more, such as 10.99.0.0/16", subnet)
	}
	o := d.networkOptions(b)
	o.Labels[labelAddresses] = "given"
	o.IPAM = &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{
		Subnet: prefix.Masked().String(), IPRange: dockersShare(prefix).String(), Gateway: prefix.Masked().Addr().Next().String(),
	}}}
	_, err = d.api.NetworkCreate(ctx, b.name, o)
	if conflict(err) {
		return nil
	}
	return err
}

func (d *Docker) networkOptions(b *bridge) network.CreateOptions {
	off := false
	return network.CreateOptions{
		Driver:     "bridge",
		EnableIPv6: &off,
		Labels:     map[string]string{LabelInstallation: d.o.Installation},
		Options: map[string]string{
			"com.docker.network.bridge.name":       b.iface,
			"com.docker.network.bridge.enable_icc": "false",
		},
	}
}

// endpoint connects a container to the bridge at that address.
func (b *bridge) endpoint(address netip.Addr) *network.NetworkingConfig {
	e := &network.EndpointSettings{}
	if address.IsValid() {
		e.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: address.String()}
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{b.name: e}}
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
	err = d.api.NetworkRemove(ctx, id)
	if err == nil || notFound(err) {
		return nil
	}
	if refused(err) && len(n.Containers) == 0 {
		// Docker miscounts when many containers come and go at once, and counts anew when it starts.
		return fmt.Errorf("Docker counts containers in network %s that are gone: restart Docker, then purge again: %w", n.Name, err)
	}
	return failed("remove network "+n.Name, err)
}

// filter matches what carries this installation's label.
func (d *Docker) filter() filters.Args {
	return filters.NewArgs(filters.Arg("label", LabelInstallation+"="+d.o.Installation))
}
