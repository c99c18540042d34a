package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node"
)

// embeddedDNS is where Docker answers name look-ups of containers on its own networks.
const embeddedDNS = "127.0.0.11:53"

// Dial implements node.Engine: the connection is made from the container's network namespace. Without the
// right to enter it (we are not root) only the ports that the workload offers to others can be dialed.
func (d *Docker) Dial(ctx context.Context, id, network, address string) (net.Conn, error) {
	i := d.find(id)
	if i == nil {
		return nil, fmt.Errorf("dial in workload %s: %w", id, node.ErrNotFound)
	}
	if network != "tcp" {
		return nil, fmt.Errorf("dial in workload %s: network %q: use tcp", id, network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial in workload %s: %w", id, err)
	}
	ns, err := i.networkNamespace(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial in workload %s: %w", id, err)
	}
	defer ns.Close()
	ips, err := lookup(ctx, ns, host)
	if err != nil {
		return nil, fmt.Errorf("dial in workload %s: %w", id, err)
	}
	var errs []error
	for _, ip := range ips {
		conn, err := dialIn(ctx, ns, network, net.JoinHostPort(ip.String(), port))
		if errors.Is(err, os.ErrPermission) && ip.IsLoopback() {
			var outside net.Dialer
			conn, err = outside.DialContext(ctx, network, net.JoinHostPort(i.snapshot().Address, port))
		}
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("dial in workload %s: %w", id, errors.Join(errs...))
}

// networkNamespace opens the namespace of the container's process. The open file stands for the container even if
// the process ends and its number goes to another.
func (i *instance) networkNamespace(ctx context.Context) (*os.File, error) {
	c, err := i.d.api.ContainerInspect(ctx, i.containerID())
	if err != nil {
		return nil, err
	}
	if c.State.Pid <= 1 || !i.d.info.local {
		return nil, fmt.Errorf("it does not run on this machine: %w", node.ErrNotFound)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(c.State.Pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	if !inContainer(c.State.Pid, c.ID) {
		return nil, errors.Join(fmt.Errorf("it has just ended: %w", node.ErrNotFound), ns.Close())
	}
	return ns, nil
}

var (
	loopback4 = net.IPv4(127, 0, 0, 1)
	loopback6 = net.IPv6loopback
)

// lookup asks who answers in the namespace. "localhost" means both loopback addresses, without asking.
func lookup(ctx context.Context, ns *os.File, host string) ([]net.IP, error) {
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}, nil
	}
	if host == "localhost" || host == "" {
		return []net.IP{loopback4, loopback6}, nil
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialIn(ctx, ns, network, embeddedDNS)
	}}
	return resolver.LookupIP(ctx, "ip", host)
}

// dialIn dials an IP address on a thread that has entered the namespace. The thread is never given back: it
// ends with its goroutine, so that nothing else can come to run in the namespace.
func dialIn(ctx context.Context, ns *os.File, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(ns); err != nil {
			done <- result{nil, fmt.Errorf("enter the network of the container: %w", err)}
			return
		}
		var dialer net.Dialer // a single address is dialed on this goroutine, hence on this thread
		conn, err := dialer.DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// enter has the thread enter the namespace. A question to a name server may outlive who asked it, and so come when ns is closed:
// then it is an error, and no other file with its number is taken for it.
func enter(ns *os.File) error {
	raw, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	return errors.Join(err, refused)
}
