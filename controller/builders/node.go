package builders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/buildpack/shelf"
	"github.com/cupola-paas/cupola/buildpack/system"
	"github.com/cupola-paas/cupola/controller/staging"
)

// Place is the network of builds on a machine; *docker.Docker is one.
type Place interface {
	StagingNetwork() string
	PlaceBuild(id, egress string) (address string, release func(), err error)
}

// NodeOptions say where a Node keeps things and what it stands on. All but DockerHost are required.
type NodeOptions struct {
	Dir                      string
	DockerHost, Installation string
	Place                    Place
	// Image is how Docker on this machine names an image of the platform's registry, and who it is there.
	Image func(name string) (ref, user, secret string)
	// Door is where the platform's registry is reached from here (https://host:port), by Transport.
	Door      *url.URL
	Transport http.RoundTripper
	Log       *slog.Logger
}

// Node builds on this machine for a platform elsewhere.
type Node struct {
	o       NodeOptions
	version string
	builder *buildpack.Builder
	shelf   *shelf.Shelf
	work    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running map[string]*job
	image   string // of the last build
}

// job is a build under way.
type job struct {
	cancel context.CancelCauseFunc
	lease  *time.Timer // ends the build unless the controller asks for it again and again
	ended  chan struct{}
}

// OpenNode lays out the programs and folders. Docker is not asked for anything yet.
func OpenNode(o NodeOptions) (*Node, error) {
	version, err := Version()
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	program, err := embedded.Buildpack()
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, version: version, running: map[string]*job{}, shelf: &shelf.Shelf{Dir: filepath.Join(o.Dir, "uploaded")}}
	buildpacks := filepath.Join(o.Dir, "buildpacks")
	if err := system.Install(buildpacks, program); err != nil {
		return nil, fmt.Errorf("lay out our buildpacks: %w", err)
	}
	n.builder, err = buildpack.New(buildpack.Options{
		Dir: o.Dir, DockerHost: o.DockerHost, Installation: o.Installation, Network: o.Place.StagingNetwork(), Buildpacks: buildpacks,
	})
	if err != nil {
		return nil, err
	}
	return n, n.clear()
}

func (n *Node) dir(name string) string { return filepath.Join(n.o.Dir, name) }

// clear empties the folders of what builds of an earlier process had.
func (n *Node) clear() error {
	var errs []error
	for _, name := range []string{"sources", "spool"} {
		errs = append(errs, os.RemoveAll(n.dir(name)), os.MkdirAll(n.dir(name), 0o700))
	}
	return errors.Join(errs...)
}

// Run removes what builds of an earlier process left, and when ctx ends it ends builds and waits for that.
func (n *Node) Run(ctx context.Context) error {
	if err := n.builder.Sweep(ctx, func(string) bool { return false }); err != nil {
		n.o.Log.Warn("leftovers of earlier builds not removed", "error", err)
	}
	<-ctx.Done()
	n.mu.Lock()
	n.closed = true
	for _, j := range n.running {
		j.cancel(errors.New("the machine of the build stops"))
	}
	n.mu.Unlock()
	n.work.Wait()
	return n.builder.Close()
}

// Handler serves the controller; who else asks is kept out by the agent.
func (n *Node) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET "+statePath, n.state)
	m.HandleFunc("POST "+uploadPath, n.missing)
	m.HandleFunc("PUT "+uploadPath+"{key}", n.takeUpload)
	m.HandleFunc("GET "+cachePath, n.caches)
	m.HandleFunc("DELETE "+cachePath+"/{id}", n.deleteCache)
	m.HandleFunc("POST "+runPath+"{id}", n.run)
	m.HandleFunc("POST "+runPath+"{id}/lease", n.renew)
	return m
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = failureOf(err)
	}
	_ = json.NewEncoder(w).Encode(v) // a client that has left needs no answer
}

func (n *Node) state(w http.ResponseWriter, r *http.Request) {
	ids, err := n.builder.Caches()
	s := state{Version: n.version}
	for _, id := range ids {
		s.Cached = s.Cached || id == r.URL.Query().Get("cache")
	}
	answer(w, s, err)
}

