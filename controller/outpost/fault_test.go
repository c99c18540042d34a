package outpost

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/router"
)

// TestControllerAway: the router serves what it heard last, also after its own restart, and is current again when the controller is.
func TestControllerAway(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("https://a.example.localhost/", 200, "one")
	eventually(t, func() string { return "the table and the certificate are kept" }, func() bool {
		kept, _ := os.ReadDir(filepath.Join(o.dir, certFolder))
		text, _ := os.ReadFile(filepath.Join(o.dir, tableFile))
		return strings.Contains(string(text), "a.example.localhost") && len(kept) > 1
	})
	err := filepath.WalkDir(o.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	for range 10 {
		if status, body, err := o.get("https://a.example.localhost/"); status != 200 || body != "one" {
			t.Fatalf("without the controller: %d %s %v", status, body, err)
		}
	}
	if status, body, err := o.get("http://api.example.com/"); status != 502 || !strings.Contains(body, "not reached") {
		t.Errorf("the API without the controller: %d %s %v", status, body, err)
	}
	o.stop()
	o.start()
	o.answers("https://a.example.localhost/", 200, "one")
	c.start()
	c.set(route("a.example.localhost", app(t, "another")))
	o.answers("https://a.example.localhost/", 200, "another")
}

// TestGap: a router that is told a change of another table than it has asks for the whole.
func TestGap(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "one")
	p := &Outpost{o: Options{Zone: ""}, log: quiet, keep: &keeper{}}
	p.keep.set(kept{Version: "e.4"})
	for name, m := range map[string]routerfeed.Message{
		"a change too far": {Version: "e.6", After: "e.5", Change: &router.Change{}}, "of another process": {Version: "f.5", After: "f.4", Change: &router.Change{}},
		"news of a table": {Version: "e.5"},
	} {
		if err := p.take(&m); err == nil || !strings.Contains(err.Error(), "a change is missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A table that is set anew leaves no change to follow: the stream goes on with all of it.
	c.set(route("a.example.localhost", app(t, "two")), route("b.example.localhost", app(t, "b")))
	o.answers("http://a.example.localhost/", 200, "two")
	o.answers("http://b.example.localhost/", 200, "b")
}

// TestForbidden: a router whose node may not route any more hears nothing, though its stream was open.
func TestForbidden(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "one")
	c.allowed.Store(false)
	eventually(t, func() string { return "the stream ends" }, func() bool { return !c.feed.Routers()["n1"].Connected })
	c.change(router.Change{Set: []router.Route{route("b.example.localhost", app(t, "b"))}})
	if status, _, err := o.get("http://b.example.localhost/"); status != 404 {
		t.Errorf("a change is heard: %d %v", status, err)
	}
}

// wire is a network that can go dead: what is sent then arrives when it is mended, as after a cable was pulled.
type wire struct {
	net.Listener
	to   string
	mu   sync.Mutex
	gate chan struct{} // closed: bytes pass
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, gate: make(chan struct{})}
	close(w.gate)
	t.Cleanup(func() { w.mend(); l.Close() })
	go w.serve()
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
	default:
		close(w.gate)
	}
}

func (w *wire) wait() {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	<-gate
}

func (w *wire) serve() {
	for {
		a, err := w.Accept()
		if err != nil {
			return
		}
		go func() {
			w.wait()
			b, err := net.Dial("tcp", w.to)
			if err != nil {
				a.Close()
				return
			}
			go w.carry(a, b)
			w.carry(b, a)
		}()
	}
}

func (w *wire) carry(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		w.wait()
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestCutOff: a router whose network to the controller is dead serves on, notices, and is current when it is mended; drains do not wait
// for it for long.
func TestCutOff(t *testing.T) {
	c := newController(t)
	c.set(route("a.example.localhost", app(t, "one")), route("c.example.localhost", app(t, "leaving")))
	w := newWire(t, c.addr)
	o := c.outpostAt(&outside{c: c, dir: t.TempDir(), door: w.Addr().String(), deaf: 7 * time.Second})
	o.answers("https://a.example.localhost/", 200, "one")
	w.cut()
	c.change(router.Change{Set: []router.Route{route("b.example.localhost", app(t, "two"))}, Remove: []router.Name{{Host: "c.example.localhost"}}})
	for range 10 {
		if status, body, err := o.get("https://a.example.localhost/"); status != 200 || body != "one" {
			t.Fatalf("cut off: %d %s %v", status, body, err)
		}
	}
	if err := c.feed.WaitDrained(t.Context(), "leaving"); err != nil {
		t.Error(err)
	}
	if c.feed.Routers()["n1"].Current {
		t.Error("a router that is cut off is said to be current")
	}
	w.mend()
	o.answers("https://b.example.localhost/", 200, "two")
	eventually(t, func() string { return fmt.Sprint("the router is current: ", c.feed.Routers()) }, func() bool { return c.feed.Routers()["n1"].Current })
}

// TestStop: requests in flight when the router is told to end are answered, and their lines arrive.
func TestStop(t *testing.T) {
	c := newController(t)
	began, finish := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-finish
		}
		io.WriteString(w, "done")
	}))
	defer s.Close()
	c.set(route("a.example.localhost", router.Endpoint{Address: s.Listener.Addr().String(), InstanceID: "i", AppGUID: "app"}))
	o := c.outpost(t.TempDir())
	o.answers("http://a.example.localhost/", 200, "done")
	answered := make(chan string, 1)
	go func() {
		_, body, err := o.get("http://a.example.localhost/slow")
		answered <- fmt.Sprint(body, err)
	}()
	<-began
	stopped := make(chan struct{})
	go func() { o.stop(); close(stopped) }()
	eventually(t, func() string { return "the port is closed" }, func() bool { _, _, err := o.get("http://a.example.localhost/"); return err != nil })
	close(finish)
	if got := <-answered; got != "done<nil>" {
		t.Errorf("the request in flight ended with %s", got)
	}
	<-stopped
	if !slices.ContainsFunc(c.logged(), func(a router.Access) bool { return a.URI == "/slow" && a.Status == 200 }) {
		t.Error("the line of the last request was not told")
	}
}
