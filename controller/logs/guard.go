package logs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// ErrForbiddenAddress says that a drain leads to where the platform lets nobody send: to itself, or to a network that
// only this machine can reach.
var ErrForbiddenAddress = errors.New("drains may not go to this address")

// Guard says which addresses drains may go to. What people give as a drain is connected to from this machine, which can
// reach more than they can: its own services, those of its cloud.
type Guard struct {
	// Allow are networks that are allowed whatever is said below: the operator's word.
	Allow []netip.Prefix
	// OwnPort reports whether a port of this machine is open to everybody anyway: those of the router and of TCP
	// routes. Nil: none is.
	OwnPort func(port int) bool
	// Inside are networks that this machine reaches and people do not: those of containers, where the rules between
	// apps do not hold for it.
	Inside []netip.Prefix
}

// Control is what a net.Dialer asks with each address, after names were looked up, so that no name can lead elsewhere.
func (g Guard) Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbiddenAddress, address)
	}
	return g.check(netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()))
}

func (g Guard) check(at netip.AddrPort) error {
	ip := at.Addr()
	if slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	switch {
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast(): // the metadata of clouds is link-local
	case ip.IsLoopback() || isOwn(ip): // also where a network of containers begins
		if g.OwnPort != nil && g.OwnPort(int(at.Port())) {
			return nil
		}
	case !g.inside(ip):
		return nil
	}
	return fmt.Errorf("%w: %s", ErrForbiddenAddress, at)
}

func (g Guard) inside(ip netip.Addr) bool {
	return slices.ContainsFunc(g.Inside, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// isOwn reports whether an address is one of this machine's.
func isOwn(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true // better no drain than a hole
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		own, ok := netip.AddrFromSlice(n.IP)
		return ok && own.Unmap() == ip
	})
}
