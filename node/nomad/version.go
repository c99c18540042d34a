package nomad

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// MinVersion is the oldest Nomad that has what jobs of ours use: the disconnect block came with it.
const MinVersion = "1.8.0"

// checkVersion asks the agent who it is.
func (e *Nomad) checkVersion(address string) (*api.AgentSelf, error) {
	self, err := e.api.Agent().Self()
	if err != nil {
		return nil, fmt.Errorf("%w: Nomad does not answer at %s: start it, or name another with NOMAD_ADDR; with access control, give NOMAD_TOKEN one that has agent:read (%v)",
			node.ErrUnavailable, address, err)
	}
	version := self.Member.Tags["build"]
	if c, ok := self.Config["Version"].(map[string]any); ok && version == "" {
		version, _ = c["Version"].(string)
	}
	if !NewEnough(version) {
		return nil, fmt.Errorf("nomad: %s runs version %q: upgrade it to %s or later", address, version, MinVersion)
	}
	return self, nil
}

// NewEnough reports whether a version of Nomad will do.
func NewEnough(version string) bool { return atLeast(version, MinVersion) }

// atLeast compares dotted versions; what follows a dash or a plus counts for nothing. An unknown one is too old.
func atLeast(version, least string) bool {
	have, ok := numbers(version)
	if !ok {
		return false
	}
	want, _ := numbers(least)
	for n := range want {
		if have[n] != want[n] {
			return have[n] > want[n]
		}
	}
	return true
}

func numbers(version string) ([3]int, bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	var n [3]int
	if len(parts) != len(n) {
		return n, false
	}
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 {
			return n, false
		}
		n[i] = v
	}
	return n, true
}

// checkOversubscription asks whether Nomad would heed that workloads may use more memory than they reserve. Where its scheduler
// does not allow that, it takes such a job with a warning and makes what is reserved the limit.
func (e *Nomad) checkOversubscription(ctx context.Context) error {
	if e.o.Oversubscribe <= 0 || e.o.Oversubscribe >= 1 {
		return nil
	}
	probe, err := e.build.job(node.Workload{ID: "probe", Image: "probe", MemoryMB: 1024}, node.Extra{}, siblings{})
	if err != nil {
		return err
	}
	r, _, err := e.api.Jobs().Validate(probe, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return failed("ask Nomad whether memory may be oversubscribed", err)
	}
	if strings.Contains(r.Warnings, "oversubscription") {
		return errors.New("the scheduler of Nomad does not allow memory oversubscription, so what an instance reserves would be its limit: " +
			"nomad operator scheduler set-config -memory-oversubscription=true, or start the server without --nomad-memory-reserve")
	}
	return nil
}
