package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// partBuilder: an app is built on the machine with the label, as its Docker tells, with the log arriving and room kept by Nomad
// meanwhile; without the label, on the server's machine.
func partBuilder(cs *cells, u *user) {
	c := cs.all[1]
	o := cs.operator()
	defer u.try("delete", "built", "-f")
	o.must("node", "label", c.name, "builder")
	if list := o.must("nodes"); !strings.Contains(list, "yes") {
		cs.t.Errorf("the nodes do not show that %s builds:\n%s", c.name, list)
	}
	since := fmt.Sprint(time.Now().Unix() - 1)
	began := time.Now()
	out := u.must("push", "built", "-p", "apps/static", "-m", "64M")
	cs.t.Logf("the first push to a builder took %s", time.Since(began).Round(100*time.Millisecond))
	for _, want := range []string{"Building on machine " + c.name, "Uploading droplet", "Uploading complete"} {
		if !strings.Contains(out, want) {
			cs.t.Errorf("the log of the build has no %q:\n%s", want, out)
		}
	}
	u.answers("built", "/", http.StatusOK, "")
	if n := c.builds(cs, since); n != 1 {
		cs.t.Errorf("Docker of %s saw %d builds, want 1", c.name, n)
	}
	if n := c.started(cs, since, "cupola.build.room"); n != 1 {
		cs.t.Errorf("Nomad kept room for %d builds on %s, want 1", n, c.name)
	}
	cs.eventually("the room of the build is given back", 30*time.Second, func() bool { return len(cs.rooms()) == 0 })
	since = fmt.Sprint(time.Now().Unix())
	o.must("node", "label", c.name, "builder-")
	out = u.must("push", "built", "-p", "apps/static", "-m", "64M")
	if want := "Building on the server's machine"; !strings.Contains(out, want) {
		cs.t.Errorf("without the label the log has no %q:\n%s", want, out)
	}
	if n := c.builds(cs, since); n != 0 {
		cs.t.Errorf("after the label was taken away Docker of %s saw %d builds, want none", c.name, n)
	}
}

// partLostBuild: in the midst of a build, by an uploaded buildpack, its room is taken away, and then the server is killed; in that of
// another its machine has a power cut. Each time it is begun again, until it has ended well, and nothing of it is left.
func partLostBuild(cs *cells, u *user) {
	c := cs.all[1]
	o := cs.operator()
	o.must("node", "label", c.name, "builder")
	dir := filepath.Join(cs.t.TempDir(), "slow")
	for name, text := range map[string]string{
		"detect": "echo slow", "compile": "echo compiling; sleep 5", "release": "printf 'default_process_types:\\n  web: sleep 1000\\n'",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
			cs.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte("#!/usr/bin/env bash\n"+text+"\n"), 0o755); err != nil {
			cs.t.Fatal(err)
		}
	}
	o.must("create-buildpack", "slow", dir, "99")
	push := []string{"push", "slowly", "-b", "slow", "-p", "apps/static", "-m", "64M", "--health-check-type", "process"}
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		u.try(push...) // it breaks with the server
	}()
	began := cs.building(c, "")
	for _, id := range cs.rooms() {
		cs.nomad(http.MethodDelete, "/v1/job/"+id+"?purge=true", &struct{}{})
	}
	cs.building(c, began)
	cs.p.kill()
	cs.p.mustStart(cs.t)
	<-pushed
	took := cs.eventually("the build of before the server was killed ends well", time.Minute, func() bool {
		return strings.Contains(u.try("curl", "/v3/apps/"+u.guid("slowly")+"/builds").out, "STAGED")
	})
	cs.t.Logf("it ended %s after the server was back", took.Round(100*time.Millisecond))
	if out := u.try("logs", "slowly", "--recent").out; !strings.Contains(out, "Machine "+c.name+" failed (the machine was lost): staging begins again") {
		cs.t.Errorf("the log does not say that the build began again:\n%s", out)
	}
	again := make(chan result)
	go func() { again <- u.try(push...) }()
	cs.building(c, began)
	cs.powerOff(c)
	cs.boot(c)
	cs.startNode(c)
	if r := <-again; r.code != 0 || !strings.Contains(r.all(), "Machine "+c.name+" failed (the machine was lost: the connection broke") ||
		!strings.Contains(r.all(), "): staging begins again") {
		cs.t.Errorf("a build whose machine had a power cut: exit %d\n%s", r.code, r.all())
	}
	cs.eventually("nothing is left of builds", 30*time.Second, func() bool { return len(cs.rooms()) == 0 && len(c.buildsNow()) == 0 })
	u.must("delete", "slowly", "-f")
	o.must("delete-buildpack", "slow", "-f")
	o.must("node", "label", c.name, "builder-")
}

// building waits until Docker of the machine runs a build, another than before, and returns it.
func (cs *cells) building(c *cell, before string) (now string) {
	cs.t.Helper()
	cs.eventually("a build runs on "+c.name, time.Minute, func() bool {
		all := c.buildsNow()
		if len(all) == 1 && all[0] != before {
			now = all[0]
		}
		return now != ""
	})
	return now
}

// buildsNow are the build containers of the machine.
func (c *cell) buildsNow() []string {
	out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "ps", "-q", "--filter", "label=cupola.build").Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// rooms are the jobs that keep room for builds.
func (cs *cells) rooms() (ids []string) {
	cs.t.Helper()
	var all []struct{ ID string }
	cs.nomad(http.MethodGet, "/v1/jobs", &all)
	for _, job := range all {
		if strings.Contains(job.ID, "-build-") {
			ids = append(ids, job.ID)
		}
	}
	return ids
}

// builds counts the build containers that Docker of the machine has started.
func (c *cell) builds(cs *cells, since string) int { return c.started(cs, since, "cupola.build") }

func (c *cell) started(cs *cells, since, label string) int {
	cs.t.Helper()
	out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "events", "--since", since, "--until", fmt.Sprint(time.Now().Unix()+1),
		"--filter", "event=start", "--filter", "label="+label, "--format", "{{.ID}}").Output()
	if err != nil {
		cs.t.Fatal(err)
	}
	return len(strings.Fields(string(out)))
}
