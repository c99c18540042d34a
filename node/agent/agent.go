// Package agent carries an engine's words about the containers of one machine over a connection: Handler serves
// them on a node, Client asks for them in the controller. Both sides prove who they are by certificates (TLS,
// both ways); this package relies on the listener and the configuration that it is given for that, and serves
// nobody on a connection without TLS.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// Local is the engine of the machine; an attached *docker.Docker is one.
type Local interface {
	Stop(ctx context.Context, id string, grace time.Duration) error
	List(ctx context.Context) ([]node.Status, error)
	Changed() <-chan struct{}
	Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error)
	Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error
	Exec(ctx context.Context, id string, e node.Exec) (int, error)
	Dial(ctx context.Context, id, network, address string) (net.Conn, error)
	SetNetwork(ctx context.Context, n node.Network) error
	UpdateFiles(ctx context.Context, id string, files map[string][]byte) error
	Host(ctx context.Context) (node.Host, error)
	Flows(ctx context.Context) ([]node.Flow, error)
	Start(ctx context.Context, w node.Workload) error
	Prepull(ctx context.Context, ref, user, secret string) error
	Volumes(ctx context.Context) ([]node.VolumeStatus, error)
	RemoveVolume(ctx context.Context, id string) error
	Connector
}

const (
	maxBody  = 64 << 20 // of one request: files, or a network of many rules
	maxIDs   = 10_000
	listWait = 30 * time.Second // of a list that waits for a change
	protocol = "cupola-agent"   // that connections are upgraded to
)

// Options say whom an agent serves, and for whom it pulls images.
type Options struct {
	// Controller is the name in the certificate of the one who may ask for everything, and NodeName makes the name in the
	// certificate of a machine, whose workloads may come to those here if the controller has named it.
	Controller string
	NodeName   func(node string) string
	// Clock is the machine's; nil: time.Now.
	Clock func() time.Time
	// Image is where this machine finds an image of the platform's registry, and who it is there.
	Image func(name string) (ref, user, secret string)
	// Builds serves what is below BuildsPath; nil: this machine does not build.
	Builds http.Handler
}

// BuildsPath begins the paths of builds, whose bits may be of any size.
const BuildsPath = "/v1/builds/"

// Agent serves one machine's engine.
type Agent struct {
	o     Options
	local Local

	mu    sync.Mutex
	seq   uint64
	news  chan struct{}   // closed and replaced when seq grows
	nodes map[string]bool // names of machines in their certificates
}

// New makes an agent. Its Run must go on while it serves.
func New(local Local, o Options) *Agent {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Agent{o: o, local: local, seq: 1, news: make(chan struct{})}
}

// Run passes on that something changed, until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.local.Changed():
		}
		a.mu.Lock()
		a.seq++
		close(a.news)
		a.news = make(chan struct{})
		a.mu.Unlock()
	}
}

// Handler serves the agent's requests.
func (a *Agent) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/workloads", a.list)
	m.HandleFunc("POST /v1/workloads/{id}/stop", a.stop)
	m.HandleFunc("POST /v1/usage", a.usage)
	m.HandleFunc("GET /v1/workloads/{id}/logs", a.logs)
	m.HandleFunc("POST /v1/workloads/{id}/exec", a.exec)
	m.HandleFunc("POST /v1/workloads/{id}/dial", a.dial)
	m.HandleFunc("PUT /v1/workloads/{id}/files", a.files)
	m.HandleFunc("PUT /v1/network", a.network)
	m.HandleFunc("POST /v1/workloads/{id}/start", a.start)
	m.HandleFunc("POST /v1/images", a.prepull)
	m.HandleFunc("GET /v1/volumes", a.volumes)
	m.HandleFunc("DELETE /v1/volumes/{id}", a.removeVolume)
	m.HandleFunc("GET /v1/flows", a.flows)
	m.Handle(connectPattern, Bring(a.local))
	if a.o.Builds != nil {
		m.Handle(BuildsPath, a.o.Builds)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.may(r) {
			http.Error(w, "show the certificate of who may ask for that", http.StatusForbidden)
			return
		}
		if !strings.HasPrefix(r.URL.Path, BuildsPath) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		m.ServeHTTP(w, r)
	})
}

// may: the controller may do everything; machines that it has named may bring connections.
func (a *Agent) may(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	for _, name := range r.TLS.PeerCertificates[0].DNSNames {
		if name == a.o.Controller {
			return true
		}
		a.mu.Lock()
		known := a.nodes[name]
		a.mu.Unlock()
		if known && r.URL.Path == connectPath {
			return true
		}
	}
	return false
}

