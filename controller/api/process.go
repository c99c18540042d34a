package api

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Defaults of a new process (contract, 4.7).
const (
	defaultMemoryMB = 1024
	defaultDiskMB   = 1024
)

func (s *Server) processRoutes() []Route {
	var routes []Route
	for _, form := range []struct {
		prefix string
		at     Locator
	}{{"/v3/processes/{guid}", processAt}, {"/v3/apps/{guid}/processes/{type}", appProcessAt}} {
		see := on(form.at, "Process", SeeSpace, SeeSpace)
		operate := on(form.at, "Process", SeeSpace, Operate)
		routes = append(routes,
			Route{"GET", form.prefix, see, s.getProcess, []string{"embed"}, nil},
			patch(form.prefix, operate, s.updateProcess),
			post(form.prefix+"/actions/scale", operate, s.scaleProcess),
			get(form.prefix+"/stats", see, s.getStats),
			get(form.prefix+"/process_instances", see, s.listProcessInstances),
			index(form.prefix+"/sidecars", see, s.listProcessSidecars),
			del(form.prefix+"/instances/{index}", operate, s.terminateInstance),
		)
	}
	filters := []string{"types", "app_guids", "space_guids", "organization_guids", "embed"}
	return append(routes,
		index("/v3/processes", signedIn(), s.listProcesses, filters...),
		index("/v3/apps/{guid}/processes", on(appAt, "App", SeeSpace, SeeSpace), s.listProcesses, "types", "embed"),
	)
}

// appProcessAt finds the place of the newest process of a type of an app.
func appProcessAt(tx *store.Tx, c *Ctx) (Place, error) {
	place, err := placeOfApp(tx, c.Path("guid"))
	if err != nil {
		return place, orElse(err, capi.NotFound("App"))
	}
	if ok, err := c.Can(tx, place, SeeSpace); err != nil || !ok {
		return place, firstOf(err, capi.NotFound("App"))
	}
	_, err = theProcess(tx, c)
	return place, err
}

