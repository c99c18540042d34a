package nomad

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/node"
)

// puller is an agent that notes what it is to fetch.
type puller struct {
	Agent
	name  string
	err   error
	mu    *sync.Mutex
	asked *[]string
}

func (p puller) Prepull(_ context.Context, image string, own bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.asked = append(*p.asked, fmt.Sprintf("%s %s %t", p.name, image, own))
	return p.err
}

// TestPrepull: one machine, or all that answer, fetch an image of any registry; the platform's own goes by its name there.
func TestPrepull(t *testing.T) {
	e, _, _ := stayCluster(t)
	var mu sync.Mutex
	var asked []string
	for id, m := range e.nodes {
		m.agent = puller{name: id, mu: &mu, asked: &asked}
	}
	e.nodes["n2"].agent = puller{name: "n2", err: errors.New("its disk is full"), mu: &mu, asked: &asked}
	e.nodes["n3"].away = true
	expect := func(what string, err error, says string, want ...string) {
		t.Helper()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", what, err, says)
		}
		slices.Sort(asked)
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked %q, want %q", what, asked, want)
		}
		asked = nil
	}
	const own, other = "127.0.0.1:5870/stacks/run@sha256:1", "docker.test/builder:2"
	expect("own image on one", e.Prepull(t.Context(), "n1", own), "", "n1 stacks/run@sha256:1 true")
	expect("another image on one", e.Prepull(t.Context(), "n1", other), "", "n1 docker.test/builder:2 false")
	expect("on one that cannot", e.Prepull(t.Context(), "n2", own), "node vm-n2: its disk is full", "n2 stacks/run@sha256:1 true")
	expect("on one that is away", e.Prepull(t.Context(), "n3", own), "node n3 does not answer")
	expect("on one that is not", e.Prepull(t.Context(), "n9", own), "node n9 does not answer")
	expect("on all", e.Spread(t.Context(), own), "node vm-n2: its disk is full", "n1 stacks/run@sha256:1 true", "n2 stacks/run@sha256:1 true")
	if err := e.Prepull(t.Context(), "n3", own); !errors.Is(err, node.ErrUnavailable) {
		t.Errorf("on one that is away: %v, want ErrUnavailable", err)
	}
}
