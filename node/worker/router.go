package worker

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A machine that joined may route too. Its router is a process of its own, cupola router, that goes on when the node's ends.

// DefaultRouterDir keeps what a machine is that only routes.
const DefaultRouterDir = "/var/lib/cupola-router"

// Router is where the router of a machine listens.
type Router struct {
	HTTP  string `json:"http"` // host:port
	HTTPS string `json:"https"`
	Zone  string `json:"zone,omitempty"` // of a machine that only routes; that of a node is its label
}

// SetRouter says of a machine that has joined where its router listens.
func SetRouter(dir string, r *Router) error {
	n, err := Load(dir)
	if err != nil {
		return err
	}
	n.Router = r
	return n.save(dir)
}

// Papers are the certificate of a machine that joined, as it is now, for another process than the node's.
type Papers struct{ p *papers }

// OpenPapers reads what Save wrote.
func OpenPapers(dir string) (*Node, *Papers, error) {
	n, err := Load(dir)
	if err != nil {
		return nil, nil, err
	}
	p, err := openPapers(dir, n)
	return n, &Papers{p}, err
}

// Door is how the controller's door is spoken to.
func (x *Papers) Door() *tls.Config { return x.p.client() }

// Keep replaces the certificate in time until ctx ends.
func (x *Papers) Keep(ctx context.Context, log *slog.Logger) error { return x.p.keepFresh(ctx, log) }

const (
	routerStop     = 15 * time.Second // for requests in flight, between the signal and the kill
	routerPauseMax = 30 * time.Second
	routerSettled  = time.Minute // after which an end is not one of many in a row
)

// superviseRouter runs the router and starts it again when it ends, until ctx does.
func superviseRouter(ctx context.Context, self, dir string, out io.Writer, log *slog.Logger) error {
	// The kernel ends the router with this process: it does so when the thread ends that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, routerPauseMax) {
		began := time.Now()
		cmd := exec.CommandContext(ctx, self, "router", "--dir", dir)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = routerStop
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		err := cmd.Run()
		if ctx.Err() != nil {
			return nil
		}
		log.Error("the router of this machine ended; it is started again", "error", err)
		if time.Since(began) > routerSettled {
			pause = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}
