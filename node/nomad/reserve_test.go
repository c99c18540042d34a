package nomad

import (
	"slices"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// TestReservation: the job that keeps room for a build counts all of it, on just that machine, and its container can do nothing.
func TestReservation(t *testing.T) {
	b := testBuilder()
	b.oversubscribe = 0.5
	w := reserving(node.Reservation{ID: "b1", Machine: "n1", MemoryMB: 1024, DiskMB: 4096, Image: testImage, PullUser: "cupola-pull", PullSecret: "example-secret"})
	j, err := b.reservation(w, "n1")
	if err != nil {
		t.Fatal(err)
	}
	j.Canonicalize()
	task := j.TaskGroups[0].Tasks[0]
	switch {
	case *j.ID != "cupola-ab12-build-b1" || *j.Type != api.JobTypeBatch || *j.NodePool != "all":
		t.Errorf("job %s of type %s in the pool %s", *j.ID, *j.Type, *j.NodePool)
	case !slices.ContainsFunc(j.Constraints, func(c *api.Constraint) bool {
		return c.LTarget == "${node.unique.id}" && c.Operand == "=" && c.RTarget == "n1"
	}):
		t.Errorf("it may be placed elsewhere: %v", j.Constraints)
	case *task.Resources.MemoryMB != 1024 || task.Resources.MemoryMaxMB != nil && *task.Resources.MemoryMaxMB != 0 || *task.Resources.CPU <= 0:
		t.Errorf("it counts %d MB and %d MHz", *task.Resources.MemoryMB, *task.Resources.CPU)
	case *j.TaskGroups[0].EphemeralDisk.SizeMB != 4096:
		t.Errorf("it counts %d MB of disk", *j.TaskGroups[0].EphemeralDisk.SizeMB)
	case *j.TaskGroups[0].RestartPolicy.Attempts != 0 || *j.TaskGroups[0].ReschedulePolicy.Attempts != 0 || *j.TaskGroups[0].ReschedulePolicy.Unlimited:
		t.Error("it is begun again somewhere without a build")
	case task.Config["network_mode"] != "none" || task.Config["dns_servers"] != nil || len(task.Env) != 0 || len(task.Templates) != 0:
		t.Errorf("its container has more than it needs: %v", task.Config)
	case task.Config["auth"].(map[string]any)["password"] != "${meta.cupola_ab12_pull}":
		t.Error("the job carries a password")
	}
	if labels := task.Config["labels"].([]map[string]any)[0]; labels["cupola.attached"] != nil || labels["cupola.build.room"] != "b1" {
		t.Errorf("its container has the labels %v: the agent takes it for an instance, or nobody knows it", labels)
	}
}
