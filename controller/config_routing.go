package controller

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/router"
)

// validateRouting checks the flags of the router; its addresses are known to be host:port.
func (c Config) validateRouting() error {
	ports, err := api.ParsePortRanges(c.TCPPorts)
	if err != nil {
		return fmt.Errorf("--tcp-ports %q: %w: give ranges such as 1024-1123,2000", c.TCPPorts, err)
	}
	for _, a := range []struct{ flag, addr string }{{"--http", c.HTTPAddr}, {"--https", c.HTTPSAddr}, {"--registry", c.RegistryAddr}, {"--ssh", c.SSHAddr}} {
		_, text, _ := net.SplitHostPort(a.addr)
		if port, err := strconv.Atoi(text); err == nil && ports.Has(port) {
			return fmt.Errorf("--tcp-ports %s includes %d, which %s uses: give other ports", c.TCPPorts, port, a.flag)
		}
	}
	if c.Zone != "" && !zoneName.MatchString(c.Zone) {
		return fmt.Errorf("--zone %q has other characters than letters, digits, dashes and underscores, or more than 63", c.Zone)
	}
	_, err = c.tracing()
	return err
}

// zoneName is what labels of nodes look like.
var zoneName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)

// tracing reads which trace headers the router adds.
func (c Config) tracing() (t router.Tracing, err error) {
	for name := range strings.SplitSeq(c.TraceHeaders, ",") {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "w3c":
			t.W3C = true
		case "b3":
			t.B3 = true
		case "none", "":
		default:
			return t, fmt.Errorf("--trace-headers %q is not known: use w3c, b3, both with a comma, or none", name)
		}
	}
	return t, nil
}
