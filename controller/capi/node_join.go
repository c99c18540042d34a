package capi

// NodeToken lets one machine become a node. Token is given once, in the answer to its creation.
type NodeToken struct {
	GUID      string `json:"guid"`
	CreatedAt Time   `json:"created_at"`
	ExpiresAt Time   `json:"expires_at"`
	Token     string `json:"token,omitempty"`
}

// NodeTokenCreate asks for one.
type NodeTokenCreate struct {
	LifetimeSeconds *int `json:"lifetime_in_seconds,omitempty"` // nil: an hour
	Router          bool `json:"router,omitempty"`              // the machine may route; see NodeJoin
}

// PublicTrust in the place of a fingerprint in a token says that a public CA vouches for the server.
const PublicTrust = "public"

// NodeJoin is what a machine says of itself when it joins.
type NodeJoin struct {
	Name    string `json:"name"`
	Address string `json:"address"` // IP where the ports of its instances are published
	// AgentPort is where its agent listens at that address.
	AgentPort int    `json:"agent_port"`
	Request   string `json:"certificate_request"` // PKCS #10, PEM, of a P-256 key
	// Networks that the machine has or knows (CIDR): the one that its instances get is apart from them.
	Networks []string `json:"networks,omitempty"`
	// Router says that it shall route, for which the token has to be one for routers. RouterOnly: it does nothing else, and has
	// no agent.
	Router     bool `json:"router,omitempty"`
	RouterOnly bool `json:"router_only,omitempty"`
}

// NodeWelcome is all that a machine needs to be a node.
type NodeWelcome struct {
	GUID         string `json:"guid"` // of the node, in Nomad too
	Installation string `json:"installation"`
	Certificate  string `json:"certificate"` // PEM, for the key of the request
	CA           string `json:"ca"`          // PEM, of the server and of nodes
	NodeName     string `json:"node_name"`   // in the certificate of the node
	ServerName   string `json:"server_name"` // in the certificate of the server
	Server       string `json:"server"`      // host:port for images and new certificates
	Subnet       string `json:"subnet"`      // CIDR, of its instances' addresses
	Nomad        Nomad  `json:"nomad"`
}

// Nomad is how a client joins the cluster.
type Nomad struct {
	Servers    []string `json:"servers"` // host:port
	Region     string   `json:"region"`
	Datacenter string   `json:"datacenter"`
	ACL        bool     `json:"acl"`
	// PEM; empty: the cluster works without TLS. An empty Key with a Certificate: that is for the key of the node.
	CA          string `json:"ca,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
}

// NodeUpdate changes the labels of a node, of which null takes one away, and whether it may route.
type NodeUpdate struct {
	Labels map[string]*string `json:"labels,omitempty"`
	Router *bool              `json:"router,omitempty"`
}
