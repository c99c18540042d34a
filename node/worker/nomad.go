package worker

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/node/nomad/program"
)

// keptMB is the memory of what stays on this machine, which Nomad does not run and shall leave room for.
func keptMB(all []node.Status) int {
	sum := 0
	for _, s := range all {
		if s.Own {
			sum += s.MemoryMB
		}
	}
	return sum
}

// configOf is Nomad's configuration on this node: Docker alone, without privileges and volumes of the host, and with
// its own API on loopback. kept is the memory in MB that others than Nomad give away here.
func configOf(dir string, n *Node, pull string, dns netip.Addr, kept int) (*program.Config, error) {
	iface, err := interfaceOf(n.Address)
	if err != nil {
		return nil, err
	}
	meta := maps.Clone(n.Labels)
	if meta == nil {
		meta = map[string]string{}
	}
	own := nomad.NodeMeta{Installation: n.Installation, Agent: n.agentAddress(), Registry: n.pullAddress(), Pull: pull, DNS: []netip.Addr{dns}}
	maps.Copy(meta, own.Map())
	c := &program.Config{
		Name: n.Name, Region: n.Nomad.Region, Datacenter: n.Nomad.Datacenter, DataDir: n.dataDir(dir), BindAddr: "127.0.0.1",
		Ports: map[string]int{"http": n.NomadPort}, Advertise: map[string]string{"http": "127.0.0.1", "rpc": "127.0.0.1", "serf": "127.0.0.1"},
		NoUpdateCheck: true, Plugin: program.DockerPlugin(n.DockerHost),
		Client: program.Client{
			Enabled: true, Servers: n.Nomad.Servers, NodePool: n.Pool, NetworkInterface: iface, Meta: meta, Options: program.ClientOptions(),
		},
	}
	if kept > 0 {
		c.Client.Reserved = &program.Reserved{MemoryMB: kept}
	}
	if n.Nomad.ACL {
		c.ACL = map[string]bool{"enabled": true}
	}
	if n.Nomad.TLS {
		c.TLS = &program.TLS{
			RPC: true, CAFile: filepath.Join(dir, nomadCAFile), CertFile: filepath.Join(dir, nomadCertFile), KeyFile: filepath.Join(dir, nomadKeyFile), VerifyServer: true,
		}
	}
	return c, nil
}

// dataDir is of this node's name alone: a machine that joins anew is another node, with nothing of before.
func (n *Node) dataDir(dir string) string { return filepath.Join(dir, nomadData, n.GUID) }

// interfaceOf is the interface that has an address.
func interfaceOf(address string) (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.String() == address {
				return i.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no interface of this machine has the address %s: join with --address", address)
}

// Networks are those that this machine has addresses in.
func Networks() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var networks []string
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			networks = append(networks, p.Masked().String())
		}
	}
	return networks, nil
}

// writeNomad lays out what Nomad starts with. Its id is the node's, so that both speak of the same.
func writeNomad(dir string, n *Node, pull string, dns netip.Addr, kept int) error {
	c, err := configOf(dir, n, pull, dns, kept)
	if err != nil {
		return err
	}
	client := filepath.Join(n.dataDir(dir), "client")
	if err := os.MkdirAll(client, 0o700); err != nil {
		return err
	}
	if err := program.WriteFile(filepath.Join(client, "client-id"), []byte(n.GUID)); err != nil {
		return err
	}
	return c.Write(filepath.Join(dir, nomadConfig))
}
