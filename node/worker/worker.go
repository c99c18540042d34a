// Package worker makes a machine a node of a cluster and keeps it one: it checks the machine, keeps what joining
// gave it, runs Nomad's client and beside it our agent, by which the controller looks after containers, hands
// images from the platform's registry to the Docker here, and asks for new certificates in time.
//
// It needs root, a Docker Engine and a nomad program. What it keeps lies in one folder.
package worker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cupola-paas/cupola/node/nomad/program"
)

// DefaultDir keeps all that a node is.
const DefaultDir = "/var/lib/cupola-node"

// The ports of a node, unless it is told others.
const (
	DefaultAgentPort = 4651 // for the controller, at the node's address
	DefaultPullPort  = 4652 // for Docker, on loopback
	DefaultNomadPort = 4646 // of Nomad's client, on loopback
)

// Node is what a machine knows of itself once it has joined. Its secrets lie in files of their own.
type Node struct {
	GUID         string            `json:"guid"`
	Name         string            `json:"name"`
	Installation string            `json:"installation"`
	Address      string            `json:"address"`        // IP where the ports of instances are published
	Pool         string            `json:"pool,omitempty"` // empty: the common one
	Labels       map[string]string `json:"labels,omitempty"`
	Subnet       string            `json:"subnet,omitempty"` // of its instances' addresses; empty: Docker chooses, and no instance elsewhere is reached by address
	AgentPort    int               `json:"agent_port"`
	PullPort     int               `json:"pull_port"`
	NomadPort    int               `json:"nomad_port"`
	NodeName     string            `json:"node_name"`   // in our certificate
	ServerName   string            `json:"server_name"` // in the controller's
	Server       string            `json:"server"`      // host:port of the controller's door for nodes
	Nomad        Nomad             `json:"nomad"`
	NomadProgram string            `json:"nomad_program"`
	DockerHost   string            `json:"docker_host,omitempty"` // empty: the usual socket
	// Router says that this machine routes, and where; nil: it does not. RouterOnly: it does nothing else.
	Router     *Router `json:"router,omitempty"`
	RouterOnly bool    `json:"router_only,omitempty"`
}

// Nomad is how the client joins the cluster.
type Nomad struct {
	Servers    []string `json:"servers"` // host:port
	Region     string   `json:"region"`
	Datacenter string   `json:"datacenter"`
	ACL        bool     `json:"acl"`
	TLS        bool     `json:"tls"` // its certificate and CA are in the folder
}

// Secrets are what joining gave the machine besides, as PEM. Those of Nomad are empty where the cluster is without TLS.
type Secrets struct {
	Key, Certificate, CA         []byte
	NomadCA, NomadCert, NomadKey []byte
}

func (n *Node) agentAddress() string { return net.JoinHostPort(n.Address, strconv.Itoa(n.AgentPort)) }
func (n *Node) pullAddress() string  { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.PullPort)) }

// Names of files in the folder. nodeFile is written last: with it the machine is a node.
const (
	nodeFile      = "node.json"
	keyFile       = "node.key"
	certFile      = "node.crt"
	caFile        = "ca.crt"
	nomadCAFile   = "nomad-ca.crt"
	nomadCertFile = "nomad.crt"
	nomadKeyFile  = "nomad.key"
	nomadConfig   = "nomad.json"
	nomadData     = "nomad"
)

// ErrNotJoined says that the folder is no node's.
var ErrNotJoined = errors.New("this machine has not joined a platform: cupola node join")

// NewKey makes the key of a node, and the request for its certificate (PKCS #10). Both are PEM.
func NewKey() (key, request []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return encodeKey(private)
}

func encodeKey(private *ecdsa.PrivateKey) (key, request []byte, err error) {
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "node"}}, private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// Save keeps what a machine got when it joined.
func Save(dir string, n *Node, s Secrets) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		keyFile: s.Key, certFile: s.Certificate, caFile: s.CA, nomadCAFile: s.NomadCA, nomadCertFile: s.NomadCert, nomadKeyFile: s.NomadKey,
	} {
		if len(content) == 0 {
			continue
		}
		if err := program.WriteFile(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return n.save(dir)
}

func (n *Node) save(dir string) error {
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return program.WriteFile(filepath.Join(dir, nodeFile), append(text, '\n'))
}

// Load reads what Save wrote.
func Load(dir string) (*Node, error) {
	text, err := os.ReadFile(filepath.Join(dir, nodeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotJoined
	}
	if err != nil {
		return nil, err
	}
	n := &Node{}
	if err := json.Unmarshal(text, n); err != nil {
		return nil, fmt.Errorf("%s: %w; join again", filepath.Join(dir, nodeFile), err)
	}
	return n, nil
}
