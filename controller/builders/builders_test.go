package builders

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/controller/staging"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// engine is a cluster of the test's machines, where room is kept as long as there is memory.
type engine struct {
	mu       sync.Mutex
	machines []node.Machine
	kept     map[string]node.Reservation
	moved    chan struct{}
	refuse   map[string]error // by machine
	asked    []string         // to fetch: machine and image
}

// unused are what no build asks for.
type unused interface {
	SetEligible(ctx context.Context, id string, eligible bool) error
	SetLabels(ctx context.Context, id string, labels map[string]*string) error
	RemoveMachine(ctx context.Context, id string) error
}

type cluster struct {
	unused
	*engine
}

func (e cluster) Machines(context.Context) ([]node.Machine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []node.Machine
	for _, m := range e.machines {
		for _, r := range e.kept {
			if r.Machine == m.ID {
				m.Builds++
				m.ReservedMB += r.MemoryMB
			}
		}
		out = append(out, m)
	}
	return out, nil
}

func (e cluster) Reserve(_ context.Context, r node.Reservation) (<-chan struct{}, error) {
	all, _ := e.Machines(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range all {
		if m.ID != r.Machine {
			continue
		}
		if err := e.refuse[m.ID]; err != nil {
			return nil, err
		}
		if m.MemoryMB-m.ReservedMB < r.MemoryMB {
			return nil, node.ErrInsufficient
		}
	}
	e.kept[r.ID] = r
	return make(chan struct{}), nil
}

func (e cluster) Unreserve(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.kept, id)
	close(e.moved)
	e.moved = make(chan struct{})
	return nil
}

func (e cluster) Prepull(_ context.Context, machine, image string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, machine+" "+image)
	return e.refuse[machine]
}

func (e cluster) Reserved() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.kept {
		ids = append(ids, id)
	}
	return ids
}

func (e cluster) Moved() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

// world is a Cluster whose machines are all served by one handler.
type world struct {
	*Cluster
	t      *testing.T
	engine cluster
	serve  http.Handler
	blobs  string
	cached string // the machine that says that it has the cache
	tokens int    // passwords that are good now
}

func (w *world) Open(sum string) (*os.File, error) { return os.Open(filepath.Join(w.blobs, sum)) }

func newWorld(t *testing.T, machines ...node.Machine) *world {
	t.Helper()
	w := &world{t: t, blobs: t.TempDir(), engine: cluster{engine: &engine{machines: machines, kept: map[string]node.Reservation{}, moved: make(chan struct{}), refuse: map[string]error{}}}}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.serve.ServeHTTP(out, r) }))
	t.Cleanup(srv.Close)
	var err error
	w.Cluster, err = NewCluster(ClusterOptions{
		Engine: w.engine, Host: "127.0.0.1:1", PushUser: "pusher", Blobs: w, Log: slog.New(slog.DiscardHandler),
		Reach: func(machine string) (string, *tls.Config, error) {
			return srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: machine}, nil
		},
		Push:   func(string) (string, func()) { w.tokens++; return "example-token", func() { w.tokens-- } },
		Holder: func(context.Context) (string, error) { return "127.0.0.1:1/builds/holder@sha256:1", nil },
	})
	if err != nil {
		t.Skip(err) // the embedded programs were not built
	}
	w.serve = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer(out, state{Version: w.version, Cached: r.TLS.ServerName == w.cached}, nil)
	})
	return w
}

func machine(name string, memory int) node.Machine {
	return node.Machine{ID: name, Name: name, Address: "192.0.2.1", Up: true, Eligible: true, Agent: true, MemoryMB: memory, Cores: 4, Labels: map[string]string{Label: "true"}}
}

func ask(id string) staging.Ask {
	return staging.Ask{ID: id, CacheID: "cache", Limits: buildpack.Limits{MemoryMB: 1000, DiskMB: 100}}
}

// seat asks for one and returns the machine's name, or what was said instead.
func (w *world) seat(a staging.Ask) (staging.Seat, string) {
	w.t.Helper()
	said := ""
	s, err := w.Seat(w.t.Context(), a, func(text string) { said = text })
	if err != nil {
		return nil, err.Error()
	}
	if s == nil {
		return nil, said
	}
	return s, s.Machine()
}

