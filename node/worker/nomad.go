package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/cupola-paas/cupola/node/nomad"
)

const (
	nomadStop  = 20 * time.Second // until it is killed
	restartMin = time.Second      // between an end of Nomad's and its next start
	restartMax = time.Minute
)

// Nomad's configuration, as JSON of its own words (Nomad, agent configuration).
type (
	agentConfig struct {
		Name          string            `json:"name"`
		Region        string            `json:"region"`
		Datacenter    string            `json:"datacenter"`
		DataDir       string            `json:"data_dir"`
		BindAddr      string            `json:"bind_addr"`
		Ports         map[string]int    `json:"ports"`
		Advertise     map[string]string `json:"advertise"`
		NoUpdateCheck bool              `json:"disable_update_check"`
		Client        clientConfig      `json:"client"`
		ACL           map[string]bool   `json:"acl,omitempty"`
		TLS           *tlsConfig        `json:"tls,omitempty"`
		Plugin        []any             `json:"plugin"`
	}
	clientConfig struct {
		Enabled          bool              `json:"enabled"`
		Servers          []string          `json:"servers"`
		NodePool         string            `json:"node_pool,omitempty"`
		NetworkInterface string            `json:"network_interface"`
		Options          map[string]string `json:"options"`
		Meta             map[string]string `json:"meta"`
	}
	tlsConfig struct {
		HTTP         bool   `json:"http"`
		RPC          bool   `json:"rpc"`
		CAFile       string `json:"ca_file"`
		CertFile     string `json:"cert_file"`
		KeyFile      string `json:"key_file"`
		VerifyServer bool   `json:"verify_server_hostname"`
	}
)

// configOf is Nomad's configuration on this node: Docker alone, without privileges and volumes of the host, and with
// its own API on loopback.
func configOf(dir string, n *Node, pull string, dns netip.Addr) (*agentConfig, error) {
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
	// What a Docker that died has left running beside its successor elsewhere is removed soon after it is back.
	leftOver := map[string]any{"enabled": true, "period": "30s", "creation_grace": "1m"}
	docker := map[string]any{
		"allow_privileged": false, "volumes": []any{map[string]bool{"enabled": false}},
		"gc": []any{map[string]any{"dangling_containers": []any{leftOver}}},
	}
	if n.DockerHost != "" {
		docker["endpoint"] = n.DockerHost
	}
	c := &agentConfig{
		Name: n.Name, Region: n.Nomad.Region, Datacenter: n.Nomad.Datacenter, DataDir: n.dataDir(dir), BindAddr: "127.0.0.1",
		Ports: map[string]int{"http": n.NomadPort}, Advertise: map[string]string{"http": "127.0.0.1", "rpc": "127.0.0.1", "serf": "127.0.0.1"},
		NoUpdateCheck: true,
		Client: clientConfig{
			Enabled: true, Servers: n.Nomad.Servers, NodePool: n.Pool, NetworkInterface: iface, Meta: meta,
			Options: map[string]string{"driver.allowlist": "docker", "fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"},
		},
		Plugin: []any{map[string]any{"docker": []any{map[string]any{"config": []any{docker}}}}},
	}
	if n.Nomad.ACL {
		c.ACL = map[string]bool{"enabled": true}
	}
	if n.Nomad.TLS {
		c.TLS = &tlsConfig{
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

// writeNomad lays out what Nomad starts with. Its id is the node's, so that both speak of the same.
func writeNomad(dir string, n *Node, pull string, dns netip.Addr) error {
	c, err := configOf(dir, n, pull, dns)
	if err != nil {
		return err
	}
	client := filepath.Join(n.dataDir(dir), "client")
	if err := os.MkdirAll(client, 0o700); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(client, "client-id"), []byte(n.GUID)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, nomadConfig), append(text, '\n'))
}

// superviseNomad runs Nomad's client until ctx ends, and starts it again when it ends by itself. Instances go on
// meanwhile.
func superviseNomad(ctx context.Context, program, dir string, out io.Writer, log *slog.Logger) error {
	for pause := restartMin; ; pause = min(2*pause, restartMax) {
		began := time.Now()
		err := runNomad(ctx, program, dir, out)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > 2*restartMax {
			pause = restartMin
		}
		log.Warn("Nomad has ended; it is started again", "after", pause, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// runNomad runs it once. Should this process be killed, the kernel ends Nomad too, so that there are never two: the
// signal comes when the thread ends that started it, so the thread is kept.
func runNomad(ctx context.Context, program, dir string, out io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, program, "agent", "-config", filepath.Join(dir, nomadConfig))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = nomadStop
	err := cmd.Run()
	if ctx.Err() != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}
