package docker

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// stateListen is TCP_LISTEN in /proc/net/tcp.
const stateListen = "0A"

// dockerDNS is where Docker's resolver listens inside each container.
var dockerDNS = netip.MustParseAddr("127.0.0.11")

// listeners are the TCP sockets that listen in the network of a process; nil when they cannot be read.
func listeners(pid int) []netip.AddrPort {
	var all []netip.AddrPort
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/" + name)
		if err != nil {
			return nil
		}
		all = append(all, parseListeners(string(text))...)
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

// parseListeners reads the format of proc_net_tcp(5).
func parseListeners(text string) []netip.AddrPort {
	all := []netip.AddrPort{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != stateListen {
			continue
		}
		a, ok := parseSocket(f[1])
		if ok && a.Addr() != dockerDNS {
			all = append(all, a)
		}
	}
	return all
}

// parseSocket reads "0100007F:1F90": 32-bit words in the machine's byte order, which is little-endian
// wherever we run.
func parseSocket(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if !ok || err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for n := 0; n < len(raw); n += 4 {
		binary.BigEndian.PutUint32(raw[n:], binary.LittleEndian.Uint32(raw[n:]))
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}

// explainPorts compares what an app listens on with what it should. Empty: nothing is wrong there, or
// nothing is known.
func explainPorts(want int, have []netip.AddrPort) string {
	if have == nil {
		return ""
	}
	if len(have) == 0 {
		return fmt.Sprintf("does not listen on any port; it must listen on $PORT (%d)", want)
	}
	var local, others []string
	for _, a := range have {
		loopback := a.Addr().IsLoopback()
		switch {
		case int(a.Port()) == want && !loopback:
			return ""
		case int(a.Port()) == want:
			local = append(local, a.String())
		case loopback:
			others = append(others, a.String())
		default:
			others = append(others, strconv.Itoa(int(a.Port())))
		}
	}
	if len(local) > 0 {
		return fmt.Sprintf("listens on %s only; listen on 0.0.0.0:%d", strings.Join(local, " and "), want)
	}
	others = slices.Compact(others)
	return fmt.Sprintf("listens on %s, not on $PORT (%d)", strings.Join(others[:min(len(others), 5)], ", "), want)
}
