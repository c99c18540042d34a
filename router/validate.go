package router

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxProblems bounds the errors that SetTable collects before it gives up on a table.
const maxProblems = 10

const maxIdentifierBytes = 200

// validate looks at each route alone, and for names that are there twice.
func validate(routes []Route) error {
	var problems []error
	seen := make(map[Name]bool, len(routes))
	for i := range routes {
		r := &routes[i]
		if err := r.Validate(); err != nil {
			problems = append(problems, err)
		} else if seen[r.Name()] {
			problems = append(problems, fmt.Errorf("route %q is there twice: keep one", r.Name()))
		}
		seen[r.Name()] = true
		if len(problems) == maxProblems {
			break
		}
	}
	return errors.Join(problems...)
}

// String is the route as people write it.
func (n Name) String() string {
	if n.Port != 0 {
		return ":" + strconv.Itoa(n.Port)
	}
	return n.Host + n.Path
}

// Validate returns why SetTable would refuse a table with r, or nil. Who builds tables from what users wrote
// leaves such routes out, so that one of them does not hold up all others.
func (r *Route) Validate() error {
	name := r.Name()
	if err := r.validateName(); err != nil {
		return fmt.Errorf("route %q: %w", name, err)
	}
	if !isIdentifier(r.AppGUID) && r.AppGUID != "" {
		return fmt.Errorf("route %q: app GUID %q must be letters, digits, '-', '_', '.' or '/'", name, r.AppGUID)
	}
	if r.Handler != nil && len(r.Endpoints) > 0 {
		return fmt.Errorf("route %q has a handler and endpoints: give one of them", name)
	}
	if u, err := serviceURL(r.ServiceURL); err != nil || u != nil && (r.Port != 0 || r.Handler != nil) {
		return fmt.Errorf("route %q: its service URL must be a URL that begins with https://, and it must be for HTTP", name)
	}
	if r.Admits != nil && (r.Port != 0 || r.Handler != nil) {
		return fmt.Errorf("route %q: only an HTTP route of apps can say who may use it", name)
	}
	if err := r.validateBalancing(); err != nil {
		return fmt.Errorf("route %q: %w", name, err)
	}
	for i := range r.Endpoints {
		if err := r.Endpoints[i].validate(); err != nil {
			return fmt.Errorf("route %q: %w", name, err)
		}
	}
	return nil
}

func (r *Route) validateName() error {
	if r.Port == 0 {
		return errors.Join(validateHost(r.Host), validatePath(r.Path))
	}
	switch {
	case r.Port < 0 || r.Port > 65535:
		return fmt.Errorf("port %d must be from 1 to 65535", r.Port)
	case r.Host != "" || r.Path != "" || r.Handler != nil:
		return errors.New("a TCP route has no host, path or handler")
	case r.LoadBalancing == Hash:
		return errors.New("a TCP route has no header to hash")
	}
	return nil
}

func validateHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	if normal, ok := normalHost(name); !ok || normal != name {
		return fmt.Errorf("host %q must be a name in lower case, without port and dot at its end", host)
	}
	return nil
}

func validatePath(path string) error {
	if path == "" {
		return nil
	}
	if path[0] != '/' {
		return fmt.Errorf("path %q must begin with a slash", path)
	}
	if strings.ContainsAny(path, "?# \t\r\n") {
		return fmt.Errorf("path %q must not hold '?', '#' or white space: spell them percent-encoded", path)
	}
	return nil
}

func (r *Route) validateBalancing() error {
	switch r.LoadBalancing {
	case "", RoundRobin, LeastConnection:
		return nil
	case Hash:
	default:
		return fmt.Errorf("load balancing %q must be round-robin, least-connection or hash", r.LoadBalancing)
	}
	if r.HashHeader == "" {
		return errors.New("hash load balancing needs the name of a header: set HashHeader")
	}
	if r.HashBalance != 0 && !(r.HashBalance >= 1) {
		return fmt.Errorf("hash balance %g must be zero or at least 1", r.HashBalance)
	}
	return nil
}

func (e *Endpoint) validate() error {
	if !isIdentifier(e.InstanceID) {
		return fmt.Errorf("endpoint %s: instance id %q must be 1 to %d letters, digits, '-', '_', '.' or '/'",
			e.Address, e.InstanceID, maxIdentifierBytes)
	}
	addr, err := netip.ParseAddrPort(e.Address)
	if err != nil || addr.Port() == 0 || addr.Addr().IsUnspecified() {
		return fmt.Errorf("endpoint of instance %s: address %q must be ip:port", e.InstanceID, e.Address)
	}
	if e.Protocol != "" && e.Protocol != HTTP1 && e.Protocol != HTTP2 {
		return fmt.Errorf("endpoint of instance %s: protocol %q must be http1 or http2", e.InstanceID, e.Protocol)
	}
	if e.Weight < 0 || e.Weight > MaxWeight {
		return fmt.Errorf("endpoint of instance %s: weight %d must be from 0 to %d", e.InstanceID, e.Weight, MaxWeight)
	}
	for _, guid := range []string{e.AppGUID, e.ProcessGUID} {
		if guid != "" && !isIdentifier(guid) {
			return fmt.Errorf("endpoint of instance %s: GUID %q must be letters, digits, '-', '_', '.' or '/'", e.InstanceID, guid)
		}
	}
	return nil
}

// isIdentifier accepts what may stand in a header and a cookie as it is.
func isIdentifier(s string) bool {
	if s == "" || len(s) > maxIdentifierBytes {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' && c != '/' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
