package e2e

import (
	"fmt"
	"net/http"
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
	cs.eventually("the room of the build is given back", 30*time.Second, func() bool {
		var all []struct{ ID string }
		cs.nomad(http.MethodGet, "/v1/jobs", &all)
		for _, job := range all {
			if strings.Contains(job.ID, "-build-") {
				return false
			}
		}
		return true
	})
	o.must("node", "label", c.name, "builder-")
	out = u.must("push", "built", "-p", "apps/static", "-m", "64M")
	if want := "Building on the server's machine"; !strings.Contains(out, want) {
		cs.t.Errorf("without the label the log has no %q:\n%s", want, out)
	}
	if n := c.builds(cs, since); n != 1 {
		cs.t.Errorf("after the label was taken away Docker of %s saw %d builds, want the one of before", c.name, n)
	}
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
