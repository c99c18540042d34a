package capi

// Node is a machine of the cluster that runs instances. Cupola's own: Cloud Foundry has no such resource.
type Node struct {
	GUID     string `json:"guid"` // Nomad's
	Name     string `json:"name"`
	Address  string `json:"address"` // empty: the machine of the server
	Pool     string `json:"pool"`    // the isolation segment that it is for; empty: the shared one
	Zone     string `json:"zone"`
	Version  string `json:"version"` // of Nomad
	State    string `json:"state"`   // one of NodeReady and those below it
	Problem  string `json:"problem"` // what is wrong with it and how to mend that, in a sentence; empty: nothing
	Memory   int    `json:"memory_in_mb"`
	Reserved int    `json:"reserved_memory_in_mb"` // by instances and tasks
	Count    int    `json:"instances"`             // tasks among them
	Kept     int    `json:"data_services"`         // that have their data there, and never leave it
	Single   bool   `json:"single"`                // the only one: all runs on this machine, which can't be drained
	Builder  bool   `json:"builder"`               // it has the label builder: apps are built there
	Builds   int    `json:"builds"`                // under way there; their memory counts in Reserved
	Router   string `json:"router,omitempty"`      // one of RouterCurrent and those below it; empty: it does not route
	// RouterOnly says that it runs no instances.
	RouterOnly bool `json:"router_only,omitempty"`
	// Labels are an operator's; zone is one of them.
	Labels map[string]string `json:"labels,omitempty"`
}

// States of a Node.
const (
	NodeReady    = "READY"
	NodeDraining = "DRAINING" // instances leave it, and no new ones come
	NodeDrained  = "DRAINED"  // there are none left
	NodeDown     = "DOWN"
	NodeJoining  = "JOINING"   // it has its certificate and has not come to the cluster yet
	NodeFull     = "DISK FULL" // what is there goes on, and nothing new is placed there
	NodeSkewed   = "CLOCK OFF" // its clock is more than 30 s from the server's
	NodeAway     = "NO ANSWER" // Nomad hears it, and the server does not: what is there goes on
	NodeForeign  = "NO AGENT"  // of the cluster, but nobody of ours is there, so nothing is placed on it
)

// How the router of a Node is.
const (
	RouterCurrent = "CURRENT" // it serves what the server's own router serves
	RouterBehind  = "BEHIND"  // it is being told what it does not have yet
	RouterAway    = "AWAY"    // the server does not hear it; it may serve what it heard last
)

// Nodes are all nodes.
type Nodes struct {
	Resources Array[Node] `json:"resources"`
}
