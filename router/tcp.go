package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tcpFront keeps one listener open for each TCP route of the table. A port that cannot be had is told once and
// tried again later; the other routes do not feel it.
type tcpFront struct {
	rt *Router

	mu      sync.Mutex
	serving bool
	closed  bool
	wanted  map[int]*route // as in the newest table
	open    map[int]*tcpPort
	failed  map[int]string // why a wanted port is not open
	wg      sync.WaitGroup // accepting, and connections
}

// tcpPort is one open port with its connections.
type tcpPort struct {
	rt     *Router
	number int
	ln     net.Listener
	ctx    context.Context // its end cuts the connections
	cut    context.CancelFunc
	wg     *sync.WaitGroup
	tcpCounters
}

type tcpCounters struct {
	open, total, refused, failed atomic.Int64
	bytesIn, bytesOut            atomic.Int64
}

func newTCPFront(rt *Router) *tcpFront {
	return &tcpFront{rt: rt, open: map[int]*tcpPort{}, failed: map[int]string{}}
}

// begin opens the ports of the table, now and whenever it changes.
func (f *tcpFront) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serving = true
	f.syncLocked()
}

// end closes the ports and cuts their connections.
func (f *tcpFront) end() {
	f.mu.Lock()
	f.closed = true
	for _, p := range f.open {
		p.ln.Close()
		p.cut()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// serve keeps trying ports that were in use, until ctx ends.
func (f *tcpFront) serve(ctx context.Context) {
	defer f.end()
	retry := time.NewTicker(f.rt.opts.TCPRetry)
	defer retry.Stop()
	for {
		select {
		case <-retry.C:
			f.mu.Lock()
			f.syncLocked()
			f.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// sync makes the open ports those of the table. When it returns, connections to a new port are taken.
func (f *tcpFront) sync(wanted map[int]*route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = wanted
	f.syncLocked()
}

func (f *tcpFront) syncLocked() {
	if !f.serving || f.closed {
		return
	}
	for number, p := range f.open {
		if f.wanted[number] == nil {
			f.closeLocked(number, p)
		}
	}
	for number := range f.failed {
		if f.wanted[number] == nil {
			delete(f.failed, number)
		}
	}
	for number := range f.wanted {
		if f.open[number] == nil {
			f.openLocked(number)
		}
	}
}

func (f *tcpFront) openLocked(number int) {
	addr := net.JoinHostPort(f.rt.opts.TCPHost, strconv.Itoa(number))
	ln, err := new(net.ListenConfig).Listen(f.rt.upgrades, "tcp", addr)
	if err != nil {
		f.failLocked(number, explainListen(addr, err))
		return
	}
	if f.failed[number] != "" {
		f.rt.log.Info("the port of a TCP route is open at last", "port", number)
		delete(f.failed, number)
	}
	p := &tcpPort{rt: f.rt, number: number, ln: ln, wg: &f.wg}
	p.ctx, p.cut = context.WithCancel(context.Background())
	f.open[number] = p
	f.wg.Go(p.accept)
}

func explainListen(addr string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return addr + " is in use by another program: stop that program, or delete the route and map one with another port"
	case errors.Is(err, syscall.EACCES):
		return addr + " is not allowed to this user: use ports above 1023"
	}
	return fmt.Sprintf("%s cannot be listened on: %v", addr, err)
}

// failLocked tells of each reason once, not at each attempt.
func (f *tcpFront) failLocked(number int, why string) {
	if f.failed[number] != why {
		f.failed[number] = why
		f.rt.log.Error("a TCP route is not served", "port", number, "reason", why)
	}
}

// closeLocked takes no more connections and leaves those that there are some time to end.
func (f *tcpFront) closeLocked(number int, p *tcpPort) {
	delete(f.open, number)
	p.ln.Close()
	time.AfterFunc(f.rt.opts.TCPDrain, p.cut)
	context.AfterFunc(f.rt.upgrades, p.cut)
}

// stats returns the counters of the open ports, and why others are not open.
func (f *tcpFront) stats() map[int]TCPStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[int]TCPStats, len(f.open)+len(f.failed))
	for number, p := range f.open {
		out[number] = TCPStats{
			Open: int(p.open.Load()), Connections: uint64(p.total.Load()), Refused: uint64(p.refused.Load()),
			Failed: uint64(p.failed.Load()), BytesIn: uint64(p.bytesIn.Load()), BytesOut: uint64(p.bytesOut.Load()),
		}
	}
	for _, number := range slices.Collect(maps.Keys(f.failed)) {
		out[number] = TCPStats{Error: f.failed[number]}
	}
	return out
}

// accept takes connections until the port is closed.
func (p *tcpPort) accept() {
	for wait := time.Duration(0); ; {
		c, err := p.ln.Accept()
		switch {
		case err == nil:
			wait = 0
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files, mostly: others may close some
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			p.rt.log.Warn("no connection could be taken", "port", p.number, "error", err)
			select {
			case <-time.After(wait):
			case <-p.ctx.Done():
				return
			}
			continue
		}
		if p.open.Add(1) > int64(p.rt.opts.TCPConnections) {
			p.open.Add(-1)
			p.refused.Add(1)
			reset(c)
			continue
		}
		p.total.Add(1)
		p.wg.Go(func() {
			defer p.open.Add(-1)
			p.serve(c)
		})
	}
}

// reset closes a connection so that the other side sees an error, not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
