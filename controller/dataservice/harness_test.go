package dataservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/images"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/store"
)

// brokerPassword is obviously an example.
const brokerPassword = "example-password"

// platform is the broker with all that is behind it, on the Docker of this machine.
type platform struct {
	t            testing.TB
	installation string
	registry     *httptest.Server
	db           *store.DB
	folder       string // of an operator's catalogue files
	backups      string // folder
	spool        string // folder
	keeper       []byte
	objects      []byte
	patience     time.Duration
	measureEvery time.Duration
	images       func(*images.Maker) dataservice.Images // nil: as they are
	out          io.Writer                              // what the loop logs
	vault        vault.Vault                            // nil: the folder
	every        time.Duration                          // between base backups; zero: there are none

	engine  *docker.Docker
	manager *dataservice.Manager
	server  *httptest.Server
	stop    func()
}

// newPlatform starts one; all that it leaves in Docker is removed when the test ends.
func newPlatform(t testing.TB) *platform {
	t.Helper()
	needDocker(t)
	program, err := embedded.Keeper()
	if err != nil {
		t.Skipf("%v", err)
	}
	objects, err := embedded.Objects()
	if err != nil {
		t.Skipf("%v", err)
	}
	p := &platform{
		t: t, objects: objects, installation: "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12], keeper: program, folder: t.TempDir(), backups: t.TempDir(), spool: t.TempDir(), out: io.Discard,
		registry: httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))),
	}
	t.Cleanup(p.registry.Close)
	if p.db, err = store.Open(store.Options{Dir: t.TempDir(), NoSync: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.db.Close() })
	t.Cleanup(p.purge)
	return p
}

