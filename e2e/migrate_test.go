package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// visitors ask apps again and again and count what is not answered well.
type visitors struct {
	asked, failed atomic.Int64
	why           atomic.Value // of the first failure
	done          chan struct{}
	left          chan struct{}
}

// visit begins to ask all the apps in turn.
func (p *platform) visit(apps ...string) *visitors {
	v := &visitors{done: make(chan struct{}), left: make(chan struct{})}
	go func() {
		defer close(v.left)
		for n := 0; ; n++ {
			select {
			case <-v.done:
				return
			case <-time.After(5 * time.Millisecond):
			}
			app := apps[n%len(apps)]
			v.asked.Add(1)
			if status, body, err := p.get(app, "/"); err != nil || status != http.StatusOK {
				v.failed.Add(1)
				v.why.CompareAndSwap(nil, fmt.Sprintf("%s: %s: %d %.200q %v", time.Now().Format(time.TimeOnly), app, status, body, err))
			}
		}
	}()
	return v
}

// leave ends the visits; there may be no failure.
func (v *visitors) leave(t *testing.T, when string) {
	t.Helper()
	close(v.done)
	<-v.left
	t.Logf("%s: %d requests, %d failed", when, v.asked.Load(), v.failed.Load())
	if v.failed.Load() > 0 || v.asked.Load() == 0 {
		t.Errorf("%s: %d of %d requests failed; the first: %v", when, v.failed.Load(), v.asked.Load(), v.why.Load())
	}
}

// enginePlan is what the tests read of one.
type enginePlan struct {
	Migration *struct{ Target, State string }
	Apps      []struct {
		Name   string
		Docker int `json:"docker_instances"`
		Nomad  int `json:"nomad_instances"`
		State  string
	}
}

func (u *user) enginePlan() (e enginePlan) {
	u.t.Helper()
	r := u.try("engine", "--json")
	_ = json.Unmarshal([]byte(r.out), &e)
	return e
}

// counts are all instances on either engine.
func (e enginePlan) counts() (docker, nomad int) {
	for _, a := range e.Apps {
		docker, nomad = docker+a.Docker, nomad+a.Nomad
	}
	return docker, nomad
}

// TestEngineMigrate: everything moves from Docker to a cluster and back with no failed request, the server being killed on
// the way back, and at the end the platform does without the cluster.
func TestEngineMigrate(t *testing.T) {
	p := ownPlatform(t)
	p.mustStart(t)
	u := newUser(t, p)
	apps := []string{"mover-1", "mover-2", "mover-3"}
	for _, app := range apps {
		u.must("push", app, "-p", "apps/static", "-m", "64M", "-i", "2")
	}
	if r := u.try("engine"); r.code == 0 || !strings.Contains(r.all(), "--engine nomad") {
		t.Errorf("the engine of a platform without a cluster: exit %d\n%s", r.code, r.all())
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.onNomad(); err != nil {
		t.Fatal(err)
	}
	p.mustStart(t)
	for _, app := range apps {
		u.answers(app, "/", http.StatusOK, "")
	}
	if got := u.must("engine", "migrate", "nomad", "--plan"); strings.Count(got, "TO MOVE") != len(apps) {
		t.Errorf("the plan:\n%s", got)
	}
	if r := u.try("engine", "migrate", "nomad"); r.code == 0 || len(p.cluster.jobs(t)) != 0 {
		t.Errorf("without an answer to the question: exit %d, jobs %v\n%s", r.code, p.cluster.jobs(t), r.all())
	}
	v := p.visit(apps...)
	out := u.must("engine", "migrate", "nomad", "--yes", "--parallel", "2")
	v.leave(t, "to the cluster")
	if docker, nomad := u.enginePlan().counts(); docker != 0 || nomad != 2*len(apps) || len(p.cluster.jobs(t)) != 2*len(apps) {
		t.Errorf("after the move %d instances are on Docker and %d on Nomad, which has the jobs %v\n%s", docker, nomad, p.cluster.jobs(t), out)
	}
	u.killedOnTheWayBack(apps)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	env := p.env
	p.env = append(append([]string{}, env...), "CUPOLA_ENGINE=docker", "CUPOLA_NOMAD_ADDR=", "CUPOLA_NODES=")
	p.mustStart(t)
	for _, app := range apps {
		u.answers(app, "/", http.StatusOK, "")
	}
}

// killedOnTheWayBack moves all back, one app at a time, and kills the server when some are here and some there.
func (u *user) killedOnTheWayBack(apps []string) {
	t := u.t
	t.Helper()
	v := u.visit(apps...)
	u.must("engine", "migrate", "docker", "--yes", "--parallel", "1", "--no-wait")
	u.until("some instances are back", func() bool { docker, _ := u.enginePlan().counts(); return docker > 0 })
	v.leave(t, "on the way back, until the server is killed")
	u.kill()
	u.mustStart(t)
	for _, app := range apps {
		u.answers(app, "/", http.StatusOK, "")
	}
	v = u.visit(apps...)
	u.until("all is back", func() bool {
		e := u.enginePlan()
		return e.Migration != nil && e.Migration.Target == "docker" && e.Migration.State == "DONE"
	})
	v.leave(t, "on the way back, after the server was killed")
	if jobs := u.cluster.jobs(t); len(jobs) != 0 {
		t.Errorf("with all back, Nomad has the jobs %v", jobs)
	}
}

// until waits up to two minutes.
func (u *user) until(what string, so func() bool) {
	u.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !so(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			u.t.Fatalf("not within two minutes: %s\n%s\n%s", what, u.try("engine").all(), serverLogOnFailure(u.platform))
		}
	}
}
