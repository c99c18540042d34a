package nomad

import (
	"testing"

	"github.com/hashicorp/nomad/api"
)

// TestExplainPlacement: who pushed an app reads why it has no place, in words that say what to do.
func TestExplainPlacement(t *testing.T) {
	b := testBuilder()
	for _, c := range []struct {
		pool   string
		metric api.AllocationMetric
		want   string
	}{
		{"", api.AllocationMetric{}, "no node takes instances now: see cupola nodes, or join one with cupola node join"},
		{"blue", api.AllocationMetric{}, `no node of the pool "blue" takes instances now: see cupola nodes, or join one with cupola node join --pool`},
		{"", api.AllocationMetric{NodesInPool: 3}, "none of 3 nodes will do"},
		{"", api.AllocationMetric{NodesInPool: 3, DimensionExhausted: map[string]int{"memory": 3}}, "of 3 nodes, memory is short on 3"},
		{"", api.AllocationMetric{NodesInPool: 6, DimensionExhausted: map[string]int{"memory": 1}, ConstraintFiltered: map[string]int{
			"${meta.cupola_ab12_agent} is_set ": 1, "${meta.cupola_ab12_full} is_not_set ": 1, "${attr.nomad.version} semver >= 1.8.0": 1, "missing drivers": 1, "${attr.kernel.name} = linux": 1,
		}}, "of 6 nodes, memory is short on 1, 1 do not meet ${attr.kernel.name} = linux, 1 run a Nomad before 1.8.0, 1 did not join by cupola node join, 1 have a full disk, 1 have no Docker that answers"},
	} {
		if got := b.explainPlacement(map[string]*api.AllocationMetric{groupName: &c.metric}, c.pool); got != c.want {
			t.Errorf("in the pool %q: %s\nwant %s", c.pool, got, c.want)
		}
	}
}
