package api

import (
	"fmt"
	"net/http"
	"time"

	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// exported is an app as a manifest that would make it again. Its order is that of the file.
type exported struct {
	Name       string             `yaml:"name"`
	Lifecycle  string             `yaml:"lifecycle"`
	Stack      string             `yaml:"stack,omitempty"`
	Buildpacks []string           `yaml:"buildpacks,omitempty"`
	Docker     *exportedDocker    `yaml:"docker,omitempty"`
	Features   map[string]bool    `yaml:"features,omitempty"`
	Env        map[string]string  `yaml:"env,omitempty"`
	Metadata   *exportedMetadata  `yaml:"metadata,omitempty"`
	Services   []any              `yaml:"services,omitempty"`
	NoRoute    bool               `yaml:"no-route,omitempty"`
	Routes     []exportedRoute    `yaml:"routes,omitempty"`
	Sidecars   []exportedSidecar  `yaml:"sidecars,omitempty"`
	Processes  []*exportedProcess `yaml:"processes,omitempty"`
}

type exportedDocker struct {
	Image    string `yaml:"image"`
	Username string `yaml:"username,omitempty"`
}

type exportedMetadata struct {
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

type exportedRoute struct {
	Route    string            `yaml:"route"`
	Protocol string            `yaml:"protocol,omitempty"`
	Options  map[string]string `yaml:"options,omitempty"`
}

type exportedProcess struct {
	Type        string `yaml:"type"`
	Command     string `yaml:"command,omitempty"`
	Instances   int    `yaml:"instances"`
	Memory      string `yaml:"memory"`
	Disk        string `yaml:"disk_quota"`
	LogRate     string `yaml:"log-rate-limit-per-second"`
	Health      string `yaml:"health-check-type"`
	Endpoint    string `yaml:"health-check-http-endpoint,omitempty"`
	Invocation  int    `yaml:"health-check-invocation-timeout,omitempty"`
	Interval    int    `yaml:"health-check-interval,omitempty"`
	Timeout     int    `yaml:"timeout,omitempty"`
	Ready       string `yaml:"readiness-health-check-type,omitempty"`
	ReadyPath   string `yaml:"readiness-health-check-http-endpoint,omitempty"`
	ReadyWithin int    `yaml:"readiness-health-check-invocation-timeout,omitempty"`
	ReadyEvery  int    `yaml:"readiness-health-check-interval,omitempty"`
}

func (s *Server) getManifest(c *Ctx) error {
	var out []byte
	err := c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		e, err := exportApp(tx, app)
		if err != nil {
			return err
		}
		out, err = yaml3.Marshal(map[string]any{"applications": []*exported{e}})
		return err
	})
	if err != nil {
		return err
	}
	c.head("application/x-yaml")
	c.W.WriteHeader(http.StatusOK)
	_, _ = c.W.Write(append([]byte("---\n"), out...))
	return nil
}

func exportApp(tx *store.Tx, app *store.App) (*exported, error) {
	e := &exported{
		Name: app.Name, Lifecycle: app.Lifecycle.Type, Stack: app.Lifecycle.Stack, Buildpacks: app.Lifecycle.Buildpacks,
		Features: app.Features, Env: app.Environment,
	}
	if len(app.Labels)+len(app.Annotations) > 0 {
		e.Metadata = &exportedMetadata{app.Labels, app.Annotations}
	}
	if err := exportRoutes(tx, app, e); err != nil {
		return nil, err
	}
	var err error
	if e.Services, err = exportServices(tx, app.GUID); err != nil {
		return nil, err
	}
	if app.Lifecycle.Type == capi.LifecycleDocker {
		if d, err := store.Droplets.Get(tx, app.CurrentDropletGUID); err == nil {
			e.Docker = &exportedDocker{d.Docker.Image, d.Docker.Username}
		}
	}
	if e.Sidecars, err = exportSidecars(tx, app); err != nil {
		return nil, err
	}
	processes, err := processesOf(tx, app.GUID)
	byType := map[string]int{}
	for _, p := range processes {
		shown := exportProcess(p)
		if i, twice := byType[p.Type]; twice { // two webs during a deployment: the newer counts
			e.Processes[i] = shown
			continue
		}
		byType[p.Type] = len(e.Processes)
		e.Processes = append(e.Processes, shown)
	}
	return e, err
}

func exportRoutes(tx *store.Tx, app *store.App, e *exported) error {
	routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("app", app.GUID)}})
	if err != nil {
		return err
	}
	e.NoRoute = len(routes) == 0
	for _, r := range routes {
		domain, err := store.Domains.Get(tx, r.DomainGUID)
		if err != nil {
			return err
		}
		shown := exportedRoute{Route: appenv.RouteURL(r, domain.Name), Options: r.Options}
		for _, d := range r.Destinations {
			if d.AppGUID == app.GUID {
				shown.Protocol = destinationProtocol(d)
			}
		}
		e.Routes = append(e.Routes, shown)
	}
	return nil
}

func exportProcess(p *store.Process) *exportedProcess {
	return &exportedProcess{
		Type: p.Type, Command: p.Command, Instances: p.Instances, Memory: megabyteText(p.MemoryMB), Disk: megabyteText(p.DiskMB),
		LogRate: logRateText(p.LogRateBytes), Health: p.HealthCheck.Type, Endpoint: endpointOf(p.HealthCheck),
		Invocation: wholeSeconds(p.HealthCheck.InvocationTimeout), Interval: wholeSeconds(p.HealthCheck.Interval),
		Timeout: wholeSeconds(p.HealthCheck.Timeout), Ready: p.ReadinessCheck.Type, ReadyPath: endpointOf(p.ReadinessCheck),
		ReadyWithin: wholeSeconds(p.ReadinessCheck.InvocationTimeout), ReadyEvery: wholeSeconds(p.ReadinessCheck.Interval),
	}
}

func wholeSeconds(d time.Duration) int { return int(d / time.Second) }

// megabyteText is a size in the unit that is written shortest.
func megabyteText(n int) string {
	if n%1024 == 0 && n > 0 {
		return fmt.Sprintf("%dG", n/1024)
	}
	return fmt.Sprintf("%dM", n)
}

func logRateText(n int) string {
	switch {
	case n < 0:
		return "-1"
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf("%dK", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
