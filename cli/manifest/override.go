package manifest

import (
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"
)

// Overrides are the flags of `push` that stand above the manifest. Zero values override nothing.
type Overrides struct {
	Buildpacks      []string // one "null" or "default": detect again
	Command         string   // "null" or "default": the buildpack's own
	Memory, Disk    string
	LogRate         string
	Instances       *int
	Stack           string
	Lifecycle       string // buildpack, cnb or docker
	DockerImage     string
	DockerUsername  string
	HealthCheckType string
	Endpoint        string
	Timeout         int
	NoRoute         bool
	RandomRoute     bool
	Task            bool
}

func (o Overrides) isZero() bool {
	return len(o.Buildpacks) == 0 && o.Command == "" && o.Memory == "" && o.Disk == "" && o.LogRate == "" && o.Instances == nil &&
		o.Stack == "" && o.Lifecycle == "" && o.DockerImage == "" && o.DockerUsername == "" && o.HealthCheckType == "" && o.Endpoint == "" && o.Timeout == 0 && !o.NoRoute && !o.RandomRoute && !o.Task
}

// ErrSeveralApps is returned by Override when flags are given for a manifest with several apps.
var ErrSeveralApps = errors.New("flags that change an app can't be used when several apps are pushed: name one app, or put the values into the manifest")

// Override lets flags have the last word and asks for a default route where nothing speaks of routes.
// Then it checks the apps once more, because flags can be wrong too.
func (m *Manifest) Override(o Overrides) error {
	if len(m.Apps) > 1 && !o.isZero() {
		return ErrSeveralApps
	}
	for _, app := range m.Apps {
		if err := app.override(o); err != nil {
			return err
		}
		app.chooseRoute(o)
	}
	return nil
}

func (a *App) override(o Overrides) error {
	target := a.webProcess()
	setText(target, "command", o.Command)
	setText(target, "memory", o.Memory)
	setText(target, "disk_quota", o.Disk)
	setText(target, "log-rate-limit-per-second", o.LogRate)
	setText(target, "health-check-type", o.HealthCheckType)
	setText(target, "health-check-http-endpoint", o.Endpoint)
	if o.Disk != "" {
		remove(target, "disk-quota")
	}
	if o.Instances != nil {
		put(target, "instances", integer(*o.Instances))
	}
	if o.Timeout > 0 {
		put(target, "timeout", integer(o.Timeout))
	}
	setText(a.node, "stack", o.Stack)
	setText(a.node, "lifecycle", o.Lifecycle)
	a.overrideDocker(o.DockerImage, o.DockerUsername)
	a.overrideBuildpacks(o.Buildpacks)
	return a.checkFlags(o)
}

// checkFlags gives the complaints of the manifest's rules the names of the flags.
func (a *App) checkFlags(o Overrides) error {
	flags := []struct {
		name, value string
		rule        rule
	}{
		{"-m", o.Memory, size}, {"-k", o.Disk, size}, {"-l", o.LogRate, rate},
		{"-u", o.HealthCheckType, processRules["health-check-type"]},
	}
	for _, f := range flags {
		if f.value == "" {
			continue
		}
		var e *Error
		if err := f.rule(&checker{}, f.name, scalar(f.value)); errors.As(err, &e) {
			return fmt.Errorf("%s, not %q", e.Problem, f.value)
		}
	}
	if o.Instances != nil && *o.Instances < 0 {
		return errors.New("-i must not be negative")
	}
	return nil
}

func (a *App) overrideBuildpacks(names []string) {
	if len(names) == 0 {
		return
	}
	remove(a.node, "buildpack")
	if len(names) == 1 && (names[0] == "null" || names[0] == "default") {
		a.set("buildpacks", list(nil))
		return
	}
	a.set("buildpacks", list(names))
}

// overrideDocker makes an app one of an image, which has neither source nor buildpacks.
func (a *App) overrideDocker(image, username string) {
	if image == "" {
		return
	}
	docker := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	put(docker, "image", scalar(image))
	setText(docker, "username", username)
	a.set("docker", docker)
	remove(a.node, "buildpack")
	remove(a.node, "buildpacks")
	a.Path = ""
}

// webProcess is where the attributes of the web process stand: its entry under processes, or the app.
func (a *App) webProcess() *yaml.Node {
	if processes := lookup(a.node, "processes"); processes != nil {
		for _, p := range processes.Content {
			if kind := lookup(p, "type"); kind != nil && kind.Value == "web" {
				return p
			}
		}
	}
	return a.node
}

func (a *App) chooseRoute(o Overrides) {
	if o.NoRoute || o.Task {
		remove(a.node, "routes")
		remove(a.node, "random-route")
		remove(a.node, "default-route")
		a.set("no-route", boolean(true))
		return
	}
	routes := lookup(a.node, "routes")
	speaks := routes != nil && len(routes.Content) > 0 || isTrue(lookup(a.node, "no-route")) || isTrue(lookup(a.node, "random-route"))
	switch {
	case speaks:
	case o.RandomRoute:
		remove(a.node, "default-route")
		a.set("random-route", boolean(true))
	default:
		a.set("default-route", boolean(true))
	}
}

// Docker is the image that the app is instead of source, and the user who may pull it; empty: it is source.
func (a *App) Docker() (image, username string) {
	docker := lookup(a.node, "docker")
	if docker == nil {
		return "", ""
	}
	if n := lookup(docker, "image"); n != nil {
		image = n.Value
	}
	if n := lookup(docker, "username"); n != nil {
		username = n.Value
	}
	return image, username
}

func (a *App) set(key string, value *yaml.Node) { put(a.node, key, value) }

func setText(node *yaml.Node, key, value string) {
	switch {
	case value == "":
	case key == "command" && (value == "null" || value == "default"):
		put(node, key, null())
	default:
		put(node, key, scalar(value))
	}
}
