package enginetest

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

func (s *suite) startIdempotent(t *testing.T) {
	w := s.start(t, nil)
	st := s.untilReady(t, w.ID)
	if err := s.e.Start(testContext(t), w); err != nil {
		t.Fatalf("second start: %v", err)
	}
	again, _ := s.status(t, w.ID)
	if !again.StartedAt.Equal(st.StartedAt) || again.Generation != st.Generation {
		t.Errorf("a second start changed it: %+v, was %+v", again, st)
	}
	sameLabels(t, again.Labels, w.Labels)
	if net.ParseIP(again.Address) == nil {
		t.Errorf("address = %q", again.Address)
	}
}

func (s *suite) takenBack(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Readiness = node.Check{Type: "http", Endpoint: "/ready"} })
	before := s.untilReady(t, w.ID)
	if err := s.e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if res := get(t, before, "/health", nil); res != "" {
		t.Errorf("the app answered %q", res)
	}
	s.e = s.open(t, s.reg.Prefix)
	after, ok := s.status(t, w.ID)
	if !ok {
		t.Fatal("a workload is not listed after opening again")
	}
	if !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("started at %s, was %s: it was restarted", after.StartedAt, before.StartedAt)
	}
	if after.State != node.Running || !after.Ready || after.Address != before.Address {
		t.Errorf("just after opening it is %+v, want it ready", after)
	}
	sameLabels(t, after.Labels, w.Labels)
}

func (s *suite) stopGracefully(t *testing.T) {
	w := s.start(t, nil)
	st := s.untilReady(t, w.ID)
	lines := s.follow(t, w.ID, time.Time{})
	lines.until(t, "listening on :8080")
	if err := s.e.Stop(testContext(t), w.ID, 0); err != nil {
		t.Fatal(err)
	}
	lines.until(t, "got SIGTERM") // what is said while stopping is not lost
	if _, ok := s.status(t, w.ID); ok {
		t.Error("listed after stop")
	}
	if _, err := net.DialTimeout("tcp", net.JoinHostPort(st.Address, strconv.Itoa(port)), time.Second); err == nil {
		t.Error("still answers after stop")
	}
	if err := s.e.Stop(testContext(t), w.ID, 0); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func (s *suite) stopHard(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Env["IGNORE_TERM"] = "1" })
	s.untilReady(t, w.ID)
	if err := s.e.Stop(testContext(t), w.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.status(t, w.ID); ok {
		t.Error("listed after stop")
	}
}

func (s *suite) crashBackoff(t *testing.T) {
	w := s.start(t, func(w *node.Workload) {
		w.Env["EXIT"], w.Env["LINES"] = "5", "1"
		w.Liveness = node.Check{}
	})
	held := s.until(t, w.ID, "it is held back", func(st node.Status) bool { return st.State == node.Crashed && st.Crashes >= 4 })
	if held.ExitStatus != 5 || held.OOMKilled || !strings.Contains(held.Details, "exited with status 5") {
		t.Errorf("status = %+v", held)
	}
	if held.Ready {
		t.Error("a crashed instance is ready")
	}
	next := s.until(t, w.ID, "it was started again", func(st node.Status) bool { return st.StartedAt.After(held.StartedAt) && st.Crashes >= 4 })
	if wait := next.StartedAt.Sub(held.Since); wait < Backoff-100*time.Millisecond {
		t.Errorf("started again after %s, want %s or more", wait, Backoff)
	}
	s.until(t, w.ID, "it crashed once more", func(st node.Status) bool { return st.Crashes > held.Crashes })
}

func (s *suite) outOfMemory(t *testing.T) {
	w := s.start(t, func(w *node.Workload) {
		w.Env["OOM"], w.MemoryMB = "1", 32
		w.Liveness = node.Check{}
	})
	st := s.until(t, w.ID, "it crashed", func(st node.Status) bool { return st.Crashes > 0 && st.OOMKilled })
	if want := "used more than its memory limit of 32 MB"; !strings.Contains(st.Details, want) && st.State == node.Crashed {
		t.Errorf("details = %q, want %q", st.Details, want)
	}
}

func (s *suite) wrongPort(t *testing.T) {
	s.failsWith(t, ":3000", "listens on 3000, not on $PORT (8080)")
}

func (s *suite) loopback(t *testing.T) {
	s.failsWith(t, "127.0.0.1:8080", "listens on 127.0.0.1:8080 only; listen on 0.0.0.0:8080")
}

func (s *suite) failsWith(t *testing.T, listen, want string) {
	w := s.start(t, func(w *node.Workload) {
		w.Env["LISTEN"] = listen
		w.Liveness.Timeout = time.Second
	})
	st := s.until(t, w.ID, "it crashed", func(st node.Status) bool { return st.Crashes > 0 })
	if !strings.Contains(st.Details, want) || !strings.Contains(st.Details, "1s") {
		t.Errorf("details = %q, want the timeout and %q", st.Details, want)
	}
	if st.Ready {
		t.Error("an unhealthy instance is ready")
	}
	s.until(t, w.ID, "it was started again", func(st node.Status) bool { return st.Generation > 1 })
}

