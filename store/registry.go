package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/sirupsen/logrus"
)

// registryUser is the name with which the registry's password goes.
const registryUser = "cupola"

// PullUser is the registry's user that only reads: nodes have its password.
const PullUser = "cupola-pull"

// RegistryOptions say where a registry keeps its images and where it listens.
type RegistryOptions struct {
	// Dir holds the images. It is made when it does not exist.
	Dir string
	// Addr is host:port on a loopback address. Port 0 is any free one.
	Addr string
	// Password is asked for, with the user "cupola", at every request.
	Password string
	// PullPassword is taken with the user PullUser, for reading only; empty: there is no such user.
	PullPassword string
}

// Registry is an image registry on disk (OCI distribution specification 1.1) that listens on loopback, where
// Docker needs no certificate for it. Its methods may be called from any goroutine.
//
// An image whose manifest was accepted survives a power cut. An upload does not survive Close: it has to
// begin again.
type Registry struct {
	opened   time.Time
	disk     *imageDisk
	images   distribution.Namespace // the same images, without HTTP
	app      *handlers.App
	handler  http.Handler
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when the server has ended
	unused   unusedConns
	pulls    pullTokens
	pushes   pushTokens

	// collectMu is held for reading while a request takes note of what it uses, and for writing while
	// Collect decides about one repository or blob and deletes it.
	collectMu    sync.RWMutex
	collecting   sync.Mutex   // held by Collect, outside of collectMu
	manifestPuts atomic.Int64 // how many manifests were put; goes up while collectMu is held for reading
}

// OpenRegistry opens the registry and begins to serve. A busy port is an error.
func OpenRegistry(o RegistryOptions) (*Registry, error) {
	if o.Password == "" {
		return nil, errors.New("open the registry: a password is needed")
	}
	disk, err := openImageDisk(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the registry: %w", err)
	}
	images, err := storage.NewRegistry(context.Background(), disk, storage.EnableDelete)
	if err != nil {
		return nil, fmt.Errorf("open the registry: %w", err)
	}
	listener, err := listenLoopback(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("open the registry: %w", err)
	}
	quietOnce.Do(quietLogrus)
	r := &Registry{opened: time.Now(), disk: disk, images: images, listener: listener, served: make(chan struct{})}
	r.app = handlers.NewApp(context.Background(), registryConfig(disk))
	r.pulls = newPullTokens()
	r.handler = r.requirePassword(o.Password, o.PullPassword, http.HandlerFunc(r.serveHTTP))
	r.server = &http.Server{
		Handler:           r.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         r.unused.note,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(r.served)
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("the image registry stopped", "address", listener.Addr().String(), "error", err)
		}
	}()
	return r, nil
}

func listenLoopback(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: give host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("address %q: it speaks plain HTTP, give a loopback address such as 127.0.0.1:0", addr)
	}
	return net.Listen("tcp", addr)
}

// registryConfig configures distribution. It runs no purger of its own: Collect does that. The secret that signs the state
// of uploads is new each time, so that no upload goes on over a restart, whose last bytes may not be on the disk.
func registryConfig(disk *imageDisk) *configuration.Configuration {
	c := &configuration.Configuration{Storage: configuration.Storage{
		imageDiskName: configuration.Parameters{imageDiskParameter: disk},
		"delete":      configuration.Parameters{"enabled": true},
		"redirect":    configuration.Parameters{"disable": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	c.HTTP.Secret = rand.Text()
	c.HTTP.RelativeURLs = true
	c.Catalog.MaxEntries = 1000
	return c
}

// Host returns the host and port under which Docker reaches the registry: the first part of an image's name.
func (r *Registry) Host() string { return r.listener.Addr().String() }

// Handler returns what the listener serves, password included, for nodes that come in by another way.
func (r *Registry) Handler() http.Handler { return r.handler }

// Close stops accepting, waits for running requests until ctx ends, cuts off those that are left, and writes to the disk
// what is not there yet.
func (r *Registry) Close(ctx context.Context) error {
	r.unused.close()
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.server.Close())
	}
	<-r.served
	return errors.Join(err, r.app.Shutdown(), r.disk.flush())
}

// unusedConns are connections on which nothing was asked yet. Clients open them to have one more; Server.Shutdown would wait
// five seconds for a first request on each.
type unusedConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
}

func (u *unusedConns) note(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state != http.StateNew {
		delete(u.conns, c)
		return
	}
	if u.conns == nil {
		u.conns = map[net.Conn]struct{}{}
	}
	u.conns[c] = struct{}{}
}

