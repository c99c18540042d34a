package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-iptables/iptables"

	"github.com/cupola-paas/cupola/node"
)

const filterTable = "filter"

// kernelTime bounds one call of the kernel's tools, which wait for one another.
const kernelTime = 20 * time.Second

// firewall keeps chains of our own: INPUT jumps to one (from our bridges to this machine), DOCKER-USER to
// another (through this machine), and these lead to what each container may reach. All are written in one
// stroke, and only when they differ, so that a packet never meets half of them. They stay in the kernel when
// this process ends.
type firewall struct {
	mu  sync.Mutex
	ipt *iptables.IPTables
	err error
	plan

	network *node.Network     // nil until it was said: then what an earlier process wrote stays
	members map[string]member // by workload or build
	written string            // the text that was handed over last
	seen    []string          // our chains as the kernel's tool showed them then
	flows   flows             // what the rules counted
	far     far
}

func newFirewall(d *Docker) *firewall {
	f := &firewall{members: map[string]member{}, plan: plan{
		prefix: "CUPOLA-" + strings.ToUpper(short(d.o.Installation)) + "-",
		apps:   d.nets.apps.iface, staging: d.nets.staging.iface, gateway: d.Gateway(),
		hostPorts: d.o.HostPorts, log: true, refuse: "-j REJECT --reject-with icmp-port-unreachable",
	}}
	if !d.info.local {
		f.err = errors.New("Docker runs on another machine, whose rules cannot be set from here")
		return f
	}
	if f.ipt, f.err = iptables.New(); f.err == nil {
		_, f.err = exec.LookPath("iptables-restore")
	}
	if f.err != nil {
		f.err = fmt.Errorf("iptables cannot be used (%w); install it and start again", f.err)
	}
	f.nameservers = linkLocalNameservers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
	return f
}

// setNetwork changes what members may reach.
func (f *firewall) setNetwork(n node.Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.network = &n
	f.forgetFarLocked()
	return f.applyLocked(false)
}

// join makes the rules for one more container, before it starts.
func (f *firewall) join(id string, m member) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members[id] == m {
		return nil
	}
	f.members[id] = m
	return f.applyLocked(false)
}

// leave forgets a container. Its rules go with the next change: they must, before its address is used again,
// and that is a change.
func (f *firewall) leave(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.members, id)
}

// apply makes the rules so, also where somebody else changed them. Doing it again changes nothing.
func (f *firewall) apply() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applyLocked(true)
}

// applyLocked writes what differs from what was written last; verify looks at the kernel's copy, too.
func (f *firewall) applyLocked(verify bool) error {
	if f.err != nil {
		return f.err
	}
	if f.written == "" {
		verify = true // an earlier process may have left chains
	}
	have := f.seen
	if verify {
		var err error
		if have, err = f.list(); err != nil {
			return err
		}
	}
	if err := f.applyFarLocked(verify); err != nil {
		return err
	}
	want := f.want(have)
	if want.text(nil) == f.written && slices.Equal(have, f.seen) {
		if !verify {
			return nil
		}
		return f.hook()
	}
	if err := f.countLocked(); err != nil {
		return err
	}
	if err := f.write(want, have); err != nil {
		return err
	}
	f.flows.rewritten(&f.plan, f.network, slices.Collect(maps.Values(f.members)))
	seen, err := f.list()
	if err != nil {
		return err
	}
	f.seen = seen
	f.written = f.want(f.seen).text(nil)
	return f.hook()
}

// want are the chains that shall be. Until the network was said, those that an earlier process made for its
// members are not among them, and stay.
func (f *firewall) want(have []string) chains {
	c := chains{}
	f.base(c)
	switch {
	case f.network != nil:
		f.open(c, f.network, slices.SortedFunc(maps.Values(f.members), byAddress))
	case !slices.Contains(have, ":"+f.egress()):
		f.closed(c)
	}
	return c
}

// write hands the chains over. What the kernel lacks is done without: it drops what it cannot refuse, and
// does not log.
func (f *firewall) write(want chains, have []string) error {
	var gone []string
	if f.network != nil {
		for _, line := range have {
			if name, ok := strings.CutPrefix(line, ":"); ok {
				if _, wanted := want[name]; !wanted {
					gone = append(gone, name)
				}
			}
		}
	}
	err := f.restore(want.text(gone))
	switch {
	case err == nil:
		return nil
	case f.log:
		f.log = false
	case strings.Contains(f.refuse, "REJECT"):
		f.refuse = "-j DROP"
	default:
		return err
	}
	if again := f.write(f.want(have), have); again != nil {
		return err // the first failure says more
	}
	return nil
}

// restore is one atomic change of the kernel's table.
func (f *firewall) restore(text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), kernelTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait", "10")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// save is the table as the kernel's tool writes it.
func (f *firewall) save(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), kernelTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "iptables-save", append([]string{"-t", filterTable}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("iptables-save: %w", err)
	}
	return string(out), nil
}

// list are our chains and their rules as the kernel's tool writes them, without counters.
func (f *firewall) list() ([]string, error) {
	out, err := f.save()
	if err != nil {
		return nil, err
	}
	var ours []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ":"+f.prefix):
			name, _, _ := strings.Cut(line, " ")
			ours = append(ours, name)
		case strings.HasPrefix(line, "-A "+f.prefix):
			ours = append(ours, line)
		}
	}
	return ours, nil
}

// hook sees to it that our chains are asked.
func (f *firewall) hook() error {
	if err := f.jump("INPUT", f.input()); err != nil {
		return err
	}
	return f.jump(f.forwardHook(), f.forward())
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

// jump sees to it that hook begins with our chain.
func (f *firewall) jump(hook, to string) error {
	return f.jumpIn(filterTable, hook, to)
}

func (f *firewall) jumpIn(table, hook, to string) error {
	have, err := f.ipt.List(table, hook)
	if err != nil {
		return fmt.Errorf("iptables chain %s: %w", hook, err)
	}
	if slices.Contains(have, "-A "+hook+" -j "+to) {
		return nil
	}
	if err := f.ipt.Insert(table, hook, 1, "-j", to); err != nil {
		return fmt.Errorf("iptables chain %s: %w", hook, err)
	}
	return nil
}

// remove takes our chains away, and the jumps to them from wherever they were put.
func (f *firewall) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil
	}
	errs := []error{f.removeFarLocked()}
	for hook, to := range map[string]string{"INPUT": f.input(), "DOCKER-USER": f.forward(), "FORWARD": f.forward()} {
		if ok, err := f.ipt.ChainExists(filterTable, hook); err != nil || !ok {
			continue
		}
		if ok, err := f.ipt.ChainExists(filterTable, to); err == nil && ok {
			errs = append(errs, f.ipt.DeleteIfExists(filterTable, hook, "-j", to))
		}
	}
	have, err := f.list()
	errs = append(errs, err)
	var gone []string
	for _, line := range have {
		if name, ok := strings.CutPrefix(line, ":"); ok {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		errs = append(errs, f.restore(chains{}.text(gone)))
	}
	f.written, f.seen = "", nil
	return errors.Join(errs...)
}

func linkLocalNameservers(files ...string) []string {
	var all []string
	for _, a := range nameservers(files...) {
		if a.Is4() && a.IsLinkLocalUnicast() {
			all = append(all, a.String())
		}
	}
	return all
}

// nameservers are those that the files name, each once.
func nameservers(files ...string) []netip.Addr {
	var all []netip.Addr
	for _, name := range files {
		text, _ := os.ReadFile(name) // absent on many systems
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(f[1]); err == nil && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}