// listing is all that runs, with a number that grows with each change.
type listing struct {
	Seq       uint64        `json:"seq"`
	Workloads []node.Status `json:"workloads"`
	Host      node.Host     `json:"host"`
	Now       time.Time     `json:"now"`
}

// list answers at once if something changed since ?seen, else when it does or after a while.
func (a *Agent) list(w http.ResponseWriter, r *http.Request) {
	seen, _ := strconv.ParseUint(r.URL.Query().Get("seen"), 10, 64)
	a.mu.Lock()
	seq, news := a.seq, a.news
	a.mu.Unlock()
	if seen == seq {
		timer := time.NewTimer(listWait)
		defer timer.Stop()
		select {
		case <-r.Context().Done():
			return
		case <-news:
		case <-timer.C:
		}
		a.mu.Lock()
		seq = a.seq
		a.mu.Unlock()
	}
	all, err := a.local.List(r.Context())
	host, errHost := a.local.Host(r.Context())
	answer(w, listing{seq, all, host, a.o.Clock()}, errors.Join(err, errHost))
}

func (a *Agent) stop(w http.ResponseWriter, r *http.Request) {
	var in stopRequest
	if !read(w, r, &in) {
		return
	}
	answer(w, struct{}{}, a.local.Stop(r.Context(), r.PathValue("id"), in.Grace))
}

type stopRequest struct {
	Grace time.Duration `json:"grace"`
}

func (a *Agent) usage(w http.ResponseWriter, r *http.Request) {
	var ids []string
	if !read(w, r, &ids) {
		return
	}
	if len(ids) > maxIDs {
		answer(w, nil, fmt.Errorf("%d ids at once: give up to %d", len(ids), maxIDs))
		return
	}
	all, err := a.local.Usage(r.Context(), ids...)
	answer(w, all, err)
}

func (a *Agent) files(w http.ResponseWriter, r *http.Request) {
	var files map[string][]byte
	if read(w, r, &files) {
		answer(w, struct{}{}, a.local.UpdateFiles(r.Context(), r.PathValue("id"), files))
	}
}

func (a *Agent) network(w http.ResponseWriter, r *http.Request) {
	var n node.Network
	if !read(w, r, &n) {
		return
	}
	nodes := map[string]bool{}
	for _, guid := range n.Nodes {
		nodes[a.o.NodeName(guid)] = true
	}
	a.mu.Lock()
	a.nodes = nodes
	a.mu.Unlock()
	answer(w, struct{}{}, a.local.SetNetwork(r.Context(), n))
}

// logLine is a line, or the end of a stream.
type logLine struct {
	Line *node.LogLine `json:"line,omitempty"`
	End  *failure      `json:"end,omitempty"`
}

// logs sends lines until the workload is gone or the client leaves; the last message says how it ended.
func (a *Agent) logs(w http.ResponseWriter, r *http.Request) {
	since, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("since"))
	if err != nil {
		answer(w, nil, fmt.Errorf("since: %w", err))
		return
	}
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	err = a.local.Logs(r.Context(), r.PathValue("id"), since, func(l node.LogLine) {
		if out.Encode(logLine{Line: &l}) == nil {
			_ = control.Flush() // an error ends the request's context, and so the stream
		}
	})
	_ = out.Encode(logLine{End: failureOf(err)})
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		answer(w, nil, fmt.Errorf("the request: %w", err))
		return false
	}
	return true
}

// failure is an error on its way. Kind lets the other side tell apart what callers of a node.Engine tell apart.
type failure struct {
	Kind string `json:"kind,omitempty"`
	Text string `json:"text,omitempty"` // empty: no error
}

var kinds = map[string]error{"not found": node.ErrNotFound, "unavailable": node.ErrUnavailable, "insufficient": node.ErrInsufficient, "in use": node.ErrVolumeInUse}

func failureOf(err error) *failure {
	if err == nil {
		return &failure{}
	}
	f := &failure{Text: err.Error()}
	for kind, is := range kinds {
		if errors.Is(err, is) {
			f.Kind = kind
		}
	}
	return f
}

// err is the error again, with its kind.
func (f *failure) err() error {
	if f == nil || f.Text == "" {
		return nil
	}
	if is := kinds[f.Kind]; is != nil {
		return &remoteError{f.Text, is}
	}
	return errors.New(f.Text)
}

// remoteError says what the other side said, and is what it was there.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = failureOf(err)
	}
	_ = json.NewEncoder(w).Encode(v) // a client that has left needs no answer
}
