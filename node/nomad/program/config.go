// Package program runs a nomad program that an operator installed: it writes what the program is configured with, and keeps
// it running. What the program is for, a client on a machine that joined or a server beside the controller, its callers say.
//
// It never allows what containers must not have: the Docker plugin is the only one, without privileges and without volumes
// of the host.
package program

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// Config is Nomad's configuration, as JSON of its own words (Nomad, agent configuration). Empty parts are left out.
type Config struct {
	Name          string            `json:"name"`
	Region        string            `json:"region"`
	Datacenter    string            `json:"datacenter"`
	DataDir       string            `json:"data_dir"`
	BindAddr      string            `json:"bind_addr"`
	Addresses     map[string]string `json:"addresses,omitempty"`
	Ports         map[string]int    `json:"ports"`
	Advertise     map[string]string `json:"advertise"`
	NoUpdateCheck bool              `json:"disable_update_check"`
	LogJSON       bool              `json:"log_json,omitempty"`
	Server        *Server           `json:"server,omitempty"`
	Client        Client            `json:"client"`
	ACL           map[string]bool   `json:"acl,omitempty"`
	TLS           *TLS              `json:"tls,omitempty"`
	Plugin        []any             `json:"plugin"`
}

// Server is a part of Config.
type Server struct {
	Enabled   bool   `json:"enabled"`
	Bootstrap int    `json:"bootstrap_expect"`
	Encrypt   string `json:"encrypt"` // the key of the gossip, 32 bytes in base64
	// HeartbeatTTL and HeartbeatGrace are the least time between two heartbeats of a client and what it may be late.
	HeartbeatTTL   string `json:"min_heartbeat_ttl"`
	HeartbeatGrace string `json:"heartbeat_grace"`
}

// Client is a part of Config.
type Client struct {
	Enabled          bool              `json:"enabled"`
	Servers          []string          `json:"servers,omitempty"`
	NodePool         string            `json:"node_pool,omitempty"`
	NetworkInterface string            `json:"network_interface"`
	Options          map[string]string `json:"options"`
	Meta             map[string]string `json:"meta,omitempty"`
	Reserved         *Reserved         `json:"reserved,omitempty"`
}

// Reserved is what Nomad leaves for others on the machine; a part of Client.
type Reserved struct {
	MemoryMB int `json:"memory"`
}

// TLS is a part of Config.
type TLS struct {
	HTTP         bool   `json:"http"`
	RPC          bool   `json:"rpc"`
	CAFile       string `json:"ca_file"`
	CertFile     string `json:"cert_file"`
	KeyFile      string `json:"key_file"`
	VerifyServer bool   `json:"verify_server_hostname"`
	VerifyClient bool   `json:"verify_https_client,omitempty"`
}

// ClientOptions are those that every client has: the Docker driver alone, and no look for a cloud.
func ClientOptions() map[string]string {
	return map[string]string{"driver.allowlist": "docker", "fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"}
}

// DockerPlugin is the one plugin, for a Docker Engine at an address; empty: the usual socket.
func DockerPlugin(endpoint string) []any {
	// What a Docker that died has left running beside its successor elsewhere is removed soon after it is back.
	leftOver := map[string]any{"enabled": true, "period": "30s", "creation_grace": "1m"}
	docker := map[string]any{
		"allow_privileged": false, "volumes": []any{map[string]bool{"enabled": false}},
		"gc": []any{map[string]any{"dangling_containers": []any{leftOver}}},
	}
	if endpoint != "" {
		docker["endpoint"] = endpoint
	}
	return []any{map[string]any{"docker": []any{map[string]any{"config": []any{docker}}}}}
}

// Write replaces the file of a configuration.
func (c *Config) Write(file string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(file, append(text, '\n'))
}

// WriteFile replaces a file that root alone reads, whole or not at all.
func WriteFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
