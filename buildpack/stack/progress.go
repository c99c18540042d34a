package stack

import (
	"strconv"
	"strings"
)

// progressTotal is the "total" that Options.Progress is told: parts in a thousand.
const progressTotal = 1000

// progress maps the lines that debootstrap and apt print to one number that only grows.
type progress struct {
	report   func(step string, done, total int)
	step     string
	from, to int // the share of the whole that the current step has
	seen     int // lines of work seen in this step
	expected int
	last     int
}

func newProgress(report func(string, int, int)) *progress {
	return &progress{report: report, expected: 1}
}

// begin starts a step that ends at to (of progressTotal) and is thought to take expected lines.
func (p *progress) begin(step string, to, expected int) {
	p.step, p.from, p.to, p.seen, p.expected = step, p.to, to, 0, max(expected, 1)
	p.last = p.from
	p.report(step, p.from, progressTotal)
}

// line counts a line of output when it tells of work done.
func (p *progress) line(s string) {
	if n, ok := newlyInstalled(s); ok {
		p.expected = max(3*n, 1) // each package is fetched, unpacked and set up
		return
	}
	if !tellsWork(s) {
		return
	}
	p.seen++
	done := p.from + (p.to-p.from)*min(p.seen, p.expected)/p.expected
	if done != p.last {
		p.last = done
		p.report(p.step, done, progressTotal)
	}
}

func tellsWork(s string) bool {
	for _, prefix := range []string{"Get:", "Unpacking ", "Setting up ", "I: Retrieving ", "I: Validating ", "I: Extracting ", "I: Unpacking ", "I: Configuring "} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// newlyInstalled reads apt's "0 upgraded, 93 newly installed, 0 to remove and 0 not upgraded."
func newlyInstalled(s string) (int, bool) {
	before, _, ok := strings.Cut(s, " newly installed, ")
	if !ok {
		return 0, false
	}
	_, number, ok := strings.Cut(before, "upgraded, ")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return n, err == nil
}
