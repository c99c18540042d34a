package api

import (
	"cmp"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/store"
)

// crowd is a store as an organisation fills it: n apps with 3n processes, 2n routes, 10n audit events and the rest
// in proportion. One space has 500 apps, the others 50.
type crowd struct {
	*world
	market
	n                      int
	orgs, spaces           []string
	bigSpace               string
	app, route, task, pack string // one of each, which the caller called member sees
	user, event            string
	memberSpaces           []string // where the caller called member develops
}

const (
	crowdedSpace   = 500
	ordinarySpace  = 50
	memberOfSpaces = 20
)

func newCrowd(tb testing.TB, n int) *crowd {
	tb.Helper()
	c := &crowd{n: n}
	c.world, c.offering = newWorldOfData(tb)
	c.batch(max(n/500, 2), func(tx *store.Tx, i int) error {
		o := &store.Org{Name: fmt.Sprintf("org-%04d", i)}
		err := store.Orgs.Put(tx, o)
		c.orgs = append(c.orgs, o.GUID)
		return err
	})
	c.batch(max(n/ordinarySpace, 2), func(tx *store.Tx, i int) error {
		s := &store.Space{Name: fmt.Sprintf("space-%04d", i), OrgGUID: c.orgs[i%len(c.orgs)]}
		err := store.Spaces.Put(tx, s)
		c.spaces = append(c.spaces, s.GUID)
		return err
	})
	c.bigSpace = c.spaces[0]
	c.people["member"] = &auth.Identity{UserGUID: "member-guid", Username: "member"}
	c.memberSpaces = c.spaces[:min(memberOfSpaces, len(c.spaces))]
	c.batch(len(c.memberSpaces), func(tx *store.Tx, i int) error {
		space := c.memberSpaces[i]
		return store.Roles.Put(tx, &store.Role{Type: "space_developer", UserGUID: "member-guid", OrgGUID: c.orgs[i%len(c.orgs)], SpaceGUID: space})
	})
	c.batch(max(n/10, 10), c.putUser)
	c.putMarketplace()
	c.batch(n, c.putApp)
	c.batch(10*n, c.putEvent)
	return c
}