func needDocker(t testing.TB) {
	t.Helper()
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		defer api.Close()
		_, err = api.Ping(context.Background())
	}
	if err != nil {
		t.Skipf("Docker cannot be reached: %v", err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// cacheDir keeps the images between runs.
func cacheDir() string {
	if dir := os.Getenv("CUPOLA_STACK_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/cupola/stack"
}

// start opens the engine and runs loop and broker, as a server's start does.
func (p *platform) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	host := strings.TrimPrefix(p.registry.URL, "http://")
	p.engine, err = docker.Open(ctx, docker.Options{Installation: p.installation, ImagePrefix: host + "/", Logger: quiet()})
	if err != nil {
		p.t.Fatal(err)
	}
	issuer, err := identity.New(p.db, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	catalogue, err := dataservice.ReadCatalogue(p.folder)
	if err != nil {
		p.t.Fatal(err)
	}
	kept := p.vault
	if kept == nil {
		kept = vault.Folder{Dir: p.backups}
	}
	log := slog.New(slog.NewTextHandler(p.out, nil))
	maker := &images.Maker{Stack: stack.Options{CacheDir: cacheDir()}, Registry: stack.Registry{Host: host}, Keeper: p.keeper, Programs: map[string][]byte{"objects": p.objects}}
	var makes dataservice.Images = maker
	if p.images != nil {
		makes = p.images(maker)
	}
	p.manager = &dataservice.Manager{
		DB: p.db, Engine: p.engine, Issuer: issuer, Catalogue: catalogue, Log: log, Vault: kept, Spool: vault.Folder{Dir: p.spool}, MeasureEvery: p.measureEvery, BackupEvery: p.every, FirstBase: time.Nanosecond,
		Images:   makes,
		Registry: dataservice.Registry{Host: host},
	}
	broker := &dataservice.Broker{Manager: p.manager, Username: "platform", Password: brokerPassword, Patience: p.patience, Log: log}
	p.server = httptest.NewServer(broker.Handler())
	var work sync.WaitGroup
	work.Go(func() { _ = p.manager.Run(ctx) })
	p.stop = func() {
		p.server.Close()
		cancel()
		work.Wait()
		if err := p.engine.Close(); err != nil {
			p.t.Error(err)
		}
		p.stop = func() {}
	}
}

// purge removes what is left in Docker.
func (p *platform) purge() {
	if p.stop != nil {
		p.stop()
	}
	ctx := context.Background()
	e, err := docker.Open(ctx, docker.Options{Installation: p.installation, ImagePrefix: strings.TrimPrefix(p.registry.URL, "http://") + "/", Logger: quiet()})
	if err != nil {
		p.t.Error(err)
		return
	}
	defer e.Close()
	if err := e.Purge(ctx); err != nil {
		p.t.Error(err)
	}
	volumes, err := e.Volumes(ctx)
	for _, v := range volumes {
		e.Close()
		err = errors.Join(err, removeVolume(p.installation, v.ID))
	}
	_, errImages := e.RemoveImages(ctx, func(string) bool { return false })
	if err := errors.Join(err, errImages); err != nil {
		p.t.Error(err)
	}
}

// removeVolume does so with an engine that has never seen a workload.
func removeVolume(installation, id string) error {
	ctx := context.Background()
	e, err := docker.Open(ctx, docker.Options{Installation: installation, Logger: quiet()})
	if err != nil {
		return err
	}
	return errors.Join(e.RemoveVolume(ctx, id), e.Purge(ctx), e.Close())
}

// answer is what the broker said.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (a answer) credentials() map[string]any {
	c, _ := a.body["credentials"].(map[string]any)
	return c
}

// ask sends a request as a platform does; body may be nil.
func (p *platform) ask(method, path string, body any) answer {
	p.t.Helper()
	return p.askAs(method, path, body, func(r *http.Request) {
		r.SetBasicAuth("platform", brokerPassword)
		r.Header.Set("X-Broker-API-Version", "2.17")
	})
}

func (p *platform) askAs(method, path string, body any, change func(*http.Request)) answer {
	p.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			p.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, p.server.URL+path, in)
	if err != nil {
		p.t.Fatal(err)
	}
	change(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&a.body); err != nil {
		p.t.Fatalf("%s %s: the answer is no JSON object: %v", method, path, err)
	}
	return a
}

type object = map[string]any

// plan returns the ids of an offering and one of its plans.
func (p *platform) plan(offering, plan string) (serviceID, planID string) {
	p.t.Helper()
	for _, s := range p.ask("GET", "/v2/catalog", nil).body["services"].([]any) {
		if s := s.(object); s["name"] == offering {
			for _, x := range s["plans"].([]any) {
				if x := x.(object); x["name"] == plan {
					return s["id"].(string), x["id"].(string)
				}
			}
		}
	}
	p.t.Fatalf("the catalog has no plan %s/%s", offering, plan)
	return "", ""
}

// instance is a service instance under test.
type instance struct {
	p                       *platform
	guid, serviceID, planID string
}

// provision makes an instance and waits until it is usable. Where its image cannot be made the test is skipped.
func (p *platform) provision(offering, plan string) *instance {
	p.t.Helper()
	serviceID, planID := p.plan(offering, plan)
	i := &instance{p, uuid.NewString(), serviceID, planID}
	a := p.ask("PUT", i.path("?accepts_incomplete=true"), object{"service_id": serviceID, "plan_id": planID, "organization_guid": "o", "space_guid": "s"})
	switch a.status {
	case http.StatusCreated:
	case http.StatusAccepted:
		i.until("succeeded")
	default:
		p.t.Fatalf("provision %s: %d %v", offering, a.status, a.body)
	}
	return i
}

func (i *instance) path(more string) string { return "/v2/service_instances/" + i.guid + more }

func (i *instance) ids() string { return "service_id=" + i.serviceID + "&plan_id=" + i.planID }

// until polls the last operation, as platforms do.
func (i *instance) until(state string) {
	i.p.t.Helper()
	give := time.After(10 * time.Minute)
	for {
		a := i.p.ask("GET", i.path("/last_operation?"+i.ids()), nil)
		if a.text("state") == state {
			return
		}
		if a.text("state") == "failed" {
			for _, cannot := range []error{stack.ErrNoDebootstrap, stack.ErrNotRoot, stack.ErrMirror} {
				if strings.Contains(a.text("description"), cannot.Error()) {
					i.p.t.Skipf("the image cannot be made here: %s", a.text("description"))
				}
			}
			i.p.t.Fatalf("the operation failed: %s", a.text("description"))
		}
		select {
		case <-give:
			i.p.t.Fatalf("waited in vain for %q: %d %v", state, a.status, a.body)
		case <-time.After(200 * time.Millisecond): // OSB has nothing but polling
		}
	}
}

// bind makes a binding and returns its id and credentials.
func (i *instance) bind() (id string, credentials map[string]any) {
	i.p.t.Helper()
	id = uuid.NewString()
	a := i.p.ask("PUT", i.path("/service_bindings/"+id), object{"service_id": i.serviceID, "plan_id": i.planID, "bind_resource": object{"app_guid": "a"}})
	if a.status != http.StatusCreated {
		i.p.t.Fatalf("bind: %d %v", a.status, a.body)
	}
	return id, a.credentials()
}

func (i *instance) unbind(id string) {
	i.p.t.Helper()
	if a := i.p.ask("DELETE", i.path("/service_bindings/"+id+"?"+i.ids()), nil); a.status != http.StatusOK {
		i.p.t.Fatalf("unbind: %d %v", a.status, a.body)
	}
}

func (i *instance) delete() {
	i.p.t.Helper()
	a := i.p.ask("DELETE", i.path("?accepts_incomplete=true&"+i.ids()), nil)
	if a.status != http.StatusOK && a.status != http.StatusAccepted {
		i.p.t.Fatalf("deprovision: %d %v", a.status, a.body)
	}
}

func text(v any) string { return fmt.Sprint(v) }

// waitALittle is between two looks at something that nobody tells of.
func waitALittle() { time.Sleep(50 * time.Millisecond) }
