package nomad

import "github.com/cupola-paas/cupola/node"

// A platform that ran its apps on one machine's Docker goes on doing so when it is given a cluster: what is there is
// listed beside what Nomad runs, and leaves one by one, as each app is restarted. Nothing new is started there.

// leaver is a local agent that runs workloads of its own; *docker.Docker is one.
type leaver interface{ Attached(id string) bool }

// leavingLocked are those workloads.
func (e *Nomad) leavingLocked() []node.Status {
	var all []node.Status
	for id, s := range e.localLocked() {
		if e.isLeavingLocked(id) {
			all = append(all, s)
		}
	}
	return all
}

func (e *Nomad) isLeavingLocked(id string) bool {
	l, ok := e.o.Local.(leaver)
	if !ok || e.workloads[id] != nil {
		return false
	}
	_, here := e.localLocked()[id]
	return here && !l.Attached(id)
}

// localLocked is what the agent on this machine sees.
func (e *Nomad) localLocked() map[string]node.Status {
	for _, m := range e.nodes {
		if m.agentAddress == localAgent && m.agent != nil {
			return m.statuses
		}
	}
	return nil
}
