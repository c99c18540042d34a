package launcher

import "net"

// internalAddress is the variable in which an instance finds its own address (Cloud Foundry, app environment). The
// platform gives it empty, because the container gets its address only when it starts.
const internalAddress = "CF_INSTANCE_INTERNAL_IP"

// fillAddress completes internalAddress from the container's network interfaces.
func (l *Launcher) fillAddress(interfaces func() ([]net.Addr, error)) {
	if value, there := l.Env.Lookup(internalAddress); !there || value != "" {
		return
	}
	addresses, err := interfaces()
	if err != nil {
		return // the variable stays empty: an app without a network has no address
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			l.Env.Set(internalAddress, n.IP.String())
			return
		}
	}
}
