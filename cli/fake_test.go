package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// fakeAPI is a small Cloud Foundry: enough state for the commands, and switches for what can go wrong.
type fakeAPI struct {
	*httptest.Server
	secure *httptest.Server // the same with a certificate of an unknown CA

	mu       sync.Mutex
	mode     map[string]string // switches, see the scripts
	requests []string
	serial   int
	tokens   map[string]bool
	refresh  map[string]bool

	orgs        []capi.Organization
	spaces      []capi.Space
	apps        []capi.App
	processes   []capi.Process
	routes      []capi.Route
	domains     []capi.Domain
	droplets    []capi.Droplet
	builds      map[string]*capi.Build
	deployments []capi.Deployment
	tasks       []capi.Task
	env         map[string]map[string]string
	logs        map[string][]capi.Envelope
	known       map[string]bool // SHA-1 of files
	manifests   []string
	uploads     []string                    // names in the zip, of each upload
	any         map[string][]map[string]any // resources of collections that have no handlers of their own, by path
}

func newFakeAPI() *fakeAPI {
	f := &fakeAPI{mode: map[string]string{}, tokens: map[string]bool{}, refresh: map[string]bool{}, builds: map[string]*capi.Build{},
		env: map[string]map[string]string{}, logs: map[string][]capi.Envelope{}, known: map[string]bool{}, any: map[string][]map[string]any{}}
	f.orgs = []capi.Organization{{Resource: f.resource("org"), Name: "engines"}}
	f.spaces = []capi.Space{{Resource: f.resource("space"), Name: "dev", Relationships: capi.SpaceRelationships{Organization: capi.One(f.orgs[0].GUID)}}}
	f.domains = []capi.Domain{{Resource: f.resource("domain"), Name: "apps.test", SupportedProtocols: []string{"http"}},
		{Resource: capi.Resource{GUID: "identity"}, Name: "apps.identity", SupportedProtocols: []string{"http"}, EnforceRoutePolicies: true, RoutePoliciesScope: "org"}}
	mux := http.NewServeMux()
	f.accountRoutes(mux)
	f.resourceRoutes(mux)
	f.pushRoutes(mux)
	f.patchRoutes(mux)
	f.engineRoutes(mux)
	f.nodeRoutes(mux)
	f.anyRoutes(mux)
	f.Server = httptest.NewUnstartedServer(f.record(mux))
	f.Start()
	f.secure = httptest.NewTLSServer(f.record(mux))
	return f
}

// record notes requests, and checks tokens of all but the open ones.
func (f *fakeAPI) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
		open := r.URL.Path == "/" || r.URL.Path == "/ca.pem" || strings.HasPrefix(r.URL.Path, "/oauth/")
		if token := strings.TrimPrefix(r.Header.Get("Authorization"), "bearer "); !open && !f.tokens[token] {
			reply(w, 401, capi.Errors{Errors: []*capi.Error{capi.InvalidAuthToken.Errorf("Invalid Auth Token")}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

var fakeEpoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (f *fakeAPI) resource(kind string) capi.Resource {
	f.serial++
	at := capi.At(fakeEpoch)
	return capi.Resource{GUID: fmt.Sprintf("%s-%d", kind, f.serial), CreatedAt: at, UpdatedAt: at}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that hangs up is the client's test
}

func refuse(w http.ResponseWriter, e *capi.Error) {
	reply(w, e.Status, capi.Errors{Errors: []*capi.Error{e}})
}

func decode[T any](r *http.Request) (v T) {
	_ = json.NewDecoder(r.Body).Decode(&v) // the zero value makes the test fail
	return v
}

// page answers those of all that match every filter which the query has.
func page[T any](w http.ResponseWriter, r *http.Request, all []T, fields map[string]func(T) string) {
	out := capi.List[T]{Pagination: capi.Pagination{TotalPages: 1}}
	for _, one := range all {
		matches := true
		for key, field := range fields {
			if want, ok := r.URL.Query()[key]; ok && !slices.Contains(strings.Split(want[0], ","), field(one)) {
				matches = false
			}
		}
		if matches {
			out.Resources = append(out.Resources, one)
		}
	}
	out.Pagination.TotalResults = len(out.Resources)
	reply(w, 200, out)
}

func (f *fakeAPI) token(expiresIn time.Duration) string {
	f.serial++
	enc := func(v any) string {
		data, _ := json.Marshal(v) // maps of plain values
		return base64.RawURLEncoding.EncodeToString(data)
	}
	token := enc(map[string]string{"alg": "none"}) + "." +
		enc(map[string]any{"user_name": "ada", "user_id": "user-ada", "origin": "uaa", "exp": time.Now().Add(expiresIn).Unix(), "n": f.serial}) + ".x"
	f.tokens[token] = true
	return token
}

func (f *fakeAPI) accountRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		link := func(path string) *capi.RootLink { return &capi.RootLink{Href: f.URL + path} }
		v3 := link("/v3")
		v3.Meta = &capi.LinkMeta{Version: "3.224.0"}
		reply(w, 200, capi.Root{Links: map[string]*capi.RootLink{"self": link(""), "cloud_controller_v3": v3, "login": link(""), "uaa": link(""), "log_cache": link(""),
			"routing": link("/routing"), "network_policy_v1": link("/networking/v1/external")}})
	})
	mux.HandleFunc("GET /ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "-----BEGIN CERTIFICATE-----\nZmFrZQ==\n-----END CERTIFICATE-----\n")
	})
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		granted := r.PostFormValue("username") == "ada" && r.PostFormValue("password") == "secret"
		if r.PostFormValue("grant_type") == "refresh_token" {
			granted = f.refresh[r.PostFormValue("refresh_token")]
		}
		if !granted {
			reply(w, 401, capi.TokenError{Code: "unauthorized", Description: "Bad credentials"})
			return
		}
		life := time.Hour
		if f.mode["token"] == "short" {
			life = time.Second
		}
		f.serial++
		refresh := fmt.Sprintf("refresh-%d", f.serial)
		f.refresh[refresh] = true
		reply(w, 200, capi.Token{AccessToken: f.token(life), RefreshToken: refresh, TokenType: "bearer", ExpiresIn: int(life.Seconds())})
	})
}

