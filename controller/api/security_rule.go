package api

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	rulesMax         = 1000 // of one group
	ruleDestinations = 6000 // of one rule
)

// validateRules checks the rules of a security group and names the first that is wrong.
func validateRules(rules []capi.SecurityGroupRule) error {
	if len(rules) > rulesMax {
		return capi.Invalid("Rules may be %d at most", rulesMax)
	}
	for i, r := range rules {
		if problem := checkRule(r); problem != "" {
			return capi.Invalid("Rules[%d]: %s", i, problem)
		}
	}
	return nil
}

func checkRule(r capi.SecurityGroupRule) string {
	switch r.Protocol {
	case "tcp", "udp":
		if r.Ports == "" {
			return "ports are required for protocols of type TCP and UDP"
		}
		if !validPorts(r.Ports) {
			return "ports must be a valid single port, comma separated list of ports, or range of ports, formatted as a string"
		}
	case "icmp", "icmpv6":
		if r.Type == nil || r.Code == nil {
			return "type and code are required for protocols of type ICMP"
		}
		if *r.Type < -1 || *r.Type > 255 || *r.Code < -1 || *r.Code > 255 {
			return "type and code must be integers between -1 and 255 (inclusive)"
		}
	case "all":
		if r.Ports != "" {
			return "ports are not allowed for protocols of type all"
		}
	default:
		return "protocol must be 'tcp', 'udp', 'icmp', 'icmpv6' or 'all'"
	}
	destinations := strings.Split(r.Destination, ",")
	if len(destinations) > ruleDestinations {
		return fmt.Sprintf("destination may list %d addresses at most", ruleDestinations)
	}
	if !slices.ContainsFunc(destinations, func(d string) bool { return !validDestination(strings.TrimSpace(d)) }) {
		return ""
	}
	return fmt.Sprintf("destination '%s' must be a valid CIDR, IP address, or IP address range", clip(r.Destination, 100))
}

func validPorts(text string) bool {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, ok := port(from)
		if !ok {
			return false
		}
		if isRange {
			if b, ok := port(to); !ok || b < a {
				return false
			}
		}
	}
	return true
}

func port(text string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil && n >= 1 && n <= 65535
}

func validDestination(text string) bool {
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	from, to, isRange := strings.Cut(text, "-")
	a, err := netip.ParseAddr(from)
	if err != nil || a.Zone() != "" {
		return false
	}
	if !isRange {
		return true
	}
	b, err := netip.ParseAddr(to)
	return err == nil && a.Is4() == b.Is4() && a.Compare(b) <= 0
}