// batch puts in transactions of a bearable size.
func (c *crowd) batch(n int, put func(*store.Tx, int) error) {
	c.t.Helper()
	const size = 500
	for at := 0; at < n; at += size {
		c.update(func(tx *store.Tx) error {
			for i := at; i < min(at+size, n); i++ {
				if err := put(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (c *crowd) putUser(tx *store.Tx, i int) error {
	u := &store.User{Username: fmt.Sprintf("user-%05d@example.com", i), Origin: "uaa"}
	if err := store.Users.Put(tx, u); err != nil {
		return err
	}
	c.user = u.GUID
	space := i % len(c.spaces)
	org := c.orgs[space%len(c.orgs)]
	if err := store.Roles.Put(tx, &store.Role{Type: "organization_user", UserGUID: u.GUID, OrgGUID: org}); err != nil {
		return err
	}
	return store.Roles.Put(tx, &store.Role{Type: "space_developer", UserGUID: u.GUID, OrgGUID: org, SpaceGUID: c.spaces[space]})
}

// seen reports whether the caller called member sees what is in a space.
func (c *crowd) seen(space string) bool { return slices.Contains(c.memberSpaces, space) }

// spaceOf puts the first apps into the crowded space and spreads the others.
func (c *crowd) spaceOf(i int) string {
	if i < min(crowdedSpace, c.n/2) {
		return c.bigSpace
	}
	return c.spaces[1+i%(len(c.spaces)-1)]
}

// putApp puts an app with all that belongs to it.
func (c *crowd) putApp(tx *store.Tx, i int) error {
	space := c.spaceOf(i)
	a := &store.App{
		Meta: store.Meta{Labels: map[string]string{"env": []string{"prod", "dev"}[i%2], "team": fmt.Sprint("team-", i%100)}},
		Name: fmt.Sprintf("app-%05d", i), SpaceGUID: space, State: []string{store.AppStarted, store.AppStopped}[i%2],
		Lifecycle:   store.Lifecycle{Type: "buildpack", Stack: "cupola", Buildpacks: []string{"nodejs_buildpack"}},
		Environment: map[string]string{"DATABASE_URL": "postgres://user:example@db.internal/app", "LOG_LEVEL": "info"},
	}
	if err := store.Apps.Put(tx, a); err != nil {
		return err
	}
	for _, kind := range []string{"web", "worker", "clock"} {
		p := &store.Process{AppGUID: a.GUID, SpaceGUID: space, Type: kind, Instances: 1, MemoryMB: 256, DiskMB: 1024}
		if kind == "web" {
			p.GUID = a.GUID
		}
		in := &store.Instance{AppGUID: a.GUID, ProcessGUID: a.GUID, ProcessType: kind, State: store.InstanceRunning}
		if err := cmp.Or(store.Processes.Put(tx, p), ifWeb(kind, func() error { return store.Instances.Put(tx, in) })); err != nil {
			return err
		}
	}
	route := ""
	for j := range 2 {
		r := &store.Route{Host: fmt.Sprintf("host-%05d-%d", i, j), DomainGUID: c.domain, SpaceGUID: space,
			Destinations: []store.Destination{{GUID: fmt.Sprint(i, "-", j), AppGUID: a.GUID, ProcessType: "web"}}}
		if err := store.Routes.Put(tx, r); err != nil {
			return err
		}
		route = r.GUID
	}
	if c.seen(space) {
		c.app, c.route = a.GUID, route
	}
	return cmp.Or(c.putWork(tx, a, i), c.putServices(tx, a, route, i))
}

func ifWeb(kind string, put func() error) error {
	if kind == "web" {
		return put()
	}
	return nil
}

// putWork puts what pushes leave behind.
func (c *crowd) putWork(tx *store.Tx, a *store.App, i int) error {
	p := &store.Package{AppGUID: a.GUID, Type: "bits", State: store.StateReady}
	t := &store.Task{AppGUID: a.GUID, SpaceGUID: a.SpaceGUID, SequenceID: 1, Name: fmt.Sprint("task-", i%100), State: "SUCCEEDED"}
	if err := cmp.Or(store.Packages.Put(tx, p), store.Tasks.Put(tx, t)); err != nil {
		return err
	}
	d := &store.Droplet{AppGUID: a.GUID, SpaceGUID: a.SpaceGUID, PackageGUID: p.GUID, State: store.StateStaged, Stack: "cupola", RunImage: "run@sha256:before", ProcessTypes: map[string]string{"web": "node server.js"}}
	b := &store.Build{AppGUID: a.GUID, SpaceGUID: a.SpaceGUID, PackageGUID: p.GUID, State: store.StateStaged}
	y := &store.Deployment{AppGUID: a.GUID, SpaceGUID: a.SpaceGUID, Status: store.DeploymentFinalized, Reason: store.DeploymentDeployed, Strategy: "rolling"}
	u := &store.AppUsageEvent{AppGUID: a.GUID, AppName: a.Name}
	if c.seen(a.SpaceGUID) {
		c.pack, c.task = p.GUID, t.GUID
	}
	if err := store.Droplets.Put(tx, d); err != nil {
		return err
	}
	a.CurrentDropletGUID = d.GUID
	return cmp.Or(store.Apps.Put(tx, a), store.Builds.Put(tx, b), store.Deployments.Put(tx, y), store.AppUsageEvents.Put(tx, u))
}

func (c *crowd) putEvent(tx *store.Tx, i int) error {
	space := i % len(c.spaces)
	e := &store.AuditEvent{
		Type:   []string{"audit.app.update", "audit.app.start", "audit.app.create", "audit.route.create"}[i%4],
		Actor:  store.Actor{GUID: c.user, Type: "user", Name: "user"},
		Target: store.Actor{GUID: c.app, Type: "app", Name: "app"}, Data: []byte(`{"request":{"state":"STARTED"}}`),
		SpaceGUID: c.spaces[space], OrgGUID: c.orgs[space%len(c.orgs)],
	}
	if i%100 != 0 {
		e.Target.GUID = fmt.Sprintf("33333333-3333-4333-8333-%012d", i%1000)
	}
	err := store.AuditEvents.Put(tx, e)
	c.event = e.GUID
	return err
}

// value is what a filter is given.
func (c *crowd) value(r Route, param string) string {
	c.t.Helper()
	middle := fmt.Sprintf("%05d", c.n/2)
	name := map[string]string{"apps": "app-" + middle, "organizations": "org-0001", "spaces": "space-0001", "tasks": "task-7", "domains": "example.com", "stacks": "cupola"}
	last := r.Pattern[strings.LastIndex(r.Pattern, "/")+1:]
	maps.Copy(name, marketNames(middle))
	values := map[string]string{
		"names": cmp.Or(name[last], "some-name"), "guids": c.app + "," + c.route, "organization_guids": c.orgs[0], "space_guids": c.bigSpace, "app_guids": c.app,
		"stacks": "cupola", "lifecycle_type": "buildpack", "lifecycle": "buildpack", "types": "audit.app.update,audit.app.start", "target_guids": c.app, "user_guids": c.user,
		"states": store.StateStaged, "package_guids": c.pack, "hosts": "host-" + middle + "-1", "paths": "", "ports": "0", "domain_guids": c.domain,
		"usernames": "user-00007@example.com", "partial_usernames": "user-0000", "origins": "uaa", "status_reasons": store.DeploymentDeployed,
		"status_values": store.DeploymentFinalized, "current": "true", "sequence_ids": "1", "embed": "process_instances", "default": "true",
		"label_selector": "env=prod,team!=team-7", "created_ats": "", "page": "3", "per_page": "50", "order_by": "-created_at", "versions": "1", "deployable": "true",
		"globally_enabled_running": "true", "globally_enabled_staging": "true", "running_space_guids": c.bigSpace, "staging_space_guids": c.bigSpace,
		"outdated": "true", "partial_names": "app-00", "app_states": store.AppStarted,
	}
	maps.Copy(values, c.marketFilters(middle))
	switch last {
	case "processes":
		values["types"] = "web"
	case "roles":
		values["types"] = "space_developer"
	case "packages":
		values["types"], values["states"] = "bits", store.StateReady
	case "tasks":
		values["states"] = "SUCCEEDED"
	case "deployments":
		values["states"] = store.DeploymentDeployed
	case "service_instances":
		values["type"] = store.ServiceManaged
	case "service_credential_bindings":
		values["type"] = "app"
	}
	value, known := values[param]
	if !known {
		c.t.Errorf("no value for the filter %s of %s", param, r.Pattern)
	}
	return value
}

// lists are the addresses of every list of the route table with each of its filters alone.
func (c *crowd) lists() []string {
	guids := map[string]string{
		"/v3/apps": c.app, "/v3/processes": c.app, "/v3/spaces": c.bigSpace, "/v3/organizations": c.orgs[0], "/v3/domains": c.domain,
		"/v3/packages": c.pack, "/v3/routes": c.route, "/v3/tasks": c.task,
		"/v3/service_instances": c.instance, "/v3/isolation_segments": c.segment,
	}
	c.view(func(tx *store.Tx) error {
		stack, err := store.Stacks.Find(tx, "name", "cupola")
		guids["/v3/stacks"] = stack.GUID
		return err
	})
	var all []string
	now := time.Now().UTC()
	for _, r := range c.s.Routes() {
		if !slices.Contains(r.Query, "page") {
			continue
		}
		path := fill(r.Pattern, guids)
		if strings.Contains(path, "/x") {
			continue // of a resource that the crowd does not have
		}
		add := func(query string) { all = append(all, path+"?"+query) }
		add("per_page=50")
		for _, param := range r.Query {
			switch param {
			case "include", "after_guid":
			case "created_ats", "updated_ats":
				add(param + "[gt]=" + now.Add(-time.Hour).Format(time.RFC3339))
				add(param + "[lt]=" + now.Add(-time.Hour).Format(time.RFC3339))
			default:
				add(param + "=" + url.QueryEscape(c.value(r, param)))
			}
		}
		for _, by := range append([]string{"updated_at", "-updated_at"}, r.Orders...) {
			add("order_by=" + by)
		}
	}
	return all
}

// BenchmarkLists asks every list of the API with each filter alone for a page of 50, at 1x, 10x and 100x. The
// figure "median-ms" is what docs/benchmarks.md promises something of.
func BenchmarkLists(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n, "apps"), func(b *testing.B) {
			c := newCrowd(b, n)
			for _, who := range []string{"admin", "member"} {
				for _, address := range c.lists() {
					name := strings.NewReplacer(c.app, "GUID", c.route, "GUID", c.pack, "GUID", c.bigSpace, "GUID", c.orgs[0], "GUID", "/v3/", "").Replace(address)
					b.Run(who+"/"+strings.ReplaceAll(name, "/", ":"), func(b *testing.B) { c.measure(b, who, address) })
				}
			}
		})
	}
}

// measure reports the median of the time that passed, and of the processor's time, which other work on the machine
// changes little.
func (c *crowd) measure(b *testing.B, who, address string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took, busy []time.Duration
	for b.Loop() {
		begin, used := time.Now(), threadTime(b)
		r := httptest.NewRequest("GET", address, nil)
		r.Header.Set("Authorization", "bearer "+who)
		rec := httptest.NewRecorder()
		c.s.ServeHTTP(rec, r)
		took, busy = append(took, time.Since(begin)), append(busy, threadTime(b)-used)
		if rec.Code != 200 {
			b.Fatalf("%s: %d %s", address, rec.Code, rec.Body)
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(median(took), "median-ms")
	b.ReportMetric(median(busy), "cpu-ms")
}

// threadTime is the processor's time that the thread has had.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkCFApps makes the three requests of `cf apps` in a space of 500 apps (contract 3.1).
func BenchmarkCFApps(b *testing.B) {
	c := newCrowd(b, 10_000)
	for _, who := range []string{"admin", "member"} {
		b.Run(who, func(b *testing.B) {
			for b.Loop() {
				apps := c.as(who, "GET", "/v3/apps?order_by=name&per_page=5000&space_guids="+c.bigSpace, nil).want(200)
				var guids []string
				for i := range apps.count() {
					guids = append(guids, apps.str("resources", i, "guid"))
				}
				if len(guids) != crowdedSpace {
					b.Fatalf("%d apps, want %d", len(guids), crowdedSpace)
				}
				c.as(who, "GET", "/v3/processes?per_page=5000&embed=process_instances&space_guids="+c.bigSpace, nil).want(200)
				for some := range slices.Chunk(guids, 200) {
					c.as(who, "GET", "/v3/routes?per_page=5000&app_guids="+strings.Join(some, ","), nil).want(200)
				}
			}
		})
	}
}
