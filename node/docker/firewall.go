package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-iptables/iptables"
)

const filterTable = "filter"

// linkLocal has the metadata services of the clouds in it.
const linkLocal = "169.254.0.0/16"

// firewall keeps two chains of our own: one that INPUT jumps to (from our bridges to this machine), one
// that DOCKER-USER jumps to (through this machine). It rewrites a chain only when it differs, so that a
// packet never meets half a chain in the daily round.
type firewall struct {
	mu              sync.Mutex
	ipt             *iptables.IPTables
	err             error
	input, forward  string // our chains
	apps, staging   string // interfaces
	hostPorts       []int
	nameservers     []string // link-local ones
	rejectSupported bool
}

func newFirewall(d *Docker) *firewall {
	id := strings.ToUpper(short(d.o.Installation))
	f := &firewall{
		input: "CUPOLA-" + id + "-IN", forward: "CUPOLA-" + id + "-FW",
		apps: d.nets.apps.iface, staging: d.nets.staging.iface,
		hostPorts: d.o.HostPorts, rejectSupported: true,
	}
	if !d.info.local {
		f.err = errors.New("Docker runs on another machine, whose rules cannot be set from here")
		return f
	}
	if f.ipt, f.err = iptables.New(); f.err != nil {
		f.err = fmt.Errorf("iptables cannot be used (%w); install it and start again", f.err)
	}
	f.nameservers = linkLocalNameservers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
	return f
}

// apply makes the rules so. Doing it again changes nothing.
func (f *firewall) apply() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if err := f.chain(f.input, f.inputRules()); err != nil {
		return err
	}
	if err := f.chain(f.forward, f.forwardRules()); err != nil {
		return err
	}
	if err := f.jump("INPUT", f.input); err != nil {
		return err
	}
	return f.jump(f.forwardHook(), f.forward)
}

// applyRules applies them again later; that there is no iptables has been said at opening.
func (d *Docker) applyRules() {
	if err := d.fw.apply(); err != nil && d.fw.err == nil {
		d.log.Warn("apply the rules of the bridges", "error", err)
	}
}

// forwardHook is DOCKER-USER, which Docker never clears; where Docker does without iptables, FORWARD.
func (f *firewall) forwardHook() string {
	if ok, err := f.ipt.ChainExists(filterTable, "DOCKER-USER"); err == nil && ok {
		return "DOCKER-USER"
	}
	return "FORWARD"
}

func (f *firewall) refuse() []string {
	if f.rejectSupported {
		return []string{"-j", "REJECT", "--reject-with", "icmp-port-unreachable"}
	}
	return []string{"-j", "DROP"}
}

// inputRules: answers are let through (health checks and the router come from this machine); apps reach
// the router and DNS, builds nothing.
func (f *firewall) inputRules() [][]string {
	var rules [][]string
	for _, b := range []string{f.apps, f.staging} {
		rules = append(rules, []string{"-i", b, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"})
	}
	for _, p := range f.hostPorts {
		rules = append(rules, []string{"-i", f.apps, "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(p), "-j", "ACCEPT"})
	}
	for _, proto := range []string{"udp", "tcp"} {
		rules = append(rules, []string{"-i", f.apps, "-p", proto, "-m", proto, "--dport", "53", "-j", "ACCEPT"})
	}
	for _, b := range []string{f.apps, f.staging} {
		rules = append(rules, append([]string{"-i", b}, f.refuse()...))
	}
	return rules
}

// forwardRules: no metadata service, no neighbour. Where a cloud's resolver has a link-local address,
// that address stays reachable for DNS alone.
func (f *firewall) forwardRules() [][]string {
	var rules [][]string
	bridges := []string{f.apps, f.staging}
	for _, b := range bridges {
		for _, ns := range f.nameservers {
			for _, proto := range []string{"udp", "tcp"} {
				rules = append(rules, []string{"-d", ns + "/32", "-i", b, "-p", proto, "-m", proto, "--dport", "53", "-j", "RETURN"})
			}
		}
		rules = append(rules, append([]string{"-d", linkLocal, "-i", b}, f.refuse()...))
		for _, to := range bridges {
			rules = append(rules, append([]string{"-i", b, "-o", to}, f.refuse()...))
		}
	}
	return rules
}

// chain makes a chain of ours have exactly these rules.
func (f *firewall) chain(name string, rules [][]string) error {
	if f.same(name, rules) {
		return nil
	}
	if err := f.ipt.ClearChain(filterTable, name); err != nil { // makes it when absent
		return fmt.Errorf("iptables chain %s: %w", name, err)
	}
	for _, r := range rules {
		if err := f.ipt.Append(filterTable, name, r...); err != nil {
			if f.rejectSupported && slices.Contains(r, "REJECT") {
				f.rejectSupported = false // the kernel lacks it: drop instead
				return f.chain(name, f.withDrop(rules))
			}
			return fmt.Errorf("iptables chain %s: %w", name, err)
		}
	}
	return nil
}

func (f *firewall) withDrop(rules [][]string) [][]string {
	for n, r := range rules {
		if i := slices.Index(r, "REJECT"); i > 0 {
			rules[n] = append(slices.Clone(r[:i]), "DROP")
		}
	}
	return rules
}

func (f *firewall) same(name string, rules [][]string) bool {
	have, err := f.ipt.List(filterTable, name)
	if err != nil || len(have) != len(rules)+1 { // the first line is the chain itself
		return false
	}
	for n, r := range rules {
		if have[n+1] != "-A "+name+" "+strings.Join(r, " ") {
			return false
		}
	}
	return true
}

// jump sees to it that hook begins with our chain.
func (f *firewall) jump(hook, to string) error {
	have, err := f.ipt.List(filterTable, hook)
	if err != nil {
		return fmt.Errorf("iptables chain %s: %w", hook, err)
	}
	if slices.Contains(have, "-A "+hook+" -j "+to) {
		return nil
	}
	if err := f.ipt.Insert(filterTable, hook, 1, "-j", to); err != nil {
		return fmt.Errorf("iptables chain %s: %w", hook, err)
	}
	return nil
}

// remove takes our chains away, and the jumps to them from wherever they were put.
func (f *firewall) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ipt == nil {
		return nil
	}
	var errs []error
	for hook, to := range map[string]string{"INPUT": f.input, "DOCKER-USER": f.forward, "FORWARD": f.forward} {
		if ok, err := f.ipt.ChainExists(filterTable, hook); err != nil || !ok {
			continue
		}
		if ok, err := f.ipt.ChainExists(filterTable, to); err == nil && ok {
			errs = append(errs, f.ipt.DeleteIfExists(filterTable, hook, "-j", to))
		}
	}
	for _, c := range []string{f.input, f.forward} {
		if ok, err := f.ipt.ChainExists(filterTable, c); err == nil && ok {
			errs = append(errs, f.ipt.ClearAndDeleteChain(filterTable, c))
		}
	}
	return errors.Join(errs...)
}

func linkLocalNameservers(files ...string) []string {
	var all []string
	for _, name := range files {
		text, _ := os.ReadFile(name) // absent on many systems
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() && a.IsLinkLocalUnicast() && !slices.Contains(all, a.String()) {
				all = append(all, a.String())
			}
		}
	}
	return all
}