func (n *Node) caches(w http.ResponseWriter, _ *http.Request) {
	ids, err := n.builder.Caches()
	answer(w, ids, err)
}

func (n *Node) deleteCache(w http.ResponseWriter, r *http.Request) {
	answer(w, struct{}{}, n.builder.DeleteCache(r.PathValue("id")))
}

// missing says which uploaded buildpacks are not here.
func (n *Node) missing(w http.ResponseWriter, r *http.Request) {
	var keys, missing []string
	if err := json.NewDecoder(io.LimitReader(r.Body, maxOrder)).Decode(&keys); err != nil {
		answer(w, nil, err)
		return
	}
	for _, key := range keys {
		if keyGrammar.MatchString(key) && !n.shelf.Has(key) {
			missing = append(missing, key)
		}
	}
	answer(w, missing, nil)
}

func (n *Node) takeUpload(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	if !keyGrammar.MatchString(key) {
		answer(w, nil, fmt.Errorf("%q is no key of a buildpack", key))
		return
	}
	f, err := n.spool(r.Body)
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer f.drop()
	lifecycle, _, _ := strings.Cut(key, "-")
	_, release, err := n.shelf.Take(r.Context(), key, func(ctx context.Context, dir string) error {
		return UnpackUpload(ctx, f.File, lifecycle, dir)
	})
	if err == nil {
		release()
	}
	answer(w, struct{}{}, err)
}

// spooled is a file for as long as it is needed.
type spooled struct{ *os.File }

func (s spooled) drop() {
	s.Close()           //nolint:errcheck // it is only read
	os.Remove(s.Name()) //nolint:errcheck // the next start removes it
}

func (n *Node) spool(r io.Reader) (spooled, error) {
	f, err := os.CreateTemp(n.dir("spool"), "bits-")
	if err != nil {
		return spooled{}, err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		spooled{f}.drop()
		return spooled{}, err
	}
	return spooled{f}, nil
}

// renew goes on with a build.
func (n *Node) renew(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if j := n.running[r.PathValue("id")]; j != nil {
		j.lease.Reset(silence)
	}
	answer(w, struct{}{}, nil)
}

// begin makes the job of a build. One of the same build, whose controller is gone, ends before.
func (n *Node) begin(ctx context.Context, id string) (context.Context, func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	for {
		n.mu.Lock()
		old := n.running[id]
		if old == nil {
			break
		}
		n.mu.Unlock()
		old.cancel(errors.New("the build was begun again"))
		select {
		case <-old.ended:
		case <-ctx.Done():
			cancel(nil)
			return nil, nil, context.Cause(ctx)
		}
	}
	defer n.mu.Unlock()
	if n.closed {
		cancel(nil)
		return nil, nil, errors.New("this machine stops")
	}
	j := &job{cancel: cancel, ended: make(chan struct{})}
	j.lease = time.AfterFunc(silence, func() { cancel(errors.New("the controller does not ask for the build any more")) })
	n.running[id] = j
	n.work.Add(1)
	return ctx, func() {
		cancel(nil)
		j.lease.Stop()
		n.mu.Lock()
		delete(n.running, id)
		n.mu.Unlock()
		close(j.ended)
		n.work.Done()
	}, nil
}

