package node

// The engines of a Settler, as Status.Engine names them.
const (
	EngineDocker = "docker" // this machine's Docker by itself
	EngineNomad  = "nomad"  // the cluster
)

// Settlement says which of two engines workloads belong to. The zero value: all that starts goes to the cluster, and what
// runs stays where it is.
type Settlement struct {
	// Home is where workloads start: EngineDocker or EngineNomad; empty: EngineNomad.
	Home string
	// Stays reports whether a workload with these labels starts on this machine's Docker wherever Home is; nil: none does. It may
	// take as long as a look into a store.
	Stays func(labels map[string]string) bool
	// Leaves reports whether a workload with these labels that runs on that engine has Status.Leaving; nil: none has. It answers
	// at once.
	Leaves func(engine string, labels map[string]string) bool
}

// Settler is an engine of two: a cluster, and this machine's Docker beside it. What one of them runs goes on there until it
// is stopped.
type Settler interface {
	// Settle replaces what was said before.
	Settle(s Settlement)
}