// theProcess returns the process that the path names, by its GUID or by app and type.
func theProcess(tx *store.Tx, c *Ctx) (*store.Process, error) {
	if c.Path("type") == "" {
		return store.Processes.Get(tx, c.Path("guid"))
	}
	found, _, err := store.Processes.List(tx, store.Query[store.Process]{
		Where: []store.Cond{store.By("app_type", c.Path("guid")+"/"+c.Path("type"))},
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, capi.NotFound("Process")
	}
	return found[len(found)-1], nil
}

// processesOf returns the processes of an app, web first and then by type; of two webs the older first.
func processesOf(tx *store.Tx, appGUID string) ([]*store.Process, error) {
	all, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", appGUID)}})
	slices.SortStableFunc(all, func(a, b *store.Process) int {
		return cmp.Or(-compareBool(a.Type == "web", b.Type == "web"), cmp.Compare(a.Type, b.Type))
	})
	return all, err
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// webProcess returns the app's newest web process, or nil.
func webProcess(tx *store.Tx, app *store.App) (*store.Process, error) {
	found, _, err := store.Processes.List(tx, store.Query[store.Process]{
		Where: []store.Cond{store.By("app_type", app.GUID+"/web")},
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[len(found)-1], nil
}

// newProcess has the defaults of its type. The web process takes the GUID of its app, which clients rely on.
func newProcess(app *store.App, kind string) *store.Process {
	p := &store.Process{
		AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, Type: kind, MemoryMB: defaultMemoryMB, DiskMB: defaultDiskMB,
		LogRateBytes: store.Unlimited, Version: uuid.NewString(),
		HealthCheck: store.HealthCheck{Type: "process"}, ReadinessCheck: store.HealthCheck{Type: "process"},
	}
	if kind == "web" {
		p.GUID, p.Instances, p.HealthCheck.Type = app.GUID, 1, "port"
	}
	return p
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func processMeta(p *store.Process) *store.Meta { return &p.Meta }

// presentProcess shows p as lists do: without the command, which may hold a secret.
func (s *Server) presentProcess(_ *store.Tx, p *store.Process) (capi.Process, error) {
	base := "/v3/processes/" + p.GUID
	hidden := capi.Hidden
	return capi.Process{
		Resource: resource(&p.Meta), Version: p.Version, Type: p.Type, Command: &hidden, User: "vcap",
		Instances: p.Instances, MemoryInMB: p.MemoryMB, DiskInMB: p.DiskMB, LogRateLimit: p.LogRateBytes,
		HealthCheck: presentHealth(p.HealthCheck), ReadinessCheck: presentReadiness(p.ReadinessCheck),
		Relationships: capi.ProcessRelationships{App: capi.One(p.AppGUID), Revision: revisionLink(p)},
		Metadata:      metadata(&p.Meta),
		Links: capi.Links{
			"self": s.link(base), "scale": s.action(base + "/actions/scale"), "app": s.link("/v3/apps/" + p.AppGUID),
			"space": s.link("/v3/spaces/" + p.SpaceGUID), "stats": s.link(base + "/stats"),
			"process_instances": s.link(base + "/process_instances"),
		},
	}, nil
}

// revisionLink is null for a process that was never deployed as a revision.
func revisionLink(p *store.Process) *capi.ToOne {
	if p.RevisionGUID == "" {
		return nil
	}
	one := capi.One(p.RevisionGUID)
	return &one
}

// showProcess shows p alone, with the command in effect for those who may see it.
func (s *Server) showProcess(c *Ctx, tx *store.Tx, p *store.Process) (capi.Process, error) {
	shown, err := s.presentProcess(tx, p)
	if err != nil {
		return shown, err
	}
	may, err := c.Can(tx, c.place, SeeSecrets)
	if err != nil || !may {
		return shown, err
	}
	command, err := commandOf(tx, p)
	shown.Command = nullable(command)
	return shown, err
}

// commandOf is what somebody set, or else what the droplet says.
func commandOf(tx *store.Tx, p *store.Process) (string, error) {
	if p.Command != "" {
		return p.Command, nil
	}
	guid := p.DropletGUID
	if guid == "" {
		app, err := store.Apps.Get(tx, p.AppGUID)
		if err != nil {
			return "", err
		}
		guid = app.CurrentDropletGUID
	}
	if guid == "" {
		return "", nil
	}
	d, err := store.Droplets.Get(tx, guid)
	if err != nil {
		return "", orElse(err, nil)
	}
	return d.ProcessTypes[p.Type], nil
}

func (s *Server) getProcess(c *Ctx) error {
	return c.View(func(tx *store.Tx) error {
		p, err := theProcess(tx, c)
		if err != nil {
			return err
		}
		shown, err := s.showProcess(c, tx, p)
		if err != nil {
			return err
		}
		embed, err := c.embedsInstances()
		if err != nil {
			return err
		}
		if embed {
			embedded, err := s.presentProcessEmbedded(tx, p)
			if err != nil {
				return err
			}
			shown.Embedded = embedded.Embedded
		}
		return c.JSON(http.StatusOK, shown)
	})
}

// embedsInstances reports whether the query asks for the instances within each process.
func (c *Ctx) embedsInstances() (bool, error) {
	switch embed := c.Filter.Value("embed"); embed {
	case "":
		return false, nil
	case "process_instances":
		return true, nil
	default:
		return false, errQuery("Invalid embedded resource: '" + clip(embed, 50) + "'. Valid embedded resources are: 'process_instances'")
	}
}

func (s *Server) listProcesses(c *Ctx) error {
	var out *page
	err := c.View(func(tx *store.Tx) error {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return err
		}
		if app := c.Path("guid"); app != "" {
			where = append(where, store.By("app", app))
		}
		where = c.filterBy(where, "types", "type", "app_guids", "app")
		present := s.presentProcess
		embed, err := c.embedsInstances()
		if err != nil {
			return err
		}
		if embed {
			present = s.presentProcessEmbedded
		}
		out, err = answerList(c, tx, Listing[store.Process, capi.Process]{
			Table: store.Processes, Meta: processMeta, Where: where, Present: present,
		})
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}