func (f *fakeAPI) resourceRoutes(mux *http.ServeMux) {
	f.tenantRoutes(mux)
	f.routeRoutes(mux)
	mux.HandleFunc("GET /v3/buildpacks", func(w http.ResponseWriter, r *http.Request) {
		file := "nodejs.zip"
		page(w, r, []capi.Buildpack{{Resource: f.resource("bp"), Name: "nodejs_buildpack", Position: 1, Enabled: true, State: "READY", Filename: &file, Lifecycle: "buildpack"}}, nil)
	})
	mux.HandleFunc("GET /v3/stacks", func(w http.ResponseWriter, r *http.Request) {
		about := "Debian"
		page(w, r, []capi.Stack{{Resource: f.resource("stack"), Name: "cupola", Description: &about}}, nil)
	})
	mux.HandleFunc("GET /v3/audit_events", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, []capi.AuditEvent{{Resource: f.resource("event"), Type: "audit.app.create", Actor: capi.Actor{Name: "ada"},
			Data: map[string]any{"request": map[string]any{"name": "web", "memory": 64}}}}, nil)
	})
	mux.HandleFunc("POST /v3/apps/{guid}/tasks", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.TaskCreate](r)
		task := capi.Task{Resource: f.resource("task"), SequenceID: len(f.tasks) + 1, Name: in.Name, State: "SUCCEEDED"}
		if in.Command == "false" {
			reason := "Exited with status 1"
			task.State, task.Result.FailureReason = "FAILED", &reason
		}
		f.tasks = append(f.tasks, task)
		reply(w, 202, task)
	})
	mux.HandleFunc("GET /v3/tasks/{guid}", func(w http.ResponseWriter, r *http.Request) {
		for _, t := range f.tasks {
			if t.GUID == r.PathValue("guid") {
				reply(w, 200, t)
			}
		}
	})
	mux.HandleFunc("GET /v3/apps/{guid}/tasks", func(w http.ResponseWriter, r *http.Request) { page(w, r, f.tasks, nil) })
}

