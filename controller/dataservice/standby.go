package dataservice

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// standbyLife is how long a process waits in a container for its command, which then takes its own time.
const standbyLife = time.Minute

// standby is a process in an instance's container that waits for one command (keeper.Await). It is brought there while
// there is something else to wait for, since to bring a process into a container takes longer than most commands do.
type standby struct {
	stop    context.CancelFunc
	idle    *time.Timer // stops it, unless it is taken
	order   *io.PipeWriter
	greeted chan struct{} // closed when it waits
	ended   chan struct{} // closed when status and err are there
	status  int
	err     error

	mu     sync.Mutex
	stdout io.Writer // of the command
	stderr io.Writer
}

// outputOf and complaintsOf are what a standby's process writes to.
type (
	outputOf     struct{ s *standby }
	complaintsOf struct{ s *standby }
)

func (w outputOf) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.stdout == nil {
		if string(p) == keeper.Greeting {
			close(w.s.greeted)
			w.s.stdout = io.Discard
		}
		return len(p), nil
	}
	return w.s.stdout.Write(p)
}

func (w complaintsOf) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.stderr == nil {
		return len(p), nil
	}
	return w.s.stderr.Write(p)
}

// standBy brings a process into an instance's container for the next command, unless there is one. It ends with ctx, with the
// container, or when nobody needs it. Only images that this process has made are known to have a program that can wait.
func (m *Manager) standBy(ctx context.Context, s *store.DataService, o *Offering) {
	if len(o.Server.Exec) == 0 || !m.madeHere(s.ImageDigest) {
		return
	}
	guid := s.GUID
	ctx, stop := context.WithCancel(ctx)
	in, order := io.Pipe()
	by := &standby{stop: stop, idle: time.AfterFunc(standbyLife, stop), order: order, greeted: make(chan struct{}), ended: make(chan struct{})}
	m.mu.Lock()
	if m.standbys[guid] != nil {
		m.mu.Unlock()
		by.idle.Stop()
		stop()
		return
	}
	m.standbys[guid] = by
	m.mu.Unlock()
	m.work.Go(func() {
		defer stop()
		e := node.Exec{Command: []string{keeper.Path, "await"}, Stdin: in, Stdout: outputOf{by}, Stderr: complaintsOf{by}}
		by.status, by.err = m.Engine.Exec(ctx, guid, e)
		close(by.ended)
		by.idle.Stop()
		_ = in.CloseWithError(io.ErrClosedPipe) // for who still writes to it
		m.forgetStandby(guid, by)
	})
}

func (m *Manager) madeHere(digest string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made[digest]
}

// takeStandby takes a standby for a command; nil: there is none that waits.
func (m *Manager) takeStandby(guid string) *standby {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.standbys[guid]
	if s == nil {
		return nil
	}
	select {
	case <-s.greeted:
	default:
		return nil
	}
	delete(m.standbys, guid)
	if !s.idle.Stop() {
		return nil // it is just being stopped
	}
	return s
}

func (m *Manager) forgetStandby(guid string, s *standby) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.standbys[guid] == s {
		delete(m.standbys, guid)
	}
}

// exec runs a command in an instance's container, in the standby's place if there is one.
func (m *Manager) exec(ctx context.Context, guid string, e node.Exec) (int, error) {
	s := m.takeStandby(guid)
	if s == nil {
		return m.Engine.Exec(ctx, guid, e)
	}
	return s.become(ctx, e)
}

// become tells the standby its command and waits for its end.
func (s *standby) become(ctx context.Context, e node.Exec) (int, error) {
	defer s.stop()
	order := keeper.Order{Run: e.Command, Env: map[string]string{}}
	for _, kv := range e.Env {
		k, v, _ := strings.Cut(kv, "=")
		order.Env[k] = v
	}
	line, err := json.Marshal(order)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if e.Stdout != nil {
		s.stdout = e.Stdout
	}
	s.stderr = e.Stderr
	s.mu.Unlock()
	go func() {
		_, err := s.order.Write(append(line, '\n'))
		if err == nil && e.Stdin != nil {
			_, _ = io.Copy(s.order, e.Stdin)
		}
		_ = s.order.Close()
	}()
	select {
	case <-ctx.Done():
		s.stop()
		<-s.ended
		return 0, ctx.Err()
	case <-s.ended:
		return s.status, s.err
	}
}
