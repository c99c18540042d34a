// Package supervise runs a process and its sidecars in one container: as the launcher does with each of them, but
// side by side and bound to each other. Who ends first ends all, so that the platform starts the instance anew;
// signals reach every one. It lives inside the container, so that it goes on when the platform is away.
//
// What a sidecar prints is marked, line by line, with its name (see Mark), since a container has one output only.
package supervise

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Variable is the environment variable that holds the Plan as JSON. The programs do not see it.
const Variable = "CUPOLA_SUPERVISE"

// Plan says what to run.
type Plan struct {
	Main     []string  `json:"main"` // words for the launcher; the first is the name it is called by
	Sidecars []Sidecar `json:"sidecars"`
}

// Sidecar is a command line beside the main process.
type Sidecar struct {
	Name    string `json:"name"`
	Command string `json:"command"`
}

// Supervisor runs a plan. Its fields are set before Run and not changed.
type Supervisor struct {
	Launcher       string   // path of the launcher
	Env            []string // without Variable
	Stdout, Stderr io.Writer
	// Grace is how long the others have to end after the first has; zero: 10 s.
	Grace time.Duration
}

// ParsePlan reads a Plan.
func ParsePlan(text string) (Plan, error) {
	var p Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("%s: %w", Variable, err)
	}
	if len(p.Main) == 0 || len(p.Sidecars) == 0 {
		return p, fmt.Errorf("%s: it names no process or no sidecar", Variable)
	}
	return p, nil
}

// ended is a program that has ended.
type ended struct {
	name   string // empty: the main process
	status int
}

// Run runs the plan until all has ended and returns the exit status of what ended first. It takes over the
// signals of this program.
func (s Supervisor) Run(p Plan) (int, error) {
	// The children are to die with us; the kernel watches the thread that started them.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	out, errOut := &sharedWriter{w: s.Stdout}, &sharedWriter{w: s.Stderr}

	ends := make(chan ended, 1+len(p.Sidecars))
	var running []*os.Process
	start := func(name string, words []string) error {
		cmd := s.command(words)
		lines, errLines := newLines(out, name), newLines(errOut, name)
		cmd.Stdout, cmd.Stderr = lines, errLines
		if err := cmd.Start(); err != nil {
			return err
		}
		running = append(running, cmd.Process)
		go func() {
			_ = cmd.Wait() // its outcome is in the state
			lines.Close()
			errLines.Close()
			ends <- ended{name, status(cmd.ProcessState)}
		}()
		return nil
	}
	if err := start("", p.Main); err != nil {
		return 0, fmt.Errorf("start the process: %w", err)
	}
	for _, sc := range p.Sidecars {
		if err := start(sc.Name, []string{s.Launcher, sc.Command}); err != nil {
			for _, r := range running {
				_ = r.Kill()
			}
			return 0, fmt.Errorf("start sidecar %q: %w", sc.Name, err)
		}
	}
	return s.wait(running, ends, signals), nil
}

func (s Supervisor) command(words []string) *exec.Cmd {
	return &exec.Cmd{
		Path: s.Launcher, Args: words, Env: s.Env, WaitDelay: 2 * time.Second,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
}

// wait passes signals on until all have ended. Those that outlive the first by the grace are killed, unless we were
// told to stop: then whoever told us decides.
func (s Supervisor) wait(running []*os.Process, ends <-chan ended, signals <-chan os.Signal) int {
	grace := s.Grace
	if grace == 0 {
		grace = 10 * time.Second
	}
	var first *ended
	var kill <-chan time.Time
	told := false
	for left := len(running); left > 0; {
		select {
		case sig := <-signals:
			told = told || sig == syscall.SIGTERM || sig == syscall.SIGINT
			tell(running, sig)
		case <-kill:
			tell(running, syscall.SIGKILL)
		case e := <-ends:
			left--
			if first != nil {
				continue
			}
			first = &e
			if told {
				continue
			}
			s.explain(e)
			kill = time.After(grace)
			tell(running, syscall.SIGTERM)
		}
	}
	return first.status
}

// explain says in the instance's log why all of it ends.
func (s Supervisor) explain(e ended) {
	if e.name != "" {
		fmt.Fprintf(s.Stderr, "Sidecar %q exited with status %d: the instance ends\n", e.name, e.status)
	}
}

func tell(running []*os.Process, sig os.Signal) {
	for _, p := range running {
		_ = p.Signal(sig) // it may have ended
	}
}

// status is the exit status as a shell tells it: 128 and the signal's number for a killed program.
func status(s *os.ProcessState) int {
	if s == nil {
		return 1
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}
