package nomad

import (
	"errors"
	"slices"
	"testing"
	"time"

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

// roomForBuilds: Nomad counts the room of a build, refuses more than there is, and who has room hears when it is taken away. No
// List has it.
func roomForBuilds(t *testing.T, e *Nomad, image string) {
	here := func() node.Machine {
		t.Helper()
		all, err := e.Machines(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("machines %v, %v", all, err)
		}
		return all[0]
	}
	m := here()
	r := node.Reservation{ID: "b1", Machine: m.ID, MemoryMB: 200, DiskMB: 64, Image: image}
	gone, err := e.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if now := here(); now.Builds != 1 || now.Workloads != m.Workloads || now.ReservedMB != m.ReservedMB+200 {
		t.Errorf("with room for a build the machine is %+v, before %+v", now, m)
	}
	if all, err := e.List(t.Context()); err != nil || slices.ContainsFunc(all, func(s node.Status) bool { return s.ID == reserveGroup+"b1" }) {
		t.Errorf("listed as a workload: %v, %v", all, err)
	}
	large := r
	large.ID, large.MemoryMB = "b2", m.MemoryMB+1
	if _, err := e.Reserve(t.Context(), large); !errors.Is(err, node.ErrInsufficient) {
		t.Errorf("more than there is: %v", err)
	}
	nowhere := r
	nowhere.ID, nowhere.Machine = "b3", "no such machine"
	if _, err := e.Reserve(t.Context(), nowhere); !errors.Is(err, node.ErrInsufficient) {
		t.Errorf("on a machine that is not there: %v", err)
	}
	if ids := e.Reserved(); !slices.Equal(ids, []string{"b1"}) {
		t.Errorf("reserved %v", ids)
	}
	moved := e.Moved()
	if _, _, err := e.api.Jobs().Deregister(e.build.jobID(reserveGroup+"b1"), true, nil); err != nil {
		t.Fatal(err)
	}
	for what, news := range map[string]<-chan struct{}{"the one who has the room": gone, "the one who waits": moved} {
		select {
		case <-news:
		case <-time.After(patience):
			t.Errorf("%s does not hear that it was taken away", what)
		}
	}
	if err := e.Unreserve(t.Context(), "b1"); err != nil {
		t.Error(err)
	}
	r.ID = "b4"
	if _, err := e.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := e.Unreserve(t.Context(), "b4"); err != nil || len(e.Reserved()) != 0 || here().Builds != 0 {
		t.Errorf("given back: %v, %v, %+v", err, e.Reserved(), here())
	}
}