func TestChoiceOfMachine(t *testing.T) {
	plain, off, down, drained, full := machine("plain", 9000), machine("off", 9000), machine("down", 9000), machine("drained", 9000), machine("full", 9000)
	plain.Labels, off.Labels = nil, map[string]string{Label: "false"}
	down.Up, drained.Eligible, full.DiskFull = false, false, true
	segment := machine("segment", 4000)
	segment.Pool = "blue"
	busy := machine("busy", 8000)
	busy.ReservedMB = 6500
	for _, c := range []struct {
		name         string
		machines     []node.Machine
		cached, pool string
		avoid        []string
		want         string
	}{
		{"none builds", []node.Machine{plain, off, down, drained, full}, "", "", nil, "Building on the server's machine: no node with the label builder is ready"},
		{"most free memory", []node.Machine{busy, machine("free", 4000)}, "", "", nil, "free"},
		{"the cache", []node.Machine{busy, machine("free", 4000)}, "busy", "", nil, "busy"},
		{"too large", []node.Machine{machine("small", 900)}, "", "", nil, "no machine that builds has the 1000 MB of memory"},
		{"its own segment", []node.Machine{machine("free", 9000), segment}, "", "blue", nil, "segment"},
		{"another's segment", []node.Machine{segment}, "", "", nil, "Building on the server's machine: no node with the label builder is ready"},
		{"a segment without builders", []node.Machine{machine("free", 9000)}, "", "blue", nil, "free"},
		{"one that failed", []node.Machine{machine("free", 9000), busy}, "", "", []string{"free"}, "busy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.machines...)
			w.cached = c.cached
			a := ask("b1")
			a.Pool, a.Avoid = c.pool, c.avoid
			if _, got := w.seat(a); !strings.Contains(got, c.want) {
				t.Errorf("built on %q, want %q", got, c.want)
			}
		})
	}
}

// TestRefusals: what a machine cannot do now is done on the next, and one of another version builds nothing.
func TestRefusals(t *testing.T) {
	w := newWorld(t, machine("one", 4000), machine("two", 9000))
	w.engine.refuse["two"] = errors.New("its image cannot be pulled")
	if _, got := w.seat(ask("b1")); got != "one" {
		t.Errorf("with a machine that refuses, built on %q, want one", got)
	}
	w.serve = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { answer(out, state{Version: "other"}, nil) })
	if _, got := w.seat(ask("b2")); !strings.Contains(got, "runs another version of cupola") {
		t.Errorf("with machines of another version: %q", got)
	}
}

