package scheduling

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/revision"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// Where the launcher lies in every droplet (CNB platform specification, "Launcher").
const (
	launcherPath  = "/cnb/lifecycle/launcher"
	processFolder = "/cnb/process/"
)

// workload translates an instance into the engine's words.
func (l *Loop) workload(o startOrder) (node.Workload, error) {
	p, d := o.wanted.process, o.wanted.droplet
	w := l.image(d)
	if p.Command == "" && d.ProcessTypes[p.Type] == "" && d.Docker.Image == "" {
		return w, fmt.Errorf("process type %q has no start command: add it to a Procfile, or set a command", p.Type)
	}
	w.ID = o.instance.GUID
	w.Labels = map[string]string{
		labelApp: p.AppGUID, labelProcess: p.GUID, labelType: p.Type, labelVersion: p.Version,
		labelIndex: strconv.Itoa(o.instance.Index),
	}
	w.Entrypoint, w.Command = command(d, p.Type, p.Command)
	w.MemoryMB, w.DiskMB = p.MemoryMB, p.DiskMB
	w.Ports = appenv.Ports(p, d)
	w.Egress, w.Peer, w.Finish = egress(o.wanted.app), p.AppGUID, l.Finish(w.ID, p.AppGUID)
	w.Liveness = check(p.HealthCheck, w.Ports)
	w.Readiness = check(p.ReadinessCheck, w.Ports)
	var sidecars []store.SidecarSpec
	err := l.DB.View(func(tx *store.Tx) (err error) {
		if w.Env, err = l.Env.Running(tx, o.wanted.app, p, d, o.instance); err != nil {
			return err
		}
		if w.Finish, err = withBindings(tx, o.wanted.app, w.Finish); err != nil {
			return err
		}
		if sidecars, err = revision.Sidecars(tx, p); err != nil {
			return err
		}
		w.Pool, err = Pool(tx, o.wanted.app)
		return err
	})
	if err == nil && len(sidecars) > 0 {
		err = supervised(&w, sidecars)
	}
	return w, err
}

// withBindings adds the files about the app's services to what finish gives, if the app wants files.
func withBindings(tx *store.Tx, app *store.App, finish func(string) (node.Extra, error)) (func(string) (node.Extra, error), error) {
	files, err := appenv.BindingFiles(tx, app)
	if err != nil || len(files) == 0 {
		return finish, err
	}
	return func(address string) (extra node.Extra, err error) {
		if finish != nil {
			extra, err = finish(address)
		}
		all := maps.Clone(files)
		maps.Copy(all, extra.Files)
		extra.Files = all
		return extra, err
	}, nil
}

// superviseVariable holds the plan of a container with sidecars; the launcher in it reads it.
const superviseVariable = "CUPOLA_SUPERVISE"

// supervised lets the launcher run the sidecars beside the process, in its container and bound to it.
func supervised(w *node.Workload, sidecars []store.SidecarSpec) error {
	type sidecar struct {
		Name    string `json:"name"`
		Command string `json:"command"`
	}
	plan := struct {
		Main     []string  `json:"main"`
		Sidecars []sidecar `json:"sidecars"`
	}{Main: append(slices.Clone(w.Entrypoint), w.Command...)}
	for _, sc := range sidecars {
		plan.Sidecars = append(plan.Sidecars, sidecar{sc.Name, sc.Command})
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	w.Entrypoint, w.Command = []string{launcherPath}, nil
	w.Env[superviseVariable] = string(text)
	return nil
}

// egress is the key of what an app may reach: that of its space (see package networking).
func egress(app *store.App) string { return "running/" + app.SpaceGUID }

func (l *Loop) image(d *store.Droplet) node.Workload {
	return node.Workload{
		Image:      l.Images.Registry + "/" + d.Repository + "@" + d.ImageDigest,
		PullUser:   l.Images.Username,
		PullSecret: l.Images.Secret,
		AllowRoot:  d.Docker.Image != "", // images of ours have a user; others are as people made them
	}
}

// command returns what to run: a command that somebody typed goes to a shell through the launcher, else the
// process type of the image is started. A Docker image has no launcher: what it says itself is run, or its own
// shell is given the command (contract, 5.5).
func command(d *store.Droplet, processType, typed string) (entrypoint, args []string) {
	switch {
	case d.Docker.Image != "" && typed != "":
		return []string{"/bin/sh", "-c"}, []string{typed}
	case d.Docker.Image != "":
		return nil, nil
	case typed != "":
		return []string{launcherPath}, []string{typed}
	}
	return []string{processFolder + processType}, nil
}

func check(h store.HealthCheck, ports []int) node.Check {
	c := node.Check{
		Type: h.Type, Endpoint: h.Endpoint, Timeout: h.Timeout,
		InvocationTimeout: h.InvocationTimeout, Interval: h.Interval,
	}
	if len(ports) == 0 {
		c.Type = "process" // nothing listens, so nothing else can be asked
	}
	return c
}
