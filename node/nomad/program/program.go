package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cupola-paas/cupola/node/nomad"
)

const (
	versionTime = 15 * time.Second // for the program to say its version
	stopTime    = 20 * time.Second // until it is killed
	restartMin  = time.Second      // between an end of Nomad's and its next start
	restartMax  = time.Minute
)

// Version finds the program and asks which version it is. The error says what to mend: there is none, or it is too old.
func Version(ctx context.Context, name string) (path, version string, err error) {
	if path, err = exec.LookPath(name); err != nil {
		return "", "", fmt.Errorf("there is no program %q: install Nomad %s or later, or name the program", name, nomad.MinVersion)
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return path, "", fmt.Errorf("%s does not say its version: %w: install Nomad %s or later", path, err, nomad.MinVersion)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	version = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "Nomad "), "v")
	if !nomad.NewEnough(version) {
		return path, version, fmt.Errorf("%s is version %q: install Nomad %s or later", path, version, nomad.MinVersion)
	}
	return path, version, nil
}

// Program is a nomad program. Its fields are set before Run and not changed.
type Program struct {
	Path, Config string    // files
	Out          io.Writer // takes what it says; nil: nobody hears it
	Log          *slog.Logger

	mu      sync.Mutex
	process *os.Process // nil: it does not run now
}

// Run keeps the program running until ctx ends, with longer and longer waits when it ends by itself. Instances go on
// meanwhile.
func (p *Program) Run(ctx context.Context) error {
	for pause := restartMin; ; pause = min(2*pause, restartMax) {
		began := time.Now()
		err := p.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > 2*restartMax {
			pause = restartMin
		}
		p.Log.Warn("Nomad has ended; it is started again", "after", pause, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// once runs it once. Should this process be killed, the kernel ends Nomad too, so that there are never two: the
// signal comes when the thread ends that started it, so the thread is kept.
func (p *Program) once(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, p.Path, "agent", "-config", p.Config)
	cmd.Stdout, cmd.Stderr = p.Out, p.Out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		return err
	}
	p.set(cmd.Process)
	err := cmd.Wait()
	p.set(nil)
	if ctx.Err() != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

func (p *Program) set(process *os.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
}

// Process is its process id; zero while it does not run.
func (p *Program) Process() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.Pid
}

// Reload has it read its configuration and certificates again. One that does not run reads them when it starts.
func (p *Program) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return nil
	}
	if err := p.process.Signal(syscall.SIGHUP); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("tell Nomad of its new certificate: %w", err)
	}
	return nil
}
