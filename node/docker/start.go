package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/cupola-paas/cupola/node"
)

// Start implements node.Engine.
func (d *Docker) Start(ctx context.Context, w node.Workload) error {
	if err := check(w); err != nil {
		return err
	}
	defer d.lock(w.ID)()
	if d.find(w.ID) != nil {
		return nil
	}
	if err := d.reserve(w); err != nil {
		return err
	}
	defer d.release(w.ID)
	img, err := d.ensureImage(ctx, w.Image, w.PullUser, w.PullSecret)
	if err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	if err := refuseRoot(w, img); err != nil {
		return err
	}
	if err := d.place(ctx, w, img); err != nil {
		d.unplace(w.ID)
		return err
	}
	return nil
}

// place gives the workload its address, and makes and starts its container there, behind rules that already
// hold.
func (d *Docker) place(ctx context.Context, w node.Workload, img image.InspectResponse) error {
	if err := d.ensureVolumes(ctx, w.Volumes); err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	address, err := d.nets.apps.addresses.take(w.ID, w.Address)
	if err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	if err := d.fw.join(w.ID, member{address, w.Egress, w.Peer}); err != nil && d.fw.err == nil {
		return fmt.Errorf("workload %s: rules of what it may reach: %w", w.ID, err)
	}
	files, err := finish(&w, address)
	if err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	at := placement{address, files}
	id, err := d.create(ctx, w, at)
	if err != nil {
		return failed("workload "+w.ID+": create container", err)
	}
	if err := d.refuseHiddenRoot(ctx, w, img, id); err != nil {
		return d.discard(id, err)
	}
	return d.launch(ctx, w, id, at)
}

// placement is what a workload has once its address is known.
type placement struct {
	address netip.Addr
	files   map[string][]byte
}

// unplace takes back what place gave, once there is no container.
func (d *Docker) unplace(id string) {
	d.fw.leave(id)
	d.nets.apps.addresses.give(id)
}

// finish asks for what depends on the address.
func finish(w *node.Workload, address netip.Addr) (map[string][]byte, error) {
	if w.Finish == nil {
		return nil, nil
	}
	extra, err := w.Finish(address.String())
	if err != nil {
		return nil, err
	}
	w.Env = maps.Clone(w.Env)
	if w.Env == nil {
		w.Env = map[string]string{}
	}
	maps.Copy(w.Env, extra.Env)
	return extra.Files, nil
}

// launch starts a container that exists. What the app is to blame for is a crash, not an error.
func (d *Docker) launch(ctx context.Context, w node.Workload, id string, at placement) error {
	err := d.api.ContainerStart(ctx, id, container.StartOptions{})
	if err != nil && missingInit(err) && !d.noInit.Swap(true) {
		d.warn("Docker has no init binary (docker-init): apps run as process 1 and must reap their own children")
		if err := d.discard(id, nil); err != nil {
			return failed("workload "+w.ID, err)
		}
		if id, err = d.create(ctx, w, at); err != nil {
			return failed("workload "+w.ID+": create container", err)
		}
		err = d.api.ContainerStart(ctx, id, container.StartOptions{})
	}
	if err != nil && startStatus(err) == 0 {
		return d.discard(id, failed("workload "+w.ID+": start container", err))
	}
	d.add(d.newInstance(w, id)) // its first look finds the container up, or why it is not
	return nil
}

func missingInit(err error) bool { return strings.Contains(err.Error(), "docker-init") }

// startStatus is the shell's exit status for a command that cannot be executed, zero when err is about
// something else.
func startStatus(err error) int {
	text := err.Error()
	switch {
	case unreachable(err) || missingInit(err):
		return 0
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"),
		strings.Contains(text, "not a directory"):
		return 127
	case strings.Contains(text, "permission denied"), strings.Contains(text, "exec format error"),
		strings.Contains(text, "is a directory"):
		return 126
	case strings.Contains(text, "OCI runtime create failed"):
		return 128
	}
	return 0
}

// create makes the container and puts the files into it. One that exists by that name is the one we want: a Start that was cut off
// made it, from the same workload.
func (d *Docker) create(ctx context.Context, w node.Workload, at placement) (string, error) {
	id, err := d.createContainer(ctx, w, at)
	if err != nil || len(at.files) == 0 {
		return id, err
	}
	if err := d.putFiles(ctx, id, at.files, true); err != nil {
		return "", d.discard(id, err)
	}
	return id, nil
}

func (d *Docker) createContainer(ctx context.Context, w node.Workload, at placement) (string, error) {
	c, h, n, err := d.containerConfig(w, at.address)
	if err != nil {
		return "", err
	}
	if len(at.files) > 0 {
		c.Labels[labelFiles] = strings.Join(Roots(at.files), ":")
	}
	name := d.containerName(w.ID)
	made, err := d.api.ContainerCreate(ctx, c, h, n, nil, name)
	if err != nil && strings.Contains(err.Error(), "storage-opt") && h.StorageOpt != nil {
		d.noQuota.Store(true)
		h.StorageOpt = nil
		made, err = d.api.ContainerCreate(ctx, c, h, n, nil, name)
	}
	if err == nil {
		return made.ID, nil
	}
	if !conflict(err) {
		return "", err
	}
	have, err := d.api.ContainerInspect(ctx, name)
	if err != nil {
		return "", err
	}
	if have.Config.Labels[LabelInstallation] != d.o.Installation || have.Config.Labels[labelID] != w.ID {
		return "", fmt.Errorf("a container named %s exists and is not ours; remove it with docker rm", name)
	}
	if !have.State.Running && d.address(have) != at.address { // it was made for another address
		if err := d.remove(ctx, have.ID); err != nil {
			return "", err
		}
		made, err := d.api.ContainerCreate(ctx, c, h, n, nil, name)
		return made.ID, err
	}
	return have.ID, nil
}

// discard removes a container that will not be used, also when the caller's context has ended.
func (d *Docker) discard(id string, why error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := d.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !notFound(err) {
		d.log.Warn("remove a container that was not started", "container", id, "error", err)
	}
	return why
}

// reserve counts the memory of the workload in, or says that there is not enough.
func (d *Docker) reserve(w node.Workload) error {
	if err := d.unavailable(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.volumesFreeLocked(w); err != nil {
		return err
	}
	free := d.info.memoryMB - d.o.ReservedMemoryMB
	for _, i := range d.instances {
		if s := i.snapshot(); s.State != node.Exited {
			free -= i.w.MemoryMB
		}
	}
	for _, p := range d.pending {
		free -= p.MemoryMB
	}
	if w.MemoryMB > free {
		return fmt.Errorf("%w: memory: it asks for %d MB, %d MB are free", node.ErrInsufficient, w.MemoryMB, max(free, 0))
	}
	d.pending[w.ID] = public(w)
	return nil
}

func (d *Docker) release(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pending, id)
}
