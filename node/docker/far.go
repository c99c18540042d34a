package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node"
)

// Workloads on other machines are reached by way of this process: the kernel turns what a policy allows aside to a port of ours
// at the gateway (table nat), and DialFar takes it to the machine of the other, where Connect takes it on. A
// connection that no policy allows is not turned aside, and refused like any other to an address that no group opens.

const (
	farDial  = 10 * time.Second // to reach the other machine and the workload there
	farLimit = 8192             // connections at the same time
	natTable = "nat"
)

// far is the half of the firewall that is about other machines. Its fields are guarded by firewall.mu.
type far struct {
	written string // rules that were handed over last
	counts  map[peers]uint64
}

func (p *plan) farChain() string { return p.prefix + "FAR" }

// farRules turn aside what policies allow to leave from members here.
func (p *plan) farRules(n *node.Network, members []member) []string {
	if n == nil {
		return nil
	}
	here, there := addressesByPeer(members), map[string][]netip.Addr{}
	for _, f := range n.Far {
		if f.Address.Is4() {
			there[f.Peer] = append(there[f.Peer], f.Address)
		}
	}
	var all []string
	for _, policy := range n.Policies {
		if policy.Protocol != "tcp" {
			continue
		}
		for _, to := range sortedAddresses(there[policy.To]) {
			for _, from := range sortedAddresses(here[policy.From]) {
				if len(all) == maxRules {
					return all
				}
				all = append(all, fmt.Sprintf("-s %s/32 -d %s/32 -i %s -p tcp -m tcp --dport %s -j DNAT --to-destination %s:%d",
					from, to, p.apps, ports(policy.Ports), p.gateway, p.farPort))
			}
		}
	}
	return all
}

// applyFarLocked writes the rules of the table nat where they differ, or in any case to verify. Who never had any never touches
// that table.
func (f *firewall) applyFarLocked(verify bool) error {
	if f.farPort == 0 || f.network == nil {
		return nil
	}
	var members []member
	for _, m := range f.members {
		members = append(members, m)
	}
	slices.SortFunc(members, byAddress)
	rules := f.farRules(f.network, members)
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n:%s - [0:0]\n", natTable, f.farChain())
	for _, rule := range rules {
		fmt.Fprintf(&b, "-A %s %s\n", f.farChain(), rule)
	}
	b.WriteString("COMMIT\n")
	if text := b.String(); f.far.written == "" && len(rules) == 0 || text == f.far.written && !verify {
		return nil
	} else if err := f.restore(text); err != nil {
		return err
	} else {
		f.far.written = text
	}
	return f.jumpIn(natTable, "PREROUTING", f.farChain())
}

// removeFarLocked takes the chain away.
func (f *firewall) removeFarLocked() error {
	if ok, err := f.ipt.ChainExists(natTable, f.farChain()); err != nil || !ok {
		return nil // there is no such table, or nothing of ours in it
	}
	f.far.written = ""
	return errors.Join(f.ipt.DeleteIfExists(natTable, "PREROUTING", "-j", f.farChain()), f.ipt.ClearAndDeleteChain(natTable, f.farChain()))
}

// way is what a connection that was turned aside is for.
func (f *firewall) way(from netip.Addr, to netip.AddrPort) (far node.Far, peer string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.network == nil {
		return far, "", false
	}
	for _, m := range f.members {
		if m.address == from {
			peer = m.peer
		}
	}
	i := slices.IndexFunc(f.network.Far, func(x node.Far) bool { return x.Address == to.Addr() })
	if i < 0 || !f.allowsLocked(peer, f.network.Far[i].Peer, to.Port()) {
		return far, peer, false
	}
	return f.network.Far[i], peer, true
}

func (f *firewall) allowsLocked(from, to string, port uint16) bool {
	return slices.ContainsFunc(f.network.Policies, func(p node.Policy) bool {
		return p.From == from && p.To == to && p.Protocol == "tcp" && p.Ports.From <= int(port) && int(port) <= p.Ports.To
	})
}

// countFar counts one connection to another machine. What no policy allows any more is forgotten.
func (f *firewall) countFar(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.far.counts == nil {
		f.far.counts = map[peers]uint64{}
	}
	f.far.counts[peers{from, to}]++
}

func (f *firewall) forgetFarLocked() {
	allowed := map[peers]bool{}
	for _, p := range f.network.Policies {
		allowed[peers{p.From, p.To}] = true
	}
	for pair := range f.far.counts {
		if !allowed[pair] {
			delete(f.far.counts, pair)
		}
	}
}

// listenFar opens the port for what is turned aside.
func (d *Docker) listenFar() error {
	if d.o.DialFar == nil {
		return nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(d.Gateway(), 0).String())
	if err != nil {
		return fmt.Errorf("listen for connections to other machines: %w", err)
	}
	d.fw.farPort = l.Addr().(*net.TCPAddr).Port
	d.wg.Go(func() {
		<-d.ctx.Done()
		_ = l.Close()
	})
	d.wg.Go(func() { d.serveFar(l) })
	return nil
}

func (d *Docker) serveFar(l net.Listener) {
	slots := make(chan struct{}, farLimit)
	var work sync.WaitGroup
	defer work.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if d.ctx.Err() != nil {
				return
			}
			d.log.Warn("a connection to another machine is not taken", "error", err)
			continue
		}
		select {
		case slots <- struct{}{}:
			work.Go(func() {
				defer func() { <-slots }()
				d.carry(conn.(*net.TCPConn))
			})
		default:
			reset(conn.(*net.TCPConn))
		}
	}
}

// carry takes one connection to where it was going.
func (d *Docker) carry(conn *net.TCPConn) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	var to netip.AddrPort
	if err == nil {
		to, err = wanted(conn)
	}
	if err != nil {
		reset(conn)
		return
	}
	far, peer, ok := d.fw.way(from.Addr().Unmap(), to)
	if !ok {
		reset(conn)
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, farDial)
	there, err := d.o.DialFar(ctx, far, peer, to)
	cancel()
	if err != nil {
		d.log.Debug("another machine is not reached", "node", far.Node, "peer", far.Peer, "error", err)
		reset(conn)
		return
	}
	d.fw.countFar(peer, far.Peer)
	defer context.AfterFunc(d.ctx, func() { reset(conn); _ = there.Close() })()
	node.Pipe(conn, there)
}

// reset ends a connection as one that is refused.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// wanted is where a connection that was turned aside was going.
func wanted(conn *net.TCPConn) (to netip.AddrPort, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return to, err
	}
	var m *unix.IPv6Mreq // of the same size as a sockaddr_in: family, port, address
	var failed error
	if err := raw.Control(func(fd uintptr) { m, failed = unix.GetsockoptIPv6Mreq(int(fd), syscall.SOL_IP, unix.SO_ORIGINAL_DST) }); err != nil {
		return to, err
	}
	if failed != nil {
		return to, failed
	}
	b := m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])), nil
}

// Connect takes a connection of a workload on another machine, of that peer, to one here. What no policy allows cannot be
// reached.
func (d *Docker) Connect(ctx context.Context, from string, to netip.AddrPort) (net.Conn, error) {
	f := d.fw
	f.mu.Lock()
	allowed := false
	for _, m := range f.members {
		if m.address == to.Addr() && f.network != nil && f.allowsLocked(from, m.peer, to.Port()) {
			allowed = true
		}
	}
	f.mu.Unlock()
	if !allowed {
		return nil, fmt.Errorf("connect to %s: %w: nobody there may be reached by who asks", to, node.ErrNotFound)
	}
	return (&net.Dialer{Timeout: farDial}).DialContext(ctx, "tcp", to.String())
}
