// Package enginetest is what every node.Engine must do, as tests: an engine's own tests call Run.
package enginetest

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
)

// Backoff is what the first wait after three crashes must be in the engines that Run tests.
const Backoff = time.Second

// patience is how long a test waits for an event before it gives up. Nothing is asserted about time.
const patience = 90 * time.Second

const port = 8080

// pullUser and pullSecret are what the test's registry asks for.
const pullUser, pullSecret = "example", "pull-secret"

// suite is what the tests share.
type suite struct {
	open func(t *testing.T, images string) node.Engine
	e    node.Engine
	reg  *Registry
	img  string
	bell *bell // nil while one test runs at a time
}

// Run tests an engine. newEngine opens one more engine of the same installation each time it is called,
// with Backoff as its first back-off; images is what the references of the test's images begin with. Run closes what it opened. The caller removes what the installation
// has left behind. The engine must run on this machine and pull from loopback registries without TLS.
func Run(t *testing.T, newEngine func(t *testing.T, images string) node.Engine) {
	reg := newRegistry(t, pullUser, pullSecret)
	s := &suite{open: newEngine, reg: reg, img: reg.Image(t, "2000:2000")}
	s.e = newEngine(t, reg.Prefix)
	defer func() {
		if err := s.e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range alone {
		t.Run(c.name, func(t *testing.T) { c.run(s, t) })
	}
	t.Run("Together", func(t *testing.T) {
		s.bell = newBell()
		quit := make(chan struct{})
		t.Cleanup(func() { close(quit) }) // when all below have ended
		go s.bell.follow(s.e, quit)
		for _, c := range together {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel() // most of the time they wait for Docker
				c.run(s, t)
			})
		}
	})
}

// test is one of the suite.
type test struct {
	name string
	run  func(*suite, *testing.T)
}

// alone are tests that open the engine again or change what holds for all workloads.
var alone = []test{
	{"Changes", (*suite).changes},
	{"TakenBack", (*suite).takenBack},
	{"Egress", (*suite).egress},
	{"Policies", (*suite).policies},
	{"VolumeOutlives", (*suite).volumeOutlives},
}

// together are the others.
var together = []test{
	{"StartIsIdempotent", (*suite).startIdempotent},
	{"StopGracefully", (*suite).stopGracefully},
	{"StopWhatIgnoresSignals", (*suite).stopHard},
	{"CrashBackoff", (*suite).crashBackoff},
	{"OutOfMemory", (*suite).outOfMemory},
	{"WrongPort", (*suite).wrongPort},
	{"Loopback", (*suite).loopback},
	{"LivenessLost", (*suite).livenessLost},
	{"Readiness", (*suite).readiness},
	{"CommandNotFound", (*suite).commandNotFound},
	{"Logs", (*suite).logs},
	{"LongLine", (*suite).longLine},
	{"Usage", (*suite).usage},
	{"Task", (*suite).task},
	{"Exec", (*suite).exec},
	{"Signals", (*suite).signals},
	{"Program", (*suite).program},
	{"Dial", (*suite).dial},
	{"Security", (*suite).security},
	{"RootRefused", (*suite).rootRefused},
	{"RootWithoutCapabilities", (*suite).rootWithoutCapabilities},
	{"PullCredentials", (*suite).pullCredentials},
	{"Files", (*suite).files},
	{"VolumeInUse", (*suite).volumeInUse},
	{"VolumeRefused", (*suite).volumeRefused},
	{"AddressAgain", (*suite).addressAgain},
	{"Insufficient", (*suite).insufficient},
	{"NotFound", (*suite).notFound},
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// workload is one that serves on its port; change may alter it.
func (s *suite) workload(change func(*node.Workload)) node.Workload {
	w := node.Workload{
		ID: uuid.NewString(), Image: s.img, PullUser: pullUser, PullSecret: pullSecret, MemoryMB: 64, DiskMB: 512, Ports: []int{port},
		Labels:   map[string]string{"app": "a1", "process": "web", "index": "7"},
		Env:      map[string]string{"PORT": strconv.Itoa(port), "SECRET": "s3cret"},
		Liveness: node.Check{Type: "port"},
	}
	if change != nil {
		change(&w)
	}
	return w
}

// start starts a workload and removes it when the test ends.
func (s *suite) start(t *testing.T, change func(*node.Workload)) node.Workload {
	t.Helper()
	w := s.workload(change)
	if err := s.e.Start(testContext(t), w); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.e.Stop(ctx, w.ID, -1); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return w
}

// until waits for a status of the workload, woken by Changed alone.
func (s *suite) until(t *testing.T, id, what string, ok func(node.Status) bool) node.Status {
	t.Helper()
	give := time.After(patience)
	for {
		changed := s.changed()
		st, found := s.status(t, id)
		if found && ok(st) {
			return st
		}
		select {
		case <-changed:
		case <-give:
			t.Fatalf("waited in vain until %s; it is %+v", what, st)
		}
	}
}

func (s *suite) status(t *testing.T, id string) (node.Status, bool) {
	t.Helper()
	all, err := s.e.List(testContext(t))
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, st := range all {
		if st.ID == id {
			return st, true
		}
	}
	return node.Status{}, false
}

func (s *suite) untilReady(t *testing.T, id string) node.Status {
	t.Helper()
	return s.until(t, id, "it is ready", func(st node.Status) bool { return st.State == node.Running && st.Ready })
}

// get asks the app itself.
func get(t *testing.T, st node.Status, path string, query url.Values) string {
	t.Helper()
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(st.Address, strconv.Itoa(port)), Path: path, RawQuery: query.Encode()}
	res, err := http.Get(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sameLabels(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("labels = %v, want %v", got, want)
	}
}
