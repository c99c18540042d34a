package e2e

import (
	"strings"
	"testing"
)

// TestTasksAndRevisions: a task runs beside the app and tells how it ended; a change of the environment is undone.
func TestTasksAndRevisions(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	u.must("push", "history", "-p", sample(t, "python"), "--no-manifest", "-m", "64M")
	u.must("run-task", "history", "--command", "echo counted $((6*7))", "--name", "count", "--wait")
	if r := u.try("run-task", "history", "--command", "exit 3", "--name", "fails", "--wait"); r.code == 0 {
		t.Errorf("a task that fails ends the command with 0:\n%s", r.all())
	}
	tasks := strings.ToUpper(u.must("tasks", "history"))
	for _, want := range []string{"COUNT", "SUCCEEDED", "FAILS", "FAILED"} {
		if !strings.Contains(tasks, want) {
			t.Errorf("tasks lack %s:\n%s", want, tasks)
		}
	}
	u.eventually("the task's output is in the log", func() bool {
		return strings.Contains(u.must("logs", "history", "--recent"), "counted 42")
	})

	u.must("set-env", "history", "GREETING", "Revision")
	u.must("restart", "history")
	u.answers("history", "/", 200, "Revision")
	u.must("rollback", "history", "--version", "1", "-f")
	u.answers("history", "/", 200, "Python")
	if out := u.must("revisions", "history"); !strings.Contains(out, "Rolled back to revision 1") {
		t.Errorf("revisions:\n%s", out)
	}
}

// TestDropletTravels: what one app runs is downloaded and runs as another.
func TestDropletTravels(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	u.must("push", "traveller", "-p", sample(t, "python"), "--no-manifest", "-m", "64M")
	file := t.TempDir() + "/droplet.tgz"
	u.must("download-droplet", "traveller", "--path", file)
	u.must("push", "arrived", "--droplet", file, "--no-manifest", "-m", "64M")
	u.answers("arrived", "/health", 200, "ok")
}
