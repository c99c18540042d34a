package docker

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/cupola-paas/cupola/node"
)

// endOfTransmission is what a terminal takes for the end of input at the beginning of a line.
const endOfTransmission = 4

// Exec implements node.Engine. When ctx ends, so does the command.
func (d *Docker) Exec(ctx context.Context, id string, e node.Exec) (int, error) {
	i := d.find(id)
	if i == nil {
		return 0, fmt.Errorf("exec in workload %s: %w", id, node.ErrNotFound)
	}
	command := e.Command
	if e.Program != nil {
		path, err := d.install(ctx, i.containerID(), e.Program)
		if err != nil {
			return 0, failed("exec in workload "+id, err)
		}
		command = append([]string{path}, command...)
	}
	if len(command) == 0 {
		return 0, fmt.Errorf("exec in workload %s: no command", id)
	}
	made, err := d.api.ContainerExecCreate(ctx, i.containerID(), container.ExecOptions{
		Cmd: command, Env: e.Env, Tty: e.TTY,
		AttachStdin: e.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return 0, failed("exec in workload "+id, err)
	}
	conn, err := d.api.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{Tty: e.TTY})
	if err != nil {
		return 0, failed("exec in workload "+id, err)
	}
	defer conn.Close()
	err = d.converse(ctx, made.ID, conn, e)
	if ctx.Err() != nil {
		d.killExec(made.ID)
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, failed("exec in workload "+id, err)
	}
	return d.execStatus(ctx, made.ID)
}

// converse copies until the command closes its output, resizing meanwhile. A reader that is given as
// stdin and never ends may outlive the call by one read, as with os/exec.
func (d *Docker) converse(ctx context.Context, execID string, conn types.HijackedResponse, e node.Exec) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	if e.Stdin != nil {
		go func() {
			_, _ = io.Copy(conn.Conn, e.Stdin) // an end of either side ends the copy
			if e.TTY {
				_, _ = conn.Conn.Write([]byte{endOfTransmission}) // half closed, Docker would end the output too
				return
			}
			_ = conn.CloseWrite()
		}()
	}
	if e.Resize != nil {
		d.wg.Go(func() { d.resize(ctx, execID, e.Resize) })
	}
	if e.Signals != nil {
		d.wg.Go(func() { d.signal(ctx, execID, e.Signals) })
	}
	out, errOut := writer(e.Stdout), writer(e.Stderr)
	var err error
	if e.TTY {
		_, err = io.Copy(out, conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(out, errOut, conn.Reader)
	}
	if isClosed(err) {
		return nil
	}
	return err
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

func isClosed(err error) bool {
	return err != nil && strings.Contains(err.Error(), net.ErrClosed.Error())
}

func (d *Docker) resize(ctx context.Context, execID string, sizes <-chan [2]uint16) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-sizes:
			if !ok {
				return
			}
			o := container.ResizeOptions{Width: uint(s[0]), Height: uint(s[1])}
			if err := d.api.ContainerExecResize(ctx, execID, o); err != nil && ctx.Err() == nil {
				d.log.Debug("resize a terminal", "error", err)
			}
		}
	}
}

// execStatus asks for the exit status; Docker notes it a moment after the output has ended.
func (d *Docker) execStatus(ctx context.Context, execID string) (int, error) {
	x, err := d.awaitExec(ctx, execID, func(x container.ExecInspect) bool { return !x.Running })
	if ctx.Err() != nil {
		d.killExec(execID)
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, failed("exec", err)
	}
	return x.ExitCode, nil
}

// awaitExec looks at a command again and again until done likes what it sees, or ctx ends.
func (d *Docker) awaitExec(ctx context.Context, execID string, done func(container.ExecInspect) bool) (container.ExecInspect, error) {
	for pause := time.Millisecond; ; pause = min(pause*2, 100*time.Millisecond) {
		x, err := d.api.ContainerExecInspect(ctx, execID)
		if err != nil || done(x) {
			return x, err
		}
		select {
		case <-ctx.Done():
			return x, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// signal passes signals on to the command until ctx ends; Docker has no call for it.
func (d *Docker) signal(ctx context.Context, execID string, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-signals:
			if !ok {
				return
			}
			if n, is := s.(syscall.Signal); is {
				d.kill(ctx, execID, n)
			}
		}
	}
}

// killExec ends a command that nobody listens to.
func (d *Docker) killExec(execID string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d.kill(ctx, execID, syscall.SIGKILL)
}

// kill sends a signal to the process group of a command, which runc makes the leader of a session of its own. Docker
// notes the number of a process only after it has begun, so that a command's first output may come before it.
func (d *Docker) kill(ctx context.Context, execID string, s syscall.Signal) {
	x, err := d.awaitExec(ctx, execID, func(x container.ExecInspect) bool { return x.Pid > 1 })
	if err != nil || !x.Running || !d.info.local || !inContainer(x.Pid, x.ContainerID) {
		return
	}
	if err := syscall.Kill(-x.Pid, s); err != nil {
		d.log.Debug("signal a command", "signal", s, "error", err)
	}
}

// inContainer reports whether a process belongs to a container, so that a number that has gone to another
// process is not taken for it.
func inContainer(pid int, containerID string) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	return err == nil && strings.Contains(string(text), containerID)
}
