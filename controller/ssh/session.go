package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/cupola-paas/cupola/node"
)

// Limits of what a client may send with a session.
const (
	maxEnv      = 64
	maxEnvBytes = 32 << 10
	maxCommand  = 100 << 10 // below what Linux takes as one argument
	maxCells    = 1000      // rows or columns of a terminal
)

// Requests of a session (RFC 4254 6).
type (
	ptyRequest struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	windowRequest struct{ Columns, Rows, Width, Height uint32 }
	envRequest    struct{ Name, Value string }
	textRequest   struct{ Text string } // exec, subsystem, signal
	exitStatus    struct{ Status uint32 }
	exitSignal    struct {
		Signal         string
		CoreDumped     bool
		Text, Language string
	}
)

// session is a channel on which one command runs.
type session struct {
	c       *connection
	channel ssh.Channel
	exec    node.Exec
	bytes   int // of the environment
	resize  chan [2]uint16
	signals chan os.Signal
	running sync.WaitGroup

	mu   sync.Mutex
	sent syscall.Signal // the last signal that the client asked for
}

// session serves a channel until its command has ended or the client has closed it.
func (c *connection) session(ctx context.Context, n ssh.NewChannel) {
	channel, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	ctx, cancel := context.WithCancel(ctx)
	x := &session{c: c, channel: channel, resize: make(chan [2]uint16, 1), signals: make(chan os.Signal, 8)}
	defer x.running.Wait()
	defer cancel() // a client that closes the channel ends the command
	for r := range requests {
		ok := x.request(r)
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if ok && startsCommand(r.Type) {
			x.running.Go(func() {
				defer c.s.caught()
				x.run(ctx)
			})
		}
	}
}

func startsCommand(kind string) bool { return kind == "shell" || kind == "exec" || kind == "subsystem" }

// request takes a request in and reports whether it was good.
func (x *session) request(r *ssh.Request) bool {
	began := x.exec.Command != nil
	switch r.Type {
	case "pty-req":
		var p ptyRequest
		return !began && ssh.Unmarshal(r.Payload, &p) == nil && x.terminal(p)
	case "env":
		var e envRequest
		return !began && ssh.Unmarshal(r.Payload, &e) == nil && x.env(e.Name, e.Value)
	case "shell":
		return !began && x.command("shell")
	case "exec":
		var t textRequest
		return !began && ssh.Unmarshal(r.Payload, &t) == nil && len(t.Text) <= maxCommand && x.command("exec", t.Text)
	case "subsystem":
		var t textRequest
		return !began && ssh.Unmarshal(r.Payload, &t) == nil && t.Text == "sftp" && x.command("sftp")
	case "window-change":
		var w windowRequest
		return ssh.Unmarshal(r.Payload, &w) == nil && x.window(w.Columns, w.Rows)
	case "signal":
		var t textRequest
		return began && ssh.Unmarshal(r.Payload, &t) == nil && x.signal(t.Text)
	}
	return false
}

func (x *session) terminal(p ptyRequest) bool {
	x.exec.TTY = x.window(p.Columns, p.Rows) && (p.Term == "" || x.env("TERM", p.Term))
	return x.exec.TTY
}

// window keeps the newest size for who resizes.
func (x *session) window(columns, rows uint32) bool {
	if columns > maxCells || rows > maxCells {
		return false
	}
	if columns == 0 || rows == 0 {
		return true // the client does not know
	}
	select {
	case <-x.resize:
	default:
	}
	x.resize <- [2]uint16{uint16(columns), uint16(rows)}
	return true
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

func (x *session) env(name, value string) bool {
	x.bytes += len(name) + len(value)
	if !variable.MatchString(name) || len(x.exec.Env) >= maxEnv || x.bytes > maxEnvBytes {
		return false
	}
	x.exec.Env = append(x.exec.Env, name+"="+value)
	return true
}

func (x *session) command(words ...string) bool {
	x.exec.Command = words
	return true
}

// signalNames are those of RFC 4254 6.10.
var signalNames = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL,
	"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV,
	"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func (x *session) signal(name string) bool {
	s, ok := signalNames[name]
	if !ok {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock() // held until it is noted: the command may end at once
	select {
	case x.signals <- s:
		x.sent = s
		return true
	default:
		return false // it is not taking them
	}
}

// run runs the command in the instance and tells the client how it ended.
func (x *session) run(ctx context.Context) {
	defer x.channel.Close()
	e := x.exec
	e.Program, e.Signals = x.c.s.guest, x.signals
	if e.TTY {
		e.Resize = x.resize
	}
	e.Stdin, e.Stdout, e.Stderr = x.channel, x.channel, x.channel.Stderr()
	status, err := x.c.s.o.Engine.Exec(ctx, x.c.visit.InstanceID, e)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, node.ErrNotFound):
		fmt.Fprintln(e.Stderr, "The instance is gone.")
		status = 255
	case err != nil:
		x.c.s.log.Warn("SSH session", "instance", x.c.visit.InstanceID, "error", err)
		fmt.Fprintln(e.Stderr, "The command could not be run in the instance.")
		status = 255
	}
	_ = x.channel.CloseWrite()
	x.tellEnd(status)
}

// tellEnd says that a signal has ended the command where the client itself has sent that signal. Otherwise the
// status is told as a shell does, 128 and the signal's number: the engine does not tell the two apart.
func (x *session) tellEnd(status int) {
	x.mu.Lock()
	sent := x.sent
	x.mu.Unlock()
	for name, s := range signalNames {
		if sent == s && status == 128+int(s) {
			_, _ = x.channel.SendRequest("exit-signal", false, ssh.Marshal(exitSignal{Signal: name}))
			return
		}
	}
	_, _ = x.channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{uint32(status)}))
}
