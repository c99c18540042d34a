package docker

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"

	"github.com/cupola-paas/cupola/node"
)

// Labels of what this package makes. LabelInstallation is on every container and network.
const (
	LabelInstallation = "cupola.installation"
	labelID           = "cupola.id"
	labelWorkload     = "cupola.workload" // the workload as JSON, without environment and secrets
	labelFiles        = "cupola.files"    // folders of Extra.Files, with colons between
	labelVolume       = "cupola.volume"   // on volumes: node.Volume.ID
	labelPrefix       = "cupola.label."   // before each label of the workload
)

const (
	defaultPIDs   = 1024
	openFiles     = 16384
	stopGrace     = 10 // seconds
	minCPUShares  = 10
	fullCPUShares = 1024 // of an instance with fullMemoryMB or more
	fullMemoryMB  = 8192
)

var workloadID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// check says what is wrong with a workload before Docker is asked.
func check(w node.Workload) error {
	switch {
	case !workloadID.MatchString(w.ID):
		return fmt.Errorf("workload id %q: use up to 128 letters, digits, dots, dashes and underscores", w.ID)
	case w.MemoryMB < 6:
		return fmt.Errorf("workload %s: a memory limit of %d MB is too small; Docker needs 6 MB or more", w.ID, w.MemoryMB)
	}
	if err := checkReference(w.Image); err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	if err := checkVolumes(w.Volumes); err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	for _, c := range []node.Check{w.Liveness, w.Readiness} {
		if err := checkCheck(c, w.Ports); err != nil {
			return fmt.Errorf("workload %s: %w", w.ID, err)
		}
	}
	for _, p := range w.Ports {
		if p < 1 || p > 65535 {
			return fmt.Errorf("workload %s: port %d: use 1 to 65535", w.ID, p)
		}
	}
	return nil
}

func checkReference(image string) error {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	if _, ok := ref.(reference.Canonical); !ok {
		return fmt.Errorf("image %q: name it by digest, such as registry/name@sha256:..., so that every instance runs the same", image)
	}
	return nil
}

func checkCheck(c node.Check, ports []int) error {
	switch c.Type {
	case "", "process":
		return nil
	case "port", "http":
		if len(ports) == 0 {
			return fmt.Errorf("a %s health check needs a port", c.Type)
		}
		return nil
	}
	return fmt.Errorf("health check type %q: use port, http or process", c.Type)
}

// cpuShares weighs as Cloud Foundry does: in proportion to memory, 8 GB being a whole weight.
func cpuShares(w node.Workload) int64 {
	if w.CPUShares > 0 {
		return int64(w.CPUShares)
	}
	return int64(min(max(w.MemoryMB*fullCPUShares/fullMemoryMB, minCPUShares), fullCPUShares))
}

func (d *Docker) containerName(id string) string { return "cupola-" + d.o.Installation + "-" + id }

// containerConfig is the workload in Docker's words.
func (d *Docker) containerConfig(w node.Workload, address netip.Addr) (*container.Config, *container.HostConfig, *network.NetworkingConfig, error) {
	labels, err := d.labels(w)
	if err != nil {
		return nil, nil, nil, err
	}
	grace := stopGrace
	c := &container.Config{
		Image: w.Image, User: w.User, Cmd: w.Command, Entrypoint: w.Entrypoint,
		Env: environ(w.Env), Labels: labels,
		StopSignal: w.StopSignal, StopTimeout: &grace,
		// A health check of the image would run beside ours and count for nothing.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	if len(w.ID) <= 63 {
		c.Hostname = w.ID
	}
	return c, d.hostConfig(w), d.nets.apps.endpoint(address), nil
}

// hostConfig has no field for binds (volumes of our own are all that is mounted), devices, capabilities to add or namespaces of the host, on purpose.
func (d *Docker) hostConfig(w node.Workload) *container.HostConfig {
	pids := int64(w.PIDs)
	if pids <= 0 {
		pids = defaultPIDs
	}
	memory := int64(w.MemoryMB) << 20
	withInit := !d.noInit.Load()
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(d.nets.apps.name),
		DNS:         d.nameservers(),
		Init:        &withInit,
		CapDrop:     []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges:true"},
		LogConfig:   container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}},
		Resources: container.Resources{
			Memory: memory, MemorySwap: memory, CPUShares: cpuShares(w), PidsLimit: &pids,
			Ulimits: []*units.Ulimit{{Name: "nofile", Soft: openFiles, Hard: openFiles}},
		},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
		Mounts:        d.mounts(w.Volumes),
	}
	if w.Once {
		h.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if d.quotaEnforced() && w.DiskMB > 0 {
		h.StorageOpt = map[string]string{"size": strconv.Itoa(w.DiskMB) + "m"}
	}
	return h
}

// maxNameservers is how many Docker asks.
const maxNameservers = 3

// nameservers are the platform's own, which knows the names of apps, and behind it those of this machine, so
// that apps go on finding the world while the platform is down. Those on a loopback address are out of reach.
func (d *Docker) nameservers() []string {
	all := []string{d.Gateway().String()}
	for _, a := range nameservers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf") {
		if !a.IsLoopback() && a.Zone() == "" && len(all) < maxNameservers {
			all = append(all, a.String())
		}
	}
	return all
}

func environ(env map[string]string) []string {
	all := make([]string, 0, len(env))
	for k, v := range env {
		all = append(all, k+"="+v)
	}
	return all
}

// labels carry all that is needed to take the workload back, apart from what is secret: the environment
// is in the container's own configuration, and credentials are used once.
func (d *Docker) labels(w node.Workload) (map[string]string, error) {
	all := map[string]string{LabelInstallation: d.o.Installation, labelID: w.ID}
	for k, v := range w.Labels {
		all[labelPrefix+k] = v
	}
	text, err := json.Marshal(public(w))
	if err != nil {
		return nil, fmt.Errorf("workload %s: %w", w.ID, err)
	}
	all[labelWorkload] = string(text)
	return all, nil
}

// public is the workload without what must not be written down; Labels have labels of their own.
func public(w node.Workload) node.Workload {
	w.Env, w.PullUser, w.PullSecret, w.Labels, w.Finish = nil, "", "", nil, nil
	return w
}

// workloadOf reads back what labels wrote.
func workloadOf(labels map[string]string) (node.Workload, error) {
	var w node.Workload
	if err := json.Unmarshal([]byte(labels[labelWorkload]), &w); err != nil {
		return w, fmt.Errorf("label %s: %w", labelWorkload, err)
	}
	w.ID = labels[labelID]
	w.Labels = map[string]string{}
	for k, v := range labels {
		if name, ok := strings.CutPrefix(k, labelPrefix); ok {
			w.Labels[name] = v
		}
	}
	return w, nil
}
