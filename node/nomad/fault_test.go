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
func running(t *testing.T, e *Nomad, image string, change ...func(*node.Workload)) node.Status {
	t.Helper()
	w := node.Workload{
		ID: uuid.NewString(), Image: image, MemoryMB: 64, DiskMB: 64, Ports: []int{8080}, Labels: map[string]string{"process": "p1"},
		Env: map[string]string{"PORT": "8080", "TEXT": "a ${node.unique.name} ${NOMAD_ALLOC_ID} $5"}, Liveness: node.Check{Type: "port"},
	}
	for _, do := range change {
		do(&w)
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
		s := running(t, e, image)
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
	t.Run("EditedJobIsPutBack", func(t *testing.T) { editedJob(t, e, running(t, e, image)) })
	t.Run("PurgedJobIsForgotten", func(t *testing.T) {
		s := running(t, e, image)
		if _, _, err := e.api.Jobs().Deregister(e.build.jobID(s.ID), true, nil); err != nil {
			t.Fatal(err)
		}
		until(t, e, s.ID, "it is not listed", func(s node.Status) bool { return s.ID == "" })
	})
	t.Run("StopCutOffIsFinished", func(t *testing.T) {
		s := running(t, e, image)
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
		s := running(t, e, image)
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
		s := running(t, e, image)
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
	t.Run("JobsAreValid", func(t *testing.T) { validJobs(t, e.api) })
	t.Run("OversubscriptionIsAllowedFirst", func(t *testing.T) { oversubscription(t, c.address) })
	t.Run("UnknownPool", func(t *testing.T) {
		w := node.Workload{ID: uuid.NewString(), Image: image, MemoryMB: 64, Pool: "nobody-here"}
		if err := e.Start(context.Background(), w); !errors.Is(err, node.ErrInsufficient) || !strings.Contains(err.Error(), "nobody-here") {
			t.Errorf("start in a pool without nodes = %v", err)
		}
	})
	t.Run("NomadRestarts", func(t *testing.T) {
		s := running(t, e, image)
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

// validJobs: Nomad itself finds nothing wrong with any job of ours.
func validJobs(t *testing.T, c *api.Client) {
	for name, j := range allJobs(t) {
		if *j.NodePool == "secure" { // which is not there
			j.NodePool = ptr(defaultPool)
		}
		r, _, err := c.Jobs().Validate(j, nil)
		if err != nil || len(r.ValidationErrors) > 0 || r.Error != "" {
			t.Errorf("%s: Nomad says %v %q %v", name, r.ValidationErrors, r.Error, err)
		}
	}
}

// oversubscription: what Nomad would not heed is told before anything is started.
func oversubscription(t *testing.T, address string) {
	o := Options{Installation: "t" + uuid.NewString()[:7], Address: address, Oversubscribe: 0.5, Logger: quiet()}
	if e, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "-memory-oversubscription=true") {
		t.Errorf("with a scheduler that does not oversubscribe: %v", err)
		if err == nil {
			_ = e.Close()
		}
	}
	direct, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	now, _, err := direct.Operator().SchedulerGetConfiguration(nil)
	if err != nil {
		t.Fatal(err)
	}
	now.SchedulerConfig.MemoryOversubscriptionEnabled = true
	if _, _, err := direct.Operator().SchedulerSetConfiguration(now.SchedulerConfig, nil); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("with one that does: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestPool: a workload of an isolation segment runs on the nodes of that pool, and others do not.
func TestPool(t *testing.T) {
	c := startCluster(t, `client { node_pool = "secure" }`)
	e := opener(t, c.address, "t"+uuid.NewString()[:7])(t, "")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	image := enginetest.NewRegistry(t).Image(t, "2000:2000")
	common := node.Workload{ID: uuid.NewString(), Image: image, MemoryMB: 64}
	if err := e.Start(t.Context(), common); !errors.Is(err, node.ErrInsufficient) {
		t.Errorf("a workload of no pool, where all nodes are a segment's: %v, want ErrInsufficient", err)
	}
	running(t, e, image, func(w *node.Workload) { w.Pool = "secure" })
	if all, err := e.Machines(t.Context()); err != nil || len(all) != 1 || all[0].Pool != "secure" || all[0].Workloads != 1 {
		t.Errorf("machines = %+v, %v", all, err)
	}
}

// TestClient: each of the options stands before Nomad's variable, and what is not given is as that says.
func TestClient(t *testing.T) {
	for name, value := range map[string]string{"NOMAD_ADDR": "https://192.0.2.1:4646", "NOMAD_TOKEN": "env-token", "NOMAD_NAMESPACE": "env", "NOMAD_CACERT": "env-ca", "NOMAD_CLIENT_CERT": "env-cert", "NOMAD_CLIENT_KEY": "env-key"} {
		t.Setenv(name, value)
	}
	said := func(o Options) string {
		c := o.client()
		return strings.Join([]string{c.Address, c.SecretID, c.Namespace, c.TLSConfig.CACert, c.TLSConfig.ClientCert, c.TLSConfig.ClientKey}, " ")
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "https://192.0.2.1:4646 env-token env env-ca env-cert env-key"},
		{Options{ClientCert: "cert", ClientKey: "key"}, "https://192.0.2.1:4646 env-token env env-ca cert key"},
		{Options{CACert: "ca"}, "https://192.0.2.1:4646 env-token env ca env-cert env-key"},
		{Options{Address: "http://192.0.2.2:4646", Token: "token", Namespace: "apps"}, "http://192.0.2.2:4646 token apps env-ca env-cert env-key"},
	} {
		if got := said(c.o); got != c.want {
			t.Errorf("with %+v: %s, want %s", c.o, got, c.want)
		}
	}
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
