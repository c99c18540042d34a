package docker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"github.com/cupola-paas/cupola/node"
)

// addresses gives out the addresses of one bridge. A container keeps the one it was given through restarts,
// ours or Docker's, so that the rules made for it before its first start stay true while nobody looks.
type addresses struct {
	mu      sync.Mutex
	subnet  netip.Prefix
	docker  netip.Prefix // what Docker gives out itself; ours are the others
	gateway netip.Addr
	used    map[netip.Addr]string // by the id of the workload or build
	last    netip.Addr            // given out; the search goes on behind it, so that none is used again soon
}

func newAddresses(subnet netip.Prefix, gateway netip.Addr) *addresses {
	return &addresses{subnet: subnet, docker: dockersShare(subnet), gateway: gateway, used: map[netip.Addr]string{}, last: subnet.Masked().Addr().Next()}
}

// dockersShare is the last sixteenth of a subnet, for containers that others connect to the bridge.
func dockersShare(subnet netip.Prefix) netip.Prefix {
	bits := min(subnet.Bits()+4, 30)
	return netip.PrefixFrom(last(subnet), bits).Masked()
}

// last is the highest address of an IPv4 prefix.
func last(p netip.Prefix) netip.Addr {
	first := p.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(first[:]) | uint32(1<<(32-p.Bits())-1)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// take returns the address of id: the one it has, the one that it wants if that is free, or any.
func (a *addresses) take(id, wanted string) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr, owner := range a.used {
		if owner == id {
			return addr, nil
		}
	}
	if addr, err := netip.ParseAddr(wanted); err == nil && a.mayGive(addr) {
		a.used[addr] = id
		return addr, nil
	}
	start := a.last
	for addr := a.next(start); addr != start; addr = a.next(addr) {
		if a.mayGive(addr) {
			a.used[addr], a.last = id, addr
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: all addresses of the network %s are taken", node.ErrInsufficient, a.subnet)
}

// mayGive reports whether an address is of our share and free.
func (a *addresses) mayGive(addr netip.Addr) bool {
	_, taken := a.used[addr]
	first := a.subnet.Masked().Addr()
	return !taken && addr != a.gateway && addr != first && a.subnet.Contains(addr) && !a.docker.Contains(addr)
}

// next is the address of our share that follows, beginning again behind the network's own.
func (a *addresses) next(addr netip.Addr) netip.Addr {
	addr = addr.Next()
	if !a.subnet.Contains(addr) || a.docker.Contains(addr) {
		addr = a.subnet.Masked().Addr().Next()
	}
	return addr
}

// note says that a container has this address already.
func (a *addresses) note(id string, addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr.IsValid() {
		a.used[addr] = id
	}
}

// give makes the addresses of id free again.
func (a *addresses) give(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr, owner := range a.used {
		if owner == id {
			delete(a.used, addr)
		}
	}
}