func (s *suite) livenessLost(t *testing.T) {
	w := s.start(t, func(w *node.Workload) {
		w.Liveness = node.Check{Type: "http", Endpoint: "/health", Interval: 100 * time.Millisecond}
	})
	st := s.untilReady(t, w.ID)
	get(t, st, "/set", url.Values{"health": {"503"}})
	bad := s.until(t, w.ID, "it crashed", func(st node.Status) bool { return st.Crashes == 1 })
	if want := "GET /health was answered with status 503"; !strings.Contains(bad.Details, want) {
		t.Errorf("details = %q, want %q", bad.Details, want)
	}
	again := s.until(t, w.ID, "it is well again", func(n node.Status) bool { return n.Ready && n.Generation > st.Generation })
	if again.Crashes != 1 || again.Details != "" {
		t.Errorf("status = %+v, want one crash and no details", again)
	}
}

func (s *suite) readiness(t *testing.T) {
	w := s.start(t, func(w *node.Workload) {
		w.Env["READY"] = "503"
		w.Readiness = node.Check{Type: "http", Endpoint: "/ready", Interval: 100 * time.Millisecond}
	})
	st := s.until(t, w.ID, "it runs but is not ready", func(st node.Status) bool { return st.State == node.Running && st.Details != "" })
	if st.Ready || !strings.Contains(st.Details, "not ready: GET /ready was answered with status 503") {
		t.Errorf("status = %+v", st)
	}
	get(t, st, "/set", url.Values{"ready": {"204"}})
	s.untilReady(t, w.ID)
	get(t, st, "/set", url.Values{"ready": {"500"}})
	out := s.until(t, w.ID, "it is not ready", func(st node.Status) bool { return !st.Ready })
	get(t, st, "/set", url.Values{"ready": {"200"}})
	in := s.untilReady(t, w.ID)
	if out.State != node.Running || in.Crashes != 0 || in.Generation != st.Generation {
		t.Errorf("readiness ended it: %+v, then %+v", out, in)
	}
}

func (s *suite) commandNotFound(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Entrypoint = []string{"/no/such/command"} })
	st := s.until(t, w.ID, "it crashed", func(st node.Status) bool { return st.State == node.Crashed })
	if st.ExitStatus != 127 || st.Crashes == 0 || st.Details == "" {
		t.Errorf("status = %+v, want exit status 127 and details", st)
	}
}

func (s *suite) task(t *testing.T) {
	for _, c := range []struct {
		command []string
		exit    int
	}{
		{[]string{"echo", "done"}, 0},
		{[]string{"exit", "9"}, 9},
	} {
		w := s.start(t, func(w *node.Workload) {
			w.Once, w.Command, w.Ports, w.Liveness = true, c.command, nil, node.Check{}
		})
		st := s.until(t, w.ID, "it ended", func(st node.Status) bool { return st.State == node.Exited })
		if st.ExitStatus != c.exit || st.Crashes != 0 || st.StartedAt.IsZero() {
			t.Errorf("%v: status = %+v, want exit status %d and no crash", c.command, st, c.exit)
		}
		var got []string
		if err := s.e.Logs(testContext(t), w.ID, time.Time{}, func(l node.LogLine) { got = append(got, string(l.Text)) }); err != nil {
			t.Errorf("%v: logs: %v", c.command, err)
		}
		if c.exit == 0 && (len(got) != 1 || got[0] != "done") {
			t.Errorf("logs = %q", got)
		}
	}
}

func (s *suite) rootRefused(t *testing.T) {
	for _, user := range []string{"", "root", "0", "00:5", "toor"} {
		w := s.workload(func(w *node.Workload) { w.Image = s.reg.Image(t, user) })
		if err := s.e.Start(testContext(t), w); err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("user %q: start = %v, want it refused", user, err)
			_ = s.e.Stop(testContext(t), w.ID, -1)
		}
	}
	allowed := s.start(t, func(w *node.Workload) { w.Image, w.AllowRoot = s.reg.Image(t, "root"), true })
	s.untilReady(t, allowed.ID)
	named := s.start(t, func(w *node.Workload) { w.Image = s.reg.Image(t, "vcap") })
	s.untilReady(t, named.ID)
}

func (s *suite) insufficient(t *testing.T) {
	w := s.workload(func(w *node.Workload) { w.MemoryMB = 1 << 30 })
	if err := s.e.Start(testContext(t), w); !errors.Is(err, node.ErrInsufficient) {
		t.Errorf("start with more memory than there is = %v, want ErrInsufficient", err)
	}
	if _, ok := s.status(t, w.ID); ok {
		t.Error("listed after a start that was refused")
	}
}

func (s *suite) notFound(t *testing.T) {
	ctx := testContext(t)
	if err := s.e.Stop(ctx, "no-such-workload", 0); err != nil {
		t.Errorf("stop = %v", err)
	}
	if err := s.e.Logs(ctx, "no-such-workload", time.Time{}, func(node.LogLine) {}); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("logs = %v, want ErrNotFound", err)
	}
	if _, err := s.e.Exec(ctx, "no-such-workload", node.Exec{Command: []string{"/app"}}); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("exec = %v, want ErrNotFound", err)
	}
	w := s.workload(func(w *node.Workload) {
		w.Image = s.reg.Prefix + "apps/absent@sha256:" + strings.Repeat("0", 64)
	})
	if err := s.e.Start(ctx, w); err == nil || !strings.Contains(err.Error(), "apps/absent") {
		t.Errorf("start without an image = %v, want an error that names it", err)
	}
	if err := s.e.Ping(ctx); err != nil {
		t.Errorf("ping = %v", err)
	}
	if res, err := http.Get("http://" + s.reg.Prefix + "v2/"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the test's registry does not answer: %v", err)
	}
}