// TestWaiting: a build that does not fit waits, says so, and goes on when another has ended. No machine gets more than it
// bears.
func TestWaiting(t *testing.T) {
	w := newWorld(t, machine("one", 2500))
	if n := w.Places(ask("").Limits); n != 1 {
		t.Fatalf("places = %d, want one: half of the memory is for apps", n)
	}
	first, got := w.seat(ask("b1"))
	if got != "one" {
		t.Fatalf("first build on %q", got)
	}
	said, done := make(chan string, 8), make(chan staging.Seat, 1)
	go func() {
		s, err := w.Seat(t.Context(), ask("b2"), func(text string) { said <- text })
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	if text := <-said; text != "Waiting: all machines that build have as many builds as they bear" {
		t.Errorf("it waits with %q", text)
	}
	first.Release(t.Context())
	second := <-done
	second.Release(t.Context())
	w.engine.machines[0].ReservedMB = 2000
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Seat(ctx, ask("b3"), func(text string) {
		if !strings.Contains(text, "needs 1000 MB of memory and 100 MB of disk that no app has (one has 500 MB free)") {
			t.Errorf("without room it waits with %q", text)
		}
		cancel()
	})
	if known := (*buildpack.Error)(nil); !errors.As(err, &known) || known.Code != buildpack.Canceled {
		t.Errorf("a build that is cancelled while it waits: %v", err)
	}
}

// log is a writer that tests can wait for.
type log struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

// shipment is a build of a package with one uploaded buildpack.
func (w *world) shipment(out *log) staging.Shipment {
	w.t.Helper()
	sum := strings.Repeat("a", 64)
	for name, content := range map[string]string{"source": "the package", sum: "the buildpack"} {
		if err := os.WriteFile(filepath.Join(w.blobs, name), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return staging.Shipment{
		Request: buildpack.Request{ID: "b1", Repository: "127.0.0.1:1/droplets/a1", Choices: []buildpack.Choice{{Name: "mine"}}, Env: map[string]string{"KEY": "example-secret"}, Log: out},
		Package: &store.Package{SHA256: "source"}, Uploads: []*store.Buildpack{{Lifecycle: "buildpack", SHA256: sum}}, Egress: "staging/s1",
	}
}

// TestShipment: all that a build needs arrives, its log comes back whole, and its end.
func TestShipment(t *testing.T) {
	for _, c := range []struct {
		name string
		end  message
		code buildpack.Code
		lost bool
	}{
		{"a droplet", message{Result: &buildpack.Result{Digest: "sha256:d"}}, "", false},
		{"out of memory", message{Failure: &failure{Code: buildpack.OutOfMemory, Message: "too much"}}, buildpack.OutOfMemory, false},
		{"no Docker", message{Failure: &failure{Code: buildpack.Internal, Message: "Docker does not answer"}}, buildpack.Internal, true},
		{"it stops", message{Failure: &failure{Code: buildpack.Canceled}}, buildpack.Canceled, true},
		{"power cut", message{}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, machine("one", 4000))
			s, _ := w.seat(ask("b1"))
			key := "buildpack-" + strings.Repeat("a", 64)
			m := http.NewServeMux()
			m.HandleFunc("POST "+uploadPath, func(out http.ResponseWriter, r *http.Request) { answer(out, []string{key}, nil) })
			var uploaded string
			m.HandleFunc("PUT "+uploadPath+key, func(out http.ResponseWriter, r *http.Request) {
				var b bytes.Buffer
				b.ReadFrom(r.Body)
				uploaded = b.String()
				answer(out, struct{}{}, nil)
			})
			m.HandleFunc("POST "+runPath+"b1", func(out http.ResponseWriter, r *http.Request) {
				o, err := readOrder(r.Body)
				if err != nil {
					t.Error(err)
					return
				}
				var bits bytes.Buffer
				bits.ReadFrom(r.Body)
				if o.Token != "example-token" || o.User != "pusher" || o.Request.Env["KEY"] != "example-secret" || o.Egress != "staging/s1" || o.Uploads[0].Key != key || bits.String() != "the package" {
					t.Errorf("the order is %+v with %q", o, bits.String())
				}
				if w.tokens != 1 {
					t.Errorf("%d passwords are good during a build, want 1", w.tokens)
				}
				lines := newStream(out)
				lines.Write([]byte("one\n"))
				lines.Write([]byte("two\n"))
				if c.end.Result == nil && c.end.Failure == nil {
					close(lines.ended)
					lines.work.Wait()
					panic(http.ErrAbortHandler)
				}
				lines.send(c.end)
				close(lines.ended)
				lines.work.Wait()
			})
			w.serve = m
			out := &log{}
			result, err := s.Build(t.Context(), w.shipment(out))
			known := (*buildpack.Error)(nil)
			errors.As(err, &known)
			switch {
			case out.String() != "one\ntwo\n":
				t.Errorf("the log is %q", out.String())
			case uploaded != "the buildpack":
				t.Errorf("the buildpack is %q", uploaded)
			case w.tokens != 0:
				t.Error("the password is good after the build")
			case errors.Is(err, staging.ErrMachineLost) != c.lost:
				t.Errorf("the end is %v", err)
			case c.code == "" && !c.lost && (err != nil || result.Digest != "sha256:d"):
				t.Errorf("result %v, %v", result, err)
			case c.code != "" && c.code != buildpack.Canceled && (known == nil || known.Code != c.code):
				t.Errorf("error %v, want the code %q", err, c.code)
			}
		})
	}
}

func TestCachesAreSweptEverywhere(t *testing.T) {
	w := newWorld(t, machine("one", 4000))
	var deleted []string
	m := http.NewServeMux()
	m.HandleFunc("GET "+cachePath, func(out http.ResponseWriter, r *http.Request) { answer(out, []string{"keep", "drop"}, nil) })
	m.HandleFunc("DELETE "+cachePath+"/{id}", func(out http.ResponseWriter, r *http.Request) {
		deleted = append(deleted, r.PathValue("id"))
		answer(out, struct{}{}, nil)
	})
	w.serve = m
	if err := w.Caches(t.Context(), func(id string) bool { return id == "keep" }); err != nil || len(deleted) != 1 || deleted[0] != "drop" {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	w.serve = http.NotFoundHandler()
	if err := w.Caches(t.Context(), func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), "node one") {
		t.Errorf("a machine that does not answer: %v", err)
	}
}

// FuzzOrder: what is no order is refused, and what is one comes back as it was.
func FuzzOrder(f *testing.F) {
	good, err := (&order{Version: "1", Egress: "e"}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readOrder(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := o.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := readOrder(bytes.NewReader(again))
		if err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(o)
		y, _ := json.Marshal(back)
		if !bytes.Equal(x, y) {
			t.Errorf("%s came back as %s", x, y)
		}
	})
}
