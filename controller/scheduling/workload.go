package scheduling

import (
	"fmt"
	"strconv"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// Where the launcher lies in every droplet (CNB platform specification, "Launcher").
const (
	launcherPath  = "/cnb/lifecycle/launcher"
	processFolder = "/cnb/process/"
)

// ports returns what a process listens on; the first is $PORT.
func ports(p *store.Process) []int {
	if len(p.Ports) > 0 {
		return p.Ports
	}
	if p.Type == "web" {
		return []int{8080}
	}
	return nil
}

// workload translates an instance into the engine's words.
func (l *Loop) workload(o startOrder) (node.Workload, error) {
	p, d := o.wanted.process, o.wanted.droplet
	w := l.image(d)
	if p.Command == "" && d.ProcessTypes[p.Type] == "" {
		return w, fmt.Errorf("process type %q has no start command: add it to a Procfile, or set a command", p.Type)
	}
	w.ID = o.instance.GUID
	w.Labels = map[string]string{
		labelApp: p.AppGUID, labelProcess: p.GUID, labelType: p.Type, labelVersion: p.Version,
		labelIndex: strconv.Itoa(o.instance.Index),
	}
	w.Entrypoint, w.Command = command(p.Type, p.Command)
	w.MemoryMB, w.DiskMB = p.MemoryMB, p.DiskMB
	w.Ports = ports(p)
	w.Liveness = check(p.HealthCheck, w.Ports)
	w.Readiness = check(p.ReadinessCheck, w.Ports)
	err := l.DB.View(func(tx *store.Tx) (err error) {
		w.Env, err = l.Env.Running(tx, o.wanted.app, p, d, o.instance)
		return err
	})
	return w, err
}

func (l *Loop) image(d *store.Droplet) node.Workload {
	return node.Workload{
		Image:      l.Images.Registry + "/" + d.Repository + "@" + d.ImageDigest,
		PullUser:   l.Images.Username,
		PullSecret: l.Images.Secret,
	}
}

// command returns what to run: a command that somebody typed goes to a shell through the launcher, else the
// process type of the image is started.
func command(processType, typed string) (entrypoint, args []string) {
	if typed != "" {
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
