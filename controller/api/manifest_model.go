package api

import (
	"encoding/json"
	"fmt"

	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const manifestApps = 200

// manifest is a space's manifest as it was asked for, checked by itself but not against the store.
type manifest struct {
	apps     []*manifestApp
	warnings []string
}

// manifestApp is one entry of applications. What is nil was not said and stays as it is.
type manifestApp struct {
	node        *yaml3.Node
	name        string
	buildpacks  *[]string
	stack       *string
	lifecycle   string
	dockerImage string
	dockerUser  string
	env         map[string]*string
	features    map[string]bool
	metadata    *capi.MetadataPatch
	services    []manifestService
	sidecars    []store.SidecarSpec // at most one of each name
	processes   []*manifestProcess  // at most one of each type
	routes      []manifestRoute
	noRoute     bool
	random      bool
	byDefault   bool
}

// manifestProcess is what a manifest wants of one process type.
type manifestProcess struct {
	kind      string
	update    capi.ProcessUpdate
	scale     capi.ProcessScale
	health    capi.HealthCheckUpdate
	readiness capi.HealthCheckUpdate
}

// manifestService is a service instance to bind, and, with an offering, of what it is to be made where there is none.
type manifestService struct {
	name, binding          string
	parameters             json.RawMessage // of the binding: a JSON object, or nothing
	offering, plan, broker string
	creation               json.RawMessage // the parameters that it is made with, likewise
}

type manifestRoute struct {
	url      string
	protocol string
	options  map[string]any
}

// parseManifest reads a manifest. Its errors are *manifestError, or *appError that names the app.
func parseManifest(data []byte) (*manifest, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	if v := field(root, "version"); v != nil && v.Value != "1" {
		return nil, complain(v, "Unsupported manifest schema version. Currently supported versions: [1].")
	}
	list := field(root, "applications")
	if list == nil || list.Kind != yaml3.SequenceNode || len(list.Content) == 0 {
		return nil, complain(root, "Cannot parse manifest with no 'applications' field.")
	}
	if len(list.Content) > manifestApps {
		return nil, complain(list, "a manifest may have %d applications at most", manifestApps)
	}
	m := &manifest{}
	seen := map[string]bool{}
	for _, n := range list.Content {
		app, err := m.parseApp(n)
		if err != nil {
			return nil, err
		}
		if seen[app.name] {
			return nil, complain(n, "the application '%s' is there twice", clip(app.name, 100))
		}
		seen[app.name] = true
		m.apps = append(m.apps, app)
	}
	return m, nil
}

// appError is a complaint about one app of a manifest.
type appError struct {
	app string
	err error
}

func (e *appError) Error() string {
	return fmt.Sprintf("For application '%s': %v", clip(e.app, 100), e.err)
}

func (e *appError) Unwrap() error { return e.err }

func (m *manifest) parseApp(n *yaml3.Node) (*manifestApp, error) {
	if n.Kind != yaml3.MappingNode {
		return nil, complain(n, "an application must be a mapping of keys to values")
	}
	name := field(n, "name")
	if name == nil {
		return nil, complain(n, "Found an application with no name specified.")
	}
	a := &manifestApp{node: n}
	var err error
	if a.name, err = textOf("name", name); err != nil {
		return nil, err
	}
	web := &manifestProcess{kind: "web"}
	err = fields(n, func(key, value *yaml3.Node) error { return m.appField(a, web, key, value) })
	if err == nil && web.asks() {
		err = a.putWeb(web)
	}
	if err != nil {
		return nil, &appError{a.name, err}
	}
	return a, nil
}

// appField reads one key of an application.
func (m *manifest) appField(a *manifestApp, web *manifestProcess, key, v *yaml3.Node) (err error) {
	switch key.Value {
	case "name", "path", "processes":
		if key.Value == "processes" {
			return m.parseProcesses(a, v)
		}
	case "cnb-credentials":
		if !isNull(v) {
			return complain(key, noImageCredentials)
		}
	case "buildpack":
		return a.setBuildpacks([]*yaml3.Node{v})
	case "buildpacks":
		if isNull(v) {
			return a.setBuildpacks(nil)
		}
		list, err := listOf(key.Value, v)
		if err != nil {
			return err
		}
		return a.setBuildpacks(list)
	case "stack":
		text, err := textOf(key.Value, v)
		a.stack = &text
		return err
	case "lifecycle":
		a.lifecycle, err = textOf(key.Value, v)
	case "docker":
		return a.setDocker(v)
	case "env":
		return a.setEnv(v)
	case "features":
		return a.setFeatures(v)
	case "metadata":
		return a.setMetadata(v)
	case "services":
		return a.setServices(v)
	case "sidecars":
		return a.setSidecars(v)
	case "routes":
		return a.setRoutes(v)
	case "no-route":
		a.noRoute, err = boolOf(key.Value, v)
	case "random-route":
		a.random, err = boolOf(key.Value, v)
	case "default-route":
		a.byDefault, err = boolOf(key.Value, v)
	default:
		known, err := web.setField(key.Value, v)
		if !known {
			m.warnings = append(m.warnings, fmt.Sprintf("The manifest's attribute '%s' of application '%s' (line %d) is not known and was ignored", clip(key.Value, 100), clip(a.name, 100), key.Line))
		}
		return err
	}
	return err
}

// putWeb lets an entry for web under processes win over the keys of the application.
func (a *manifestApp) putWeb(top *manifestProcess) error {
	for i, p := range a.processes {
		if p.kind != "web" {
			continue
		}
		overlay(top, p)
		a.processes[i] = top
		return nil
	}
	a.processes = append([]*manifestProcess{top}, a.processes...)
	return nil
}

func (a *manifestApp) setBuildpacks(list []*yaml3.Node) error {
	names := []string{}
	for _, n := range list {
		if isNull(n) {
			continue
		}
		name, err := textOf("buildpacks", n)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	a.buildpacks = &names
	return nil
}

func (a *manifestApp) setDocker(v *yaml3.Node) error {
	return fields(v, func(key, v *yaml3.Node) (err error) {
		switch key.Value {
		case "image":
			a.dockerImage, err = textOf("docker image", v)
		case "username":
			a.dockerUser, err = textOf("docker username", v)
		}
		return err
	})
}

func (a *manifestApp) setEnv(v *yaml3.Node) error {
	a.env = map[string]*string{}
	if isNull(v) {
		return nil
	}
	return fields(v, func(key, v *yaml3.Node) error {
		if isNull(v) {
			a.env[key.Value] = nil
			return nil
		}
		text, err := textOf("env "+clip(key.Value, 100), v)
		if err != nil {
			return err
		}
		if err := validateVars(map[string]string{key.Value: text}); err != nil {
			return complain(key, "%v", err)
		}
		a.env[key.Value] = &text
		return nil
	})
}

func (a *manifestApp) setFeatures(v *yaml3.Node) error {
	a.features = map[string]bool{}
	return fields(v, func(key, v *yaml3.Node) error {
		if _, err := findFeature(key.Value); err != nil {
			return complain(key, "there is no feature '%s'", clip(key.Value, 100))
		}
		on, err := boolOf("feature "+key.Value, v)
		a.features[key.Value] = on
		return err
	})
}

func (a *manifestApp) setMetadata(v *yaml3.Node) error {
	a.metadata = &capi.MetadataPatch{Labels: map[string]*string{}, Annotations: map[string]*string{}}
	err := fields(v, func(key, v *yaml3.Node) error {
		into := map[string]map[string]*string{"labels": a.metadata.Labels, "annotations": a.metadata.Annotations}[key.Value]
		if into == nil {
			return complain(key, "metadata has labels and annotations only")
		}
		return fields(v, func(key, v *yaml3.Node) error {
			if isNull(v) {
				into[key.Value] = nil
				return nil
			}
			text, err := textOf("metadata "+clip(key.Value, 100), v)
			into[key.Value] = &text
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := validateMetadata(a.metadata); err != nil {
		return complain(v, "%v", err)
	}
	return nil
}

func (a *manifestApp) setServices(v *yaml3.Node) error {
	list, err := listOf("services", v)
	if err != nil {
		return err
	}
	for _, n := range list {
		service := manifestService{}
		if n.Kind != yaml3.MappingNode {
			service.name, err = textOf("services", n)
		} else {
			err = service.read(n)
		}
		if err != nil {
			return err
		}
		switch {
		case service.name == "":
			return complain(n, "a service must have a name")
		case (service.offering == "") != (service.plan == ""), service.offering == "" && (service.broker != "" || service.creation != nil):
			return complain(n, "a service that is to be made must have an offering and a plan")
		}
		a.services = append(a.services, service)
	}
	return nil
}

func (m *manifestService) read(n *yaml3.Node) error {
	return fields(n, func(key, v *yaml3.Node) (err error) {
		switch key.Value {
		case "name":
			m.name, err = textOf("service name", v)
		case "binding_name":
			m.binding, err = textOf("binding_name", v)
		case "parameters":
			m.parameters, err = jsonOf("parameters", v)
		case "create_parameters":
			m.creation, err = jsonOf("create_parameters", v)
		case "offering":
			m.offering, err = textOf("offering", v)
		case "plan":
			m.plan, err = textOf("plan", v)
		case "broker":
			m.broker, err = textOf("broker", v)
		default:
			err = complain(key, "a service has no attribute '%s'", clip(key.Value, 100))
		}
		return err
	})
}

// jsonOf is a mapping as a JSON object; nothing for null and an empty one.
func jsonOf(what string, n *yaml3.Node) (json.RawMessage, error) {
	if isNull(n) {
		return nil, nil
	}
	var value map[string]any
	if n.Kind != yaml3.MappingNode || n.Decode(&value) != nil {
		return nil, complain(n, "%s must be a mapping", what)
	}
	if len(value) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, complain(n, "%s must be what JSON can say: names of members are texts", what)
	}
	return raw, nil
}

func (a *manifestApp) setRoutes(v *yaml3.Node) error {
	list, err := listOf("routes", v)
	if err != nil {
		return err
	}
	for _, n := range list {
		r := manifestRoute{}
		err := fields(n, func(key, v *yaml3.Node) (err error) {
			switch key.Value {
			case "route":
				r.url, err = textOf("route", v)
			case "protocol":
				r.protocol, err = textOf("protocol", v)
			case "options":
				r.options, err = routeOptions(v)
			default:
				err = complain(key, "a route has no attribute '%s'", clip(key.Value, 100))
			}
			return err
		})
		if err != nil {
			return err
		}
		if r.url == "" {
			return complain(n, "a route must be written as '- route: host.domain/path'")
		}
		a.routes = append(a.routes, r)
	}
	return nil
}

func routeOptions(v *yaml3.Node) (map[string]any, error) {
	out := map[string]any{}
	return out, fields(v, func(key, v *yaml3.Node) error {
		if isNull(v) {
			out[key.Value] = nil
			return nil
		}
		text, err := textOf("option "+clip(key.Value, 100), v)
		out[key.Value] = text
		return err
	})
}
