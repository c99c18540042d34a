// Package sandbox runs one program in a locked-down container of a build image, through the Docker Engine
// API: without capabilities, new privileges, the engine's socket or credentials, as the stack's user, with
// hard limits on memory, processes, disk and time and a small share of the CPU. It knows containers, not
// buildpacks. Every container carries labels, so that Sweep finds what a crash left.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// Labels of our containers.
const (
	installationLabel = "cupola.build.installation"
	buildLabel        = "cupola.build"
)

// cpuShares is a build's weight where instances of apps have at least some hundred: a build takes what the
// apps leave.
const cpuShares = 64

// oomScore makes the kernel end builds before apps when the machine's memory runs out.
const oomScore = 800

// Docker runs sandboxes. Its methods may be called at the same time.
type Docker struct {
	client       *client.Client
	installation string
	network      string
}

// Open makes a Docker for the engine at host (empty: from the environment). Nothing is asked of the engine
// yet. network is the Docker network that sandboxes join; empty is the default bridge.
func Open(host, installation, network string) (*Docker, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, err
	}
	if network == "" {
		network = "bridge"
	}
	return &Docker{c, installation, network}, nil
}

// Close ends the connections to the engine.
func (d *Docker) Close() error { return d.client.Close() }

// Spec is one run.
type Spec struct {
	Build   string // the id that labels and names the container
	Address string // on the network; empty: the engine's choice
	Image   string // must be there, see EnsureImage
	User    string // uid:gid
	Program []string
	Env     []string
	Mounts  []Mount
	// ReadOnly makes all but the mounts unwritable.
	ReadOnly   bool
	WorkingDir string

	MemoryMB int
	CPUs     float64
	PIDs     int
	Timeout  time.Duration // of the run
	DiskMB   int           // of the files in Watch together
	Watch    []string      // folders on the host

	Output io.Writer // stdout and stderr
}

// Mount puts a file or folder of the host into the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Exit is how a run ended.
type Exit struct {
	Code      int
	OOMKilled bool
	TimedOut  bool
	OverDisk  bool
	UsedMB    int // of the watched folders, when OverDisk
	Started   time.Time
	Ended     time.Time
}

// Container is a container that was made and not removed.
type Container struct {
	docker *Docker
	id     string
	spec   Spec
}

// Create makes the container and does not start it. One of the same build that a crash left is replaced.
func (d *Docker) Create(ctx context.Context, s Spec) (*Container, error) {
	// Not cut short by the caller: a container whose id we never learn would stay.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*cleanUpTime)
	defer cancel()
	id, err := d.create(ctx, s)
	if errdefs.IsConflict(err) {
		if err := d.remove(ctx, d.containerName(s.Build)); err != nil {
			return nil, err
		}
		id, err = d.create(ctx, s)
	}
	if err != nil {
		return nil, fmt.Errorf("make the build container: %w", err)
	}
	return &Container{d, id, s}, nil
}

func (d *Docker) create(ctx context.Context, s Spec) (string, error) {
	join := &network.NetworkingConfig{}
	if s.Address != "" {
		join.EndpointsConfig = map[string]*network.EndpointSettings{
			d.network: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: s.Address}},
		}
	}
	created, err := d.client.ContainerCreate(ctx, d.config(s), d.hostConfig(s), join, nil, d.containerName(s.Build))
	return created.ID, err
}

func (d *Docker) containerName(build string) string {
	if d.installation == "" {
		return "cupola-build-" + build
	}
	return "cupola-build-" + d.installation + "-" + build
}

func (d *Docker) config(s Spec) *container.Config {
	return &container.Config{
		Image: s.Image, User: s.User, Entrypoint: s.Program[:1], Cmd: s.Program[1:], Env: s.Env,
		WorkingDir: s.WorkingDir, AttachStdout: true, AttachStderr: true,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels:      map[string]string{installationLabel: d.installation, buildLabel: s.Build},
	}
}