func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
}

// DiskUsage returns the bytes of all files of the registry. It looks at each of them.
func (r *Registry) DiskUsage() (int64, error) { return r.disk.usage("/") }

// requirePassword lets through who knows the password. What is compared is of one length whatever was sent.
func (r *Registry) requirePassword(password, pull string, next http.Handler) http.Handler {
	want, reader := sha256.Sum256([]byte(registryUser+":"+password)), sha256.Sum256([]byte(PullUser+":"+pull))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, pass, _ := req.BasicAuth()
		got := sha256.Sum256([]byte(user + ":" + pass))
		mayRead := pull != "" && subtle.ConstantTimeCompare(got[:], reader[:]) == 1 || user == PullUser && r.pulls.good(pass, time.Now())
		reads := mayRead && (req.Method == http.MethodGet || req.Method == http.MethodHead)
		pushes := user == PushUser && r.pushes.allows(pass, req)
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 && !reads && !pushes {
			w.Header().Set("WWW-Authenticate", `Basic realm="cupola registry"`)
			w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// maxManifestBytes is what distribution accepts too.
const maxManifestBytes = 4 << 20

// serveHTTP takes note of what a request uses, so that Collect leaves it, and lets distribution answer.
func (r *Registry) serveHTTP(w http.ResponseWriter, req *http.Request) {
	r.touch(req)
	if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
		r.putManifest(w, req)
		return
	}
	r.app.ServeHTTP(w, req)
}

var digestInPath = regexp.MustCompile(`/(?:blobs|manifests)/sha256:([0-9a-f]{64})$`)

// touch makes the blobs that a request names young. A client that asks whether a blob is there relies on the answer
// until it puts its manifest.
func (r *Registry) touch(req *http.Request) {
	var sums []string
	if m := digestInPath.FindStringSubmatch(req.URL.Path); m != nil {
		sums = append(sums, m[1])
	}
	query := req.URL.Query()
	for _, name := range []string{"mount", "digest"} {
		if sum, ok := strings.CutPrefix(query.Get(name), "sha256:"); ok && digestInPath.MatchString("/blobs/sha256:"+sum) {
			sums = append(sums, sum)
		}
	}
	r.collectMu.RLock()
	defer r.collectMu.RUnlock()
	for _, sum := range sums {
		r.disk.touch(blobData(sum))
	}
}

// putManifest answers only after everything that was written is on the disk. Collect waits meanwhile, and sees that
// a manifest came. The body is read before, so that a slow client holds up nobody.
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxManifestBytes))
	if err != nil {
		http.Error(w, `{"errors":[{"code":"MANIFEST_INVALID","message":"the manifest can't be read or is larger than 4 MiB"}]}`,
			http.StatusBadRequest)
		return
	}
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	r.collectMu.RLock()
	defer r.collectMu.RUnlock()
	r.manifestPuts.Add(1)
	r.app.ServeHTTP(&flushingWriter{ResponseWriter: w, flush: r.disk.flush}, req)
}

// flushingWriter flushes the disk before it says that something was created.
type flushingWriter struct {
	http.ResponseWriter
	flush  func() error
	failed bool
}

func (w *flushingWriter) WriteHeader(status int) {
	if status == http.StatusCreated {
		if err := w.flush(); err != nil {
			slog.Error("an image could not be written to the disk", "error", err)
			w.failed = true
			w.Header().Del("Content-Length")
			w.ResponseWriter.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w.ResponseWriter, `{"errors":[{"code":"UNKNOWN","message":"the image could not be written to the disk"}]}`)
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *flushingWriter) Write(p []byte) (int, error) {
	if w.failed {
		return len(p), nil // the error was written instead
	}
	return w.ResponseWriter.Write(p)
}

// quietOnce and quietLogrus turn off distribution's log, which is the global one of logrus and knows no other place.
// It has a line for each request and calls "not there" an error; slog gets it at the level of debugging.
var quietOnce sync.Once

func quietLogrus() {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel)
	logrus.AddHook(slogHook{})
}

type slogHook struct{}

func (slogHook) Levels() []logrus.Level {
	return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel, logrus.FatalLevel, logrus.PanicLevel}
}

func (slogHook) Fire(e *logrus.Entry) error {
	slog.Debug("image registry", "message", e.Message, "detail", e.Data["err.detail"])
	return nil
}
