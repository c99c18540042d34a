package nomad

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// patience is how long a test waits for an event before it gives up.
const patience = 90 * time.Second

// running starts a workload that serves on port 8080 and waits until it is ready.
func running(t *testing.T, e *Nomad, reg *enginetest.Registry, image string) node.Status {
	t.Helper()
	w := node.Workload{
		ID: uuid.NewString(), Image: image, MemoryMB: 64, DiskMB: 64, Ports: []int{8080}, Labels: map[string]string{"process": "p1"},
		Env: map[string]string{"PORT": "8080", "TEXT": "a ${node.unique.name} ${NOMAD_ALLOC_ID} $5"}, Liveness: node.Check{Type: "port"},
	}
	if err := e.Start(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background(), w.ID, -1); err != nil {
			t.Error(err)
		}
	})
	return until(t, e, w.ID, "it is ready", func(s node.Status) bool { return s.Ready })
}

func until(t *testing.T, e *Nomad, id, what string, ok func(node.Status) bool) node.Status {
	t.Helper()
	give := time.After(patience)
	for {
		var last node.Status
		all, err := e.List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.ID == id {
				last = s
			}
		}
		if ok(last) {
			return last
		}
		select {
		case <-e.Changed():
		case <-give:
			t.Fatalf("waited in vain until %s; it is %+v", what, last)
		}
	}
}

