package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestSSH goes into an app with the unmodified client.
func TestSSH(t *testing.T) {
	t.Parallel()
	c := newCF(t)
	app := "cf-ssh"
	c.cf("push", app, "-p", sample(t, "python"), "--no-manifest", "-m", "64M", "-i", "2")
	// cf push ends as soon as one instance runs, which need not be the first one.
	c.eventually("both instances run", func() bool { return strings.Count(c.cf("app", app), "running") == 2 })
	for index := range 2 {
		out := c.cf("ssh", app, "-i", fmt.Sprint(index), "-c", "/usr/bin/env")
		for _, want := range []string{fmt.Sprintf("INSTANCE_INDEX=%d\n", index), `"application_name":"` + app + `"`, "VIRTUAL_ENV="} {
			if !strings.Contains(out, want) {
				t.Errorf("the environment of instance %d lacks %s:\n%s", index, want, out)
			}
		}
	}
	if r := c.tryCF("ssh", app, "-c", "exit 7"); r.code != 7 {
		t.Errorf("exit 7 ended with %d: %s", r.code, r.all())
	}
	c.forwards(app)
	c.eventually("the log tells of it", func() bool { return strings.Contains(c.cf("logs", app, "--recent"), "Successful remote access by") })
	if out := c.cf("events", app); !strings.Contains(out, "audit.app.ssh-authorized") {
		t.Errorf("cf events:\n%s", out)
	}
	c.cf("disable-ssh", app)
	if r := c.tryCF("ssh", app, "-c", "true"); r.code != 1 || !strings.Contains(r.all(), "Error opening SSH connection") {
		t.Errorf("with SSH disabled: exit %d: %s", r.code, r.all())
	}
	if out := c.cf("events", app); !strings.Contains(out, "audit.app.ssh-unauthorized") {
		t.Errorf("cf events:\n%s", out)
	}
	c.cf("delete", app, "-f", "-r")
}

// forwards asks the app through a forwarded port.
func (c *cf) forwards(app string) {
	c.t.Helper()
	ports, err := freePorts(1)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(c.binary, "ssh", app, "-L", ports[0]+":localhost:8080")
	cmd.Env = append(os.Environ(), "CF_HOME="+c.home)
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("the forwarded port answers", func() bool {
		res, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + ports[0] + "/")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK
	})
	_ = in.Close() // ends the shell, and with it the client
	if err := cmd.Wait(); err != nil {
		c.t.Errorf("cf ssh -L ended with %v", err)
	}
}
