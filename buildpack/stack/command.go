package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// command is a program that works on a root folder as root.
type command struct {
	args []string
	// root, when set, is the root folder that the program sees. It then gets a /proc of its own.
	root string
	env  []string
	line func(string) // told each line of output; may be nil
	log  io.Writer    // gets all output; may be nil
}

// CommandError is a program that failed, with the last lines it printed.
type CommandError struct {
	Program string
	Tail    []string
	Err     error
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Program, e.Err)
	if len(e.Tail) > 0 {
		s += ": " + strings.Join(e.Tail, " / ")
	}
	return s
}

func (e *CommandError) Unwrap() error { return e.Err }

// tailLines is how much output an error quotes.
const tailLines = 6

// run runs the command in mount and process namespaces of its own and waits for it.
//
// The namespaces end with the program, however it ends: its mounts vanish and all that it started is killed.
// When ctx ends, or this process dies, the program is killed.
func (c command) run(ctx context.Context) error {
	args := []string{"--mount", "--pid", "--fork", "--kill-child"}
	if c.root != "" {
		args = append(args, "--root="+c.root, "--mount-proc")
	}
	cmd := exec.CommandContext(ctx, "unshare", append(append(args, "--"), c.args...)...)
	cmd.Env = c.env
	cmd.WaitDelay = 10 * time.Second
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w

	done := make(chan error, 1)
	go func() {
		err := startOnOwnThread(cmd)
		w.Close()
		done <- err
	}()
	tail := c.follow(out)
	err := <-done
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return explain(&CommandError{Program: c.args[0], Tail: tail, Err: err})
}

// startOnOwnThread runs cmd from a thread that is given up afterwards: its umask is set to what packages
// expect whatever ours is, and the kernel kills the child when the thread dies, that is when we do.
func startOnOwnThread(cmd *exec.Cmd) error {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("separate the thread: %w", err)
	}
	unix.Umask(0o022)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	return cmd.Run()
}

// follow passes lines on and returns the last of them, errors first.
func (c command) follow(r io.Reader) []string {
	var tail, errs []string
	br := bufio.NewReader(r)
	for {
		s, err := br.ReadString('\n')
		if s = strings.TrimSpace(s); s != "" {
			if c.line != nil {
				c.line(s)
			}
			if c.log != nil {
				fmt.Fprintln(c.log, s)
			}
			if strings.HasPrefix(s, "E: ") || strings.HasPrefix(s, "dpkg: error") {
				errs = keep(errs, s)
			}
			tail = keep(tail, s)
		}
		if err != nil {
			break
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return tail
}

func keep(lines []string, s string) []string {
	lines = append(lines, s)
	return lines[max(0, len(lines)-tailLines):]
}

// explain finds the known causes in what a program printed and says what to do about them.
func explain(e *CommandError) error {
	said := strings.ToLower(strings.Join(e.Tail, "\n"))
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(said, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no space left on device", "not enough free disk space", "don't have enough free space"):
		return fmt.Errorf("%w; free about 4 GB and try again: %w", ErrNoSpace, e)
	case has("failed getting release file", "couldn't download", "temporary failure resolving", "could not resolve",
		"could not connect", "failed to fetch", "connection timed out", "network is unreachable", "couldn't validate", "invalid release"):
		return fmt.Errorf("%w; check the network and proxy settings, or name a mirror that can be reached: %w", ErrMirror, e)
	case has("unshare failed: operation not permitted", "cannot change root"):
		return fmt.Errorf("root lacks the capability SYS_ADMIN, which making the stack needs: %w", e)
	}
	return e
}

// checkHost says what is missing on the machine before anything is begun.
func checkHost() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: preparing the stack needs root; run as root, or name your own images with --stack-build-image and --stack-run-image", ErrNotRoot)
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return fmt.Errorf("%w: install it with `apt-get install debootstrap`", ErrNoDebootstrap)
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		return errors.New("unshare is not installed: install it with `apt-get install util-linux`")
	}
	return nil
}

// hostEnv is the environment for debootstrap and apt: ours has no say beyond proxies.
func hostEnv() []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
	}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		for _, n := range []string{name, strings.ToUpper(name)} {
			if v := os.Getenv(n); v != "" {
				env = append(env, name+"="+v)
				break
			}
		}
	}
	return env
}
