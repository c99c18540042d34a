// Package appenv makes the environment variables that Cloud Foundry gives to apps: while they are staged,
// while they run, in tasks, and as GET /v3/apps/:guid/env shows them.
//
// The API and the loops use it, so that what is shown is what is given. It reads the store and knows neither.
package appenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// Defaults of the platform (contract, 4.7 and 5.7).
const (
	DefaultPort = 8080
	FileLimit   = 16384
)

// Env makes environments. Its fields are set before use and not changed.
type Env struct {
	API    string // https://api.DOMAIN, the value of cf_api
	HostIP string // CF_INSTANCE_IP; empty: 127.0.0.1
	// Fallbacks are what instances and tasks have unless the app, a group or a service says otherwise.
	Fallbacks map[string]string
}

// Application is the API's part of VCAP_APPLICATION. The launcher adds instance_id, index, host and port.
type Application struct {
	API                string    `json:"cf_api"`
	Limits             AppLimits `json:"limits"`
	ApplicationName    string    `json:"application_name"`
	ApplicationURIs    []string  `json:"application_uris"`
	Name               string    `json:"name"`
	SpaceName          string    `json:"space_name"`
	SpaceID            string    `json:"space_id"`
	OrganizationID     string    `json:"organization_id"`
	OrganizationName   string    `json:"organization_name"`
	URIs               []string  `json:"uris"`
	ProcessID          string    `json:"process_id,omitempty"`
	ProcessType        string    `json:"process_type,omitempty"`
	ApplicationID      string    `json:"application_id"`
	Version            string    `json:"version,omitempty"`
	ApplicationVersion string    `json:"application_version,omitempty"`

	InstanceID    string `json:"instance_id,omitempty"`
	InstanceIndex *int   `json:"instance_index,omitempty"`
	Host          string `json:"host,omitempty"`
	Port          int    `json:"port,omitempty"`
}

// AppLimits are in MB.
type AppLimits struct {
	FDs  int `json:"fds"`
	Mem  int `json:"mem,omitempty"`
	Disk int `json:"disk,omitempty"`
}

// VCAPApplication describes app; p may be nil (staging, tasks).
func (e Env) VCAPApplication(tx *store.Tx, app *store.App, p *store.Process) (*Application, error) {
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if err != nil {
		return nil, err
	}
	org, err := store.Orgs.Get(tx, space.OrgGUID)
	if err != nil {
		return nil, err
	}
	uris, err := URIs(tx, app.GUID)
	if err != nil {
		return nil, err
	}
	a := &Application{
		API: e.API, Limits: AppLimits{FDs: FileLimit}, ApplicationName: app.Name, Name: app.Name,
		ApplicationURIs: uris, URIs: uris, SpaceName: space.Name, SpaceID: space.GUID,
		OrganizationID: org.GUID, OrganizationName: org.Name, ApplicationID: app.GUID,
	}
	if p != nil {
		a.Limits.Mem, a.Limits.Disk = p.MemoryMB, p.DiskMB
		a.ProcessID, a.ProcessType, a.Version, a.ApplicationVersion = p.GUID, p.Type, p.Version, p.Version
	}
	return a, nil
}

// URIs returns the names of the app's routes, without scheme.
func URIs(tx *store.Tx, appGUID string) ([]string, error) {
	routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("app", appGUID)}})
	if err != nil {
		return nil, err
	}
	uris := make([]string, 0, len(routes))
	for _, r := range routes {
		d, err := store.Domains.Get(tx, r.DomainGUID)
		if err != nil {
			return nil, err
		}
		uris = append(uris, RouteURL(r, d.Name))
	}
	return uris, nil
}

// RouteURL is a route as people write it: host.domain/path or domain:port.
func RouteURL(r *store.Route, domain string) string {
	url := domain
	if r.Host != "" {
		url = r.Host + "." + domain
	}
	if r.Port != 0 {
		url += ":" + strconv.Itoa(r.Port)
	}
	return url + r.Path
}

// Staging returns what a build of app sees, lowest first: the staging group, the app's own, the platform's.
func (e Env) Staging(tx *store.Tx, app *store.App, b *store.Build) (map[string]string, error) {
	env, err := e.base(tx, "staging", app, nil)
	if err != nil {
		return nil, err
	}
	env["CF_STACK"] = b.Lifecycle.Stack
	if b.StagingMemoryMB > 0 {
		env["MEMORY_LIMIT"] = megabytes(b.StagingMemoryMB)
	}
	e.addNoInstance(env)
	return env, nil
}

// Running returns the environment of an instance of a process.
func (e Env) Running(tx *store.Tx, app *store.App, p *store.Process, d *store.Droplet, i *store.Instance) (map[string]string, error) {
	env, err := Group(tx, "running")
	if err != nil {
		return nil, err
	}
	maps.Copy(env, deployed(tx, app, p))
	vcap, err := e.VCAPApplication(tx, app, p)
	if err != nil {
		return nil, err
	}
	if err := addServices(tx, env, app); err != nil {
		return nil, err
	}
	vcap.InstanceID, vcap.InstanceIndex, vcap.Host = i.GUID, &i.Index, "0.0.0.0"
	if err := addVCAP(env, vcap); err != nil {
		return nil, err
	}
	env["MEMORY_LIMIT"] = megabytes(p.MemoryMB)
	index := strconv.Itoa(i.Index)
	env["INSTANCE_INDEX"], env["CF_INSTANCE_INDEX"] = index, index
	env["INSTANCE_GUID"], env["CF_INSTANCE_GUID"] = i.GUID, i.GUID
	if d != nil && d.Stack != "" {
		env["CF_STACK"] = d.Stack
	}
	if ports := Ports(p, d); len(ports) > 0 {
		if err := e.addPort(env, vcap, ports); err != nil {
			return nil, err
		}
	}
	if !fromDocker(d) {
		env["CF_INSTANCE_INTERNAL_IP"] = "" // the launcher completes it: the address is known when the container starts
		addHome(env)
	}
	e.fallBack(env)
	return env, nil
}

