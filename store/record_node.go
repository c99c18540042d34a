package store

import "time"

// NodeToken lets one machine become a node, once and in time. Of the secret only the hash is kept.
type NodeToken struct {
	Meta
	Hash    string    `json:"hash"` // SHA-256 of the secret, hex
	Expires time.Time `json:"expires"`
	UsedAt  time.Time `json:"used_at,omitzero"`
	Node    string    `json:"node,omitempty"` // that it let in
	Maker   Actor     `json:"maker"`
	Router  bool      `json:"router,omitempty"` // the machine may route; see Node
}

// Node is a machine that joined; its GUID is that of the machine in the cluster, and the name in its certificate.
// Without its record nobody believes that certificate any more.
type Node struct {
	Meta
	Name    string `json:"name"`
	Address string `json:"address"` // IP where the ports of its instances are published
	Agent   string `json:"agent"`   // host:port of our agent there
	// Subnet is where its instances' addresses are (CIDR), no other node's; empty: nobody gave it one.
	Subnet string `json:"subnet,omitempty"`
	// Router says that the machine may route, and so has the keys of the certificates of all apps' hosts.
	Router bool `json:"router,omitempty"`
	// RouterOnly says that it does nothing else: it is no machine of the cluster.
	RouterOnly bool `json:"router_only,omitempty"`
}

// Place says which machine has the data of a workload, for as long as there are data. Its GUID is the volume's.
type Place struct {
	Meta
	Node string `json:"node"` // GUID; or "controller"
}