func (n *Node) run(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(r.Body)
	if err == nil && (o.Version != n.version || o.Request.ID != r.PathValue("id")) {
		err = errors.New("the order is for another version")
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	bits, err := n.spool(r.Body) // the answer begins when all was read
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer bits.drop()
	ctx, end, err := n.begin(r.Context(), o.Request.ID)
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer end()
	out := newStream(w)
	result, err := n.build(ctx, o, bits, out)
	out.end(result, err)
}

// build does what the controller does on its own machine.
func (n *Node) build(ctx context.Context, o *order, bits spooled, out io.Writer) (*buildpack.Result, error) {
	req, release, err := n.request(ctx, o)
	defer release()
	if err != nil {
		return nil, err
	}
	req.Log = out
	req.Source = filepath.Join(n.dir("sources"), req.ID)
	defer os.RemoveAll(req.Source)
	if err := os.RemoveAll(req.Source); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := UnpackBits(ctx, bits.File, req.Source); err != nil {
		return nil, fmt.Errorf("unpack the package: %w", err)
	}
	unpacked := time.Since(began)
	address, leave, err := n.o.Place.PlaceBuild(req.ID, o.Egress)
	if err != nil {
		return nil, err
	}
	defer leave()
	req.Address = address
	result, err := n.builder.Build(ctx, *req)
	n.forget(req)
	if err != nil {
		return nil, err
	}
	result.Phases = append([]buildpack.Phase{{Name: "unpack", Duration: unpacked}}, result.Phases...)
	return result, nil
}

// request is the order in the builder's words. release must be called when the build has ended, also after an error.
func (n *Node) request(ctx context.Context, o *order) (req *buildpack.Request, release func(), err error) {
	r := o.Request
	req = &buildpack.Request{
		ID: r.ID, CacheID: r.CacheID, Choices: r.Choices, Named: r.Named, Env: r.Env, Files: r.Files, BuildImage: r.BuildImage,
		RunImage: r.RunImage, Repository: r.Repository, Previous: r.Previous, Limits: r.Limits, Site: n.site(o),
	}
	var taken []func()
	release = func() {
		for _, give := range taken {
			give()
		}
		keep := map[string]bool{}
		for _, key := range o.Keep {
			keep[key] = true
		}
		if err := n.shelf.Sweep(keep); err != nil {
			n.o.Log.Warn("unpacked buildpacks not removed", "error", err)
		}
	}
	for i, u := range o.Uploads {
		if u.Key == "" || i >= len(req.Choices) {
			continue
		}
		if !keyGrammar.MatchString(u.Key) {
			return nil, release, fmt.Errorf("%q is no key of a buildpack", u.Key)
		}
		dir, give, err := n.shelf.Take(ctx, u.Key, func(context.Context, string) error { return errors.New("its files did not come") })
		if err != nil {
			return nil, release, fmt.Errorf("buildpack %s: %w", req.Choices[i].Name, err)
		}
		taken = append(taken, give)
		if err := staging.Unpacked(&req.Choices[i], u.Lifecycle, dir); err != nil {
			return nil, release, err
		}
	}
	return req, release, nil
}

// site is the platform as it is seen from this machine.
func (n *Node) site(o *order) *buildpack.Site {
	return &buildpack.Site{
		Registry: buildpack.Registry{Host: o.Host, Username: o.User, Password: o.Token, Transport: &registryWay{n, o}},
		BuildEnv: o.Env, CABundle: o.CA, Foreign: o.Foreign,
		Pull: func(reference string) (local, user, password string) { return n.local(o.Host, reference) },
	}
}

// local is how Docker here names an image, and who pulls it. host is the platform's registry in references.
func (n *Node) local(host, reference string) (local, user, password string) {
	if name, ours := strings.CutPrefix(reference, host+"/"); ours {
		return n.o.Image(name)
	}
	return reference, "", ""
}

// forget removes the build images before this one from Docker: nobody else knows of them.
func (n *Node) forget(req *buildpack.Request) {
	local, _, _ := req.Site.Pull(req.BuildImage)
	n.mu.Lock()
	known := n.image == local
	n.image = local
	n.mu.Unlock()
	if known {
		return
	}
	if err := n.builder.RemoveOtherImages(context.Background(), local); err != nil {
		n.o.Log.Warn("older build images not removed", "error", err)
	}
}

// registryWay leads requests to the platform's registry through the door, as who may push this one build. Others go where
// they say.
type registryWay struct {
	n *Node
	o *order
}

// RoundTrip implements http.RoundTripper.
func (w *registryWay) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != w.o.Host {
		return http.DefaultTransport.RoundTrip(r)
	}
	through := r.Clone(r.Context())
	through.URL.Scheme, through.URL.Host, through.Host = w.n.o.Door.Scheme, w.n.o.Door.Host, w.n.o.Door.Host
	// Reading asks for no password, so that the client of the registry would send none where it writes.
	through.SetBasicAuth(w.o.User, w.o.Token)
	res, err := w.n.o.Transport.RoundTrip(through)
	if err == nil {
		res.Request = r // addresses in the answer are relative to it
	}
	return res, err
}