func (e Env) fallBack(env map[string]string) {
	for name, value := range e.Fallbacks {
		if _, there := env[name]; !there {
			env[name] = value
		}
	}
}

// fromDocker reports whether the droplet is somebody's own image, which brings its own HOME, USER and the like.
func fromDocker(d *store.Droplet) bool { return d != nil && d.Docker.Image != "" }

// Ports returns what an instance of p listens on when it runs d; the first is $PORT. A Docker image says itself; what
// destinations of routes ask for comes on top.
func Ports(p *store.Process, d *store.Droplet) []int {
	if fromDocker(d) && len(d.Ports) > 0 && (len(p.Ports) > 0 || p.Type == "web") {
		ports := slices.Clone(d.Ports)
		for _, port := range p.Ports {
			if port != DefaultPort && !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
		return ports
	}
	switch {
	case len(p.Ports) > 0:
		return p.Ports
	case p.Type == "web":
		return []int{DefaultPort}
	}
	return nil
}

// deployed is the app's environment as it was when the process was last started, so that an instance that is made
// later runs as the others do.
func deployed(tx *store.Tx, app *store.App, p *store.Process) map[string]string {
	if r, err := store.Revisions.Get(tx, p.RevisionGUID); err == nil {
		return r.Environment
	}
	return app.Environment
}

func (e Env) addPort(env map[string]string, vcap *Application, ports []int) error {
	text := strconv.Itoa(ports[0])
	vcap.Port = ports[0]
	env["PORT"], env["VCAP_APP_PORT"], env["VCAP_APP_HOST"] = text, text, "0.0.0.0"
	pairs := make([]string, len(ports))
	for i, port := range ports {
		pairs[i] = fmt.Sprintf(`{"external":%d,"internal":%d}`, port, port)
	}
	env["CF_INSTANCE_IP"], env["CF_INSTANCE_PORT"] = e.hostIP(), text
	env["CF_INSTANCE_PORTS"] = "[" + strings.Join(pairs, ",") + "]"
	env["CF_INSTANCE_ADDR"] = e.hostIP() + ":" + text
	return addVCAP(env, vcap)
}

// Task returns the environment of a task: that of the app, without index and port.
func (e Env) Task(tx *store.Tx, app *store.App, t *store.Task, d *store.Droplet) (map[string]string, error) {
	env, err := e.base(tx, "running", app, nil)
	if err != nil {
		return nil, err
	}
	env["MEMORY_LIMIT"] = megabytes(t.MemoryMB)
	if d != nil && d.Stack != "" {
		env["CF_STACK"] = d.Stack
	}
	e.addNoInstance(env)
	e.fallBack(env)
	if fromDocker(d) {
		delete(env, "LANG")
		return env, nil
	}
	addHome(env)
	return env, nil
}

func (e Env) base(tx *store.Tx, groupName string, app *store.App, p *store.Process) (map[string]string, error) {
	env, err := Group(tx, groupName)
	if err != nil {
		return nil, err
	}
	maps.Copy(env, app.Environment)
	vcap, err := e.VCAPApplication(tx, app, p)
	if err != nil {
		return nil, err
	}
	if err := addServices(tx, env, app); err != nil {
		return nil, err
	}
	return env, addVCAP(env, vcap)
}

// Group returns a copy of an environment variable group, running or staging; absent means empty.
func Group(tx *store.Tx, name string) (map[string]string, error) {
	g, err := store.EnvGroups.Get(tx, name)
	if errors.Is(err, store.ErrNotFound) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	maps.Copy(env, g.Var)
	return env, nil
}

func addVCAP(env map[string]string, vcap *Application) error {
	raw, err := json.Marshal(vcap)
	env["VCAP_APPLICATION"] = string(raw)
	return err
}

// addNoInstance adds the variables that are there but empty where nothing listens (contract, 5.1).
func (e Env) addNoInstance(env map[string]string) {
	env["CF_INSTANCE_ADDR"], env["CF_INSTANCE_PORT"], env["CF_INSTANCE_PORTS"] = "", "", "[]"
	env["CF_INSTANCE_IP"], env["CF_INSTANCE_INTERNAL_IP"] = e.hostIP(), e.hostIP()
	env["LANG"] = "en_US.UTF-8"
}

func addHome(env map[string]string) {
	for k, v := range map[string]string{
		"HOME": "/home/vcap/app", "TMPDIR": "/home/vcap/tmp", "DEPS_DIR": "/home/vcap/deps", "USER": "vcap", "PWD": "/home/vcap/app", "LANG": "en_US.UTF-8",
	} {
		if _, ok := env[k]; !ok {
			env[k] = v
		}
	}
}

func (e Env) hostIP() string {
	if e.HostIP == "" {
		return "127.0.0.1"
	}
	return e.HostIP
}

func megabytes(n int) string { return strconv.Itoa(n) + "m" }
