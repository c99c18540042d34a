package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// PortRanges are the ports that a router group lends to routes: inclusive ranges in rising order.
type PortRanges [][2]int

const (
	lowestPort  = 1024
	highestPort = 65535
)

// ParsePortRanges reads a list such as "1024-1123,2000". Ports below 1024 and ranges that overlap are errors.
func ParsePortRanges(text string) (PortRanges, error) {
	var all PortRanges
	if len(text) > 1000 {
		return nil, errors.New("the list of ports is longer than 1000 characters")
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		low, err := portNumber(from)
		if err != nil {
			return nil, err
		}
		high, err := portNumber(to)
		switch {
		case err != nil:
			return nil, err
		case high < low:
			return nil, fmt.Errorf("the range %s ends before it begins", strings.TrimSpace(part))
		case len(all) > 0 && low <= all[len(all)-1][1]:
			return nil, fmt.Errorf("the range %s must come after the one before it", strings.TrimSpace(part))
		}
		all = append(all, [2]int{low, high})
	}
	return all, nil
}

func portNumber(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < lowestPort || n > highestPort {
		return 0, fmt.Errorf("%q is no port from %d to %d", clip(strings.TrimSpace(text), 20), lowestPort, highestPort)
	}
	return n, nil
}

// Has reports whether the port is one of p.
func (p PortRanges) Has(port int) bool {
	for _, r := range p {
		if r[0] <= port && port <= r[1] {
			return true
		}
	}
	return false
}

// count is how many ports there are.
func (p PortRanges) count() int {
	n := 0
	for _, r := range p {
		n += r[1] - r[0] + 1
	}
	return n
}

// at is the i-th port, from 0.
func (p PortRanges) at(i int) int {
	for _, r := range p {
		if size := r[1] - r[0] + 1; i < size {
			return r[0] + i
		} else {
			i -= size
		}
	}
	return 0
}