// TestFaults are what happens to a cluster behind the engine's back.
func TestFaults(t *testing.T) {
	c := startCluster(t)
	e := opener(t, c.address, "t"+uuid.NewString()[:7])(t, "")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	reg := enginetest.NewRegistry(t)
	image := reg.Image(t, "2000:2000")
	t.Run("EnvironmentMeansItself", func(t *testing.T) {
		s := running(t, e, reg, image)
		res, err := http.Get("http://" + s.Address + ":8080/env?name=TEXT")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var text [200]byte
		n, _ := res.Body.Read(text[:])
		if got, want := string(text[:n]), "a ${node.unique.name} ${NOMAD_ALLOC_ID} $5"; got != want {
			t.Errorf("TEXT is %q, want %q", got, want)
		}
	})
	t.Run("RoomForBuilds", func(t *testing.T) { roomForBuilds(t, e, image) })
	t.Run("EditedJobIsPutBack", func(t *testing.T) { editedJob(t, e, running(t, e, reg, image)) })
	t.Run("PurgedJobIsForgotten", func(t *testing.T) {
		s := running(t, e, reg, image)
		if _, _, err := e.api.Jobs().Deregister(e.build.jobID(s.ID), true, nil); err != nil {
			t.Fatal(err)
		}
		until(t, e, s.ID, "it is not listed", func(s node.Status) bool { return s.ID == "" })
	})
	t.Run("StopCutOffIsFinished", func(t *testing.T) {
		s := running(t, e, reg, image)
		e.mu.Lock()
		e.workloads[s.ID].stopping = true // not put back
		e.mu.Unlock()
		if err := e.deregister(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		delete(e.workloads, s.ID) // as by an engine that was opened just now
		e.mu.Unlock()
		if err := e.resync(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, e, s.ID, "it is not listed", func(s node.Status) bool { return s.ID == "" })
		if _, _, err := e.api.Jobs().Info(e.build.jobID(s.ID), nil); !notFound(err) {
			t.Errorf("the job is still there: %v", err)
		}
	})
	t.Run("OrphanIsEnded", func(t *testing.T) {
		s := running(t, e, reg, image)
		e.mu.Lock()
		w := e.workloads[s.ID]
		delete(e.workloads, s.ID)
		e.mu.Unlock()
		e.endOrphans(e.strays())
		e.mu.Lock()
		e.workloads[s.ID] = w
		e.mu.Unlock()
		until(t, e, s.ID, "it was ended", func(s node.Status) bool { return !s.Ready })
	})
	t.Run("DrainedNodeIsLeft", func(t *testing.T) {
		s := running(t, e, reg, image)
		machines, err := e.Machines(context.Background())
		if err != nil || len(machines) != 1 || !machines[0].Agent || !machines[0].Eligible || machines[0].Workloads != 1 || machines[0].ReservedMB != 64 {
			t.Fatalf("machines = %+v, %v", machines, err)
		}
		if err := e.SetEligible(context.Background(), machines[0].ID, false); err != nil {
			t.Fatal(err)
		}
		until(t, e, s.ID, "it shall leave", func(s node.Status) bool { return s.Leaving && s.Ready })
		w := node.Workload{ID: uuid.NewString(), Image: image, MemoryMB: 64}
		if err := e.Start(context.Background(), w); !errors.Is(err, node.ErrInsufficient) {
			t.Errorf("start on a drained cluster = %v, want ErrInsufficient", err)
		}
		if err := e.RemoveMachine(context.Background(), machines[0].ID); !errors.Is(err, node.ErrMachineUp) {
			t.Errorf("remove a node that is up = %v", err)
		}
		if err := e.SetEligible(context.Background(), machines[0].ID, true); err != nil {
			t.Fatal(err)
		}
		until(t, e, s.ID, "it may stay", func(s node.Status) bool { return !s.Leaving })
		if err := e.SetEligible(context.Background(), "no-such-node", true); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("a node that is not there: %v", err)
		}
	})
	t.Run("UnknownPool", func(t *testing.T) {
		w := node.Workload{ID: uuid.NewString(), Image: image, MemoryMB: 64, Pool: "nobody-here"}
		if err := e.Start(context.Background(), w); !errors.Is(err, node.ErrInsufficient) || !strings.Contains(err.Error(), "nobody-here") {
			t.Errorf("start in a pool without nodes = %v", err)
		}
	})
	t.Run("NomadRestarts", func(t *testing.T) {
		s := running(t, e, reg, image)
		c.stop(t)
		if err := e.Ping(context.Background()); !errors.Is(err, node.ErrUnavailable) {
			t.Errorf("ping without Nomad = %v, want ErrUnavailable", err)
		}
		if _, err := http.Get("http://" + s.Address + ":8080/health"); err != nil {
			t.Errorf("without Nomad the app does not serve: %v", err)
		}
		if got := until(t, e, s.ID, "it is still listed", func(s node.Status) bool { return s.ID != "" }); !got.Ready {
			t.Errorf("without Nomad it is %+v", got)
		}
		c.run(t)
		awaitNode(t, c.address)
		give := time.Now().Add(patience)
		for e.Ping(context.Background()) != nil && time.Now().Before(give) {
			time.Sleep(100 * time.Millisecond)
		}
		again := until(t, e, s.ID, "it is ready", func(s node.Status) bool { return s.Ready })
		if !again.StartedAt.Equal(s.StartedAt) || again.Crashes != 0 {
			t.Errorf("a restart of Nomad restarted it: %+v, was %+v", again, s)
		}
	})
}

// editedJob: somebody doubles the memory and takes the constraints away.
func editedJob(t *testing.T, e *Nomad, s node.Status) {
	job, _, err := e.api.Jobs().Info(e.build.jobID(s.ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	job.TaskGroups[0].Tasks[0].Resources.MemoryMB = ptr(128)
	job.Constraints = nil
	r, _, err := e.api.Jobs().Register(job, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &api.QueryOptions{WaitIndex: r.JobModifyIndex, WaitTime: 5 * time.Second}
	for give := time.Now().Add(patience); ; {
		now, meta, err := e.api.Jobs().Info(e.build.jobID(s.ID), q)
		if err != nil {
			t.Fatal(err)
		}
		if *now.TaskGroups[0].Tasks[0].Resources.MemoryMB == 64 && len(now.Constraints) == 4 {
			break
		}
		if time.Now().After(give) {
			t.Fatalf("the job was not put back: %+v", now.TaskGroups[0].Tasks[0].Resources)
		}
		q.WaitIndex = meta.LastIndex
	}
	until(t, e, s.ID, "it is ready again", func(s node.Status) bool { return s.Ready })
}