func (f *fakeAPI) tenantRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v3/organizations", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.orgs, map[string]func(capi.Organization) string{"names": func(o capi.Organization) string { return o.Name }})
	})
	mux.HandleFunc("POST /v3/organizations", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.OrganizationCreate](r)
		if slices.ContainsFunc(f.orgs, func(o capi.Organization) bool { return o.Name == in.Name }) {
			refuse(w, capi.Invalid("Organization '%s' already exists.", in.Name))
			return
		}
		org := capi.Organization{Resource: f.resource("org"), Name: in.Name}
		f.orgs = append(f.orgs, org)
		reply(w, 201, org)
	})
	mux.HandleFunc("DELETE /v3/organizations/{guid}", func(w http.ResponseWriter, r *http.Request) {
		f.orgs = slices.DeleteFunc(f.orgs, func(o capi.Organization) bool { return o.GUID == r.PathValue("guid") })
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	})
	mux.HandleFunc("GET /v3/organizations/{guid}/domains", func(w http.ResponseWriter, r *http.Request) { page(w, r, f.domains, nil) })
	mux.HandleFunc("GET /v3/spaces", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.spaces, map[string]func(capi.Space) string{"names": func(s capi.Space) string { return s.Name },
			"organization_guids": func(s capi.Space) string { return s.Relationships.Organization.GUID() }})
	})
	mux.HandleFunc("POST /v3/spaces", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.SpaceCreate](r)
		space := capi.Space{Resource: f.resource("space"), Name: in.Name, Relationships: capi.SpaceRelationships{Organization: *in.Relationships.Organization}}
		f.spaces = append(f.spaces, space)
		reply(w, 201, space)
	})
	mux.HandleFunc("POST /v3/roles", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.RoleCreate](r)
		f.requests = append(f.requests, "role "+in.Type)
		reply(w, 201, capi.Role{Resource: f.resource("role"), Type: in.Type})
	})
	mux.HandleFunc("GET /v3/jobs/{guid}", func(w http.ResponseWriter, r *http.Request) {
		job := capi.Job{State: capi.JobComplete}
		if text := f.mode["manifest"]; text != "" && r.PathValue("guid") == "manifest" {
			job.State, job.Errors = capi.JobFailed, []*capi.Error{capi.Invalid("%s", text)}
		}
		reply(w, 200, job)
	})
}

func (f *fakeAPI) routeRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v3/domains", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.domains, map[string]func(capi.Domain) string{"names": func(d capi.Domain) string { return d.Name }})
	})
	mux.HandleFunc("GET /v3/routes", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.routes, map[string]func(capi.Route) string{"hosts": func(r capi.Route) string { return r.Host }, "paths": func(r capi.Route) string { return r.Path }})
	})
	mux.HandleFunc("POST /v3/routes", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.RouteCreate](r)
		for _, old := range f.routes {
			if old.Host == in.Host && old.Path == in.Path {
				refuse(w, capi.Invalid("Route already exists with host '%s' for domain 'apps.test'.", in.Host))
				return
			}
		}
		reply(w, 201, f.makeRoute(in.Host, in.Path, ""))
	})
	mux.HandleFunc("POST /v3/routes/{guid}/destinations", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.DestinationsInsert](r)
		route := f.route(r.PathValue("guid"))
		for _, d := range in.Destinations {
			route.Destinations = append(route.Destinations, capi.Destination{GUID: f.resource("destination").GUID, App: capi.DestinationApp{GUID: d.App.GUID, Process: d.App.Process}})
		}
		reply(w, 200, capi.Destinations{Destinations: route.Destinations})
	})
	mux.HandleFunc("GET /v3/routes/{guid}/destinations", func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, capi.Destinations{Destinations: f.route(r.PathValue("guid")).Destinations})
	})
	mux.HandleFunc("DELETE /v3/routes/{guid}/destinations/{d}", func(w http.ResponseWriter, r *http.Request) {
		route := f.route(r.PathValue("guid"))
		route.Destinations = slices.DeleteFunc(route.Destinations, func(d capi.Destination) bool { return d.GUID == r.PathValue("d") })
		w.WriteHeader(204)
	})
	mux.HandleFunc("DELETE /v3/routes/{guid}", func(w http.ResponseWriter, r *http.Request) {
		f.routes = slices.DeleteFunc(f.routes, func(route capi.Route) bool { return route.GUID == r.PathValue("guid") })
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	})
	mux.HandleFunc("DELETE /v3/spaces/{guid}/routes", func(w http.ResponseWriter, _ *http.Request) {
		f.routes = slices.DeleteFunc(f.routes, func(route capi.Route) bool { return len(route.Destinations) == 0 })
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	})
}

func (f *fakeAPI) makeRoute(host, path, appGUID string) capi.Route {
	route := capi.Route{Resource: f.resource("route"), Protocol: "http", Host: host, Path: path, URL: host + ".apps.test" + path,
		Relationships: capi.RouteRelationships{Space: capi.One(f.spaces[0].GUID), Domain: capi.One(f.domains[0].GUID)}}
	if appGUID != "" {
		route.Destinations = []capi.Destination{{GUID: f.resource("destination").GUID, App: capi.DestinationApp{GUID: appGUID}}}
	}
	f.routes = append(f.routes, route)
	return route
}

func (f *fakeAPI) route(guid string) *capi.Route {
	for i := range f.routes {
		if f.routes[i].GUID == guid {
			return &f.routes[i]
		}
	}
	return &capi.Route{}
}