func (d *Docker) hostConfig(s Spec) *container.HostConfig {
	pids := int64(s.PIDs)
	memory := int64(s.MemoryMB) << 20
	h := &container.HostConfig{
		NetworkMode:    container.NetworkMode(d.network),
		CapDrop:        []string{"ALL"},
		SecurityOpt:    []string{"no-new-privileges"},
		ReadonlyRootfs: s.ReadOnly,
		LogConfig:      container.LogConfig{Type: "none"}, // we are attached
		OomScoreAdj:    oomScore,
		Resources: container.Resources{
			Memory: memory, MemorySwap: memory, // no swap on top
			NanoCPUs: int64(s.CPUs * 1e9), CPUShares: cpuShares, PidsLimit: &pids,
		},
	}
	for _, m := range s.Mounts {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return h
}

// errTimedOut and errOverDisk are causes for which a run is ended.
var (
	errTimedOut = errors.New("timed out")
	errOverDisk = errors.New("over the disk limit")
)

// Run starts the container, copies its output and waits for its end. It ends the container when ctx ends,
// when the time is over or when the watched folders outgrow the limit. The container is still to be
// removed.
func (c *Container) Run(ctx context.Context) (Exit, error) {
	var exit Exit
	attached, err := c.docker.client.ContainerAttach(ctx, c.id, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return exit, fmt.Errorf("attach to the build container: %w", err)
	}
	defer attached.Close()
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	// Waiting begins before the start, so that a short run cannot end unseen.
	ended, waitErr := c.docker.client.ContainerWait(running, c.id, container.WaitConditionNextExit)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		stdcopy.StdCopy(c.spec.Output, c.spec.Output, attached.Reader) //nolint:errcheck // ends with the container
	}()
	if err := c.docker.client.ContainerStart(ctx, c.id, container.StartOptions{}); err != nil {
		attached.Close()
		<-copied
		return exit, fmt.Errorf("start the build container: %w", err)
	}
	exit.Started = time.Now()
	timeout := time.AfterFunc(c.spec.Timeout, func() { end(errTimedOut) })
	defer timeout.Stop()
	watched := make(chan int, 1)
	go func() { watched <- c.watchDisk(running, end) }()
	err = c.wait(running, ended, waitErr, &exit)
	exit.Ended = time.Now()
	end(nil)
	exit.UsedMB = <-watched
	if err != nil {
		attached.Close()
	}
	<-copied
	if err == nil {
		err = c.inspect(ctx, &exit)
	}
	return exit, err
}

// wait returns when the container has ended, by itself or by us.
func (c *Container) wait(running context.Context, ended <-chan container.WaitResponse, failed <-chan error, exit *Exit) error {
	select {
	case response := <-ended:
		exit.Code = int(response.StatusCode)
		if response.Error != nil {
			return errors.New(response.Error.Message)
		}
		return nil
	case err := <-failed:
		if running.Err() == nil {
			return fmt.Errorf("wait for the build container: %w", err)
		}
	case <-running.Done():
	}
	cause := context.Cause(running)
	exit.TimedOut, exit.OverDisk = errors.Is(cause, errTimedOut), errors.Is(cause, errOverDisk)
	exit.Code = 137
	if err := c.kill(); err != nil {
		return err
	}
	if exit.TimedOut || exit.OverDisk {
		return nil
	}
	return cause
}

// cleanUpTime bounds calls that must be made although the caller's context has ended.
const cleanUpTime = 30 * time.Second

func (c *Container) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTime)
	defer cancel()
	err := c.docker.client.ContainerKill(ctx, c.id, "KILL")
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("kill the build container: %w", err)
	}
	return nil
}

// inspect finds out whether the kernel ended the container for its memory.
func (c *Container) inspect(ctx context.Context, exit *Exit) error {
	info, err := c.docker.client.ContainerInspect(ctx, c.id)
	if err != nil {
		return fmt.Errorf("inspect the build container: %w", err)
	}
	exit.OOMKilled = info.State != nil && info.State.OOMKilled
	return nil
}

// Remove kills and removes the container, whatever has become of the caller's context.
func (c *Container) Remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTime)
	defer cancel()
	return c.docker.remove(ctx, c.id)
}

func (d *Docker) remove(ctx context.Context, id string) error {
	err := d.client.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsConflict(err) { // somebody removes it already: wait until that is done
		removed, failed := d.client.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-removed:
			err = nil
		case err = <-failed:
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}
