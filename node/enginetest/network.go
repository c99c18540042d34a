package enginetest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// server listens on an address of this machine that containers have a way to.
func server(t *testing.T) netip.AddrPort {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(n.IP.String(), "0"))
		if err != nil {
			continue
		}
		srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}}
		srv.Start()
		t.Cleanup(srv.Close)
		return netip.MustParseAddrPort(l.Addr().String())
	}
	t.Skip("this machine has no address besides loopback")
	return netip.AddrPort{}
}

// reach is a network in which the key "k" reaches one address and port.
func reach(to netip.AddrPort) node.Network {
	return node.Network{
		Groups: map[string][]node.Rule{"g": {{
			Protocol: "tcp", Destinations: []node.AddressRange{{From: to.Addr(), To: to.Addr()}},
			Ports: []node.PortRange{{From: int(to.Port()), To: int(to.Port())}},
		}}},
		Egress: map[string][]string{"k": {"g"}},
	}
}

func (s *suite) setNetwork(t *testing.T, n node.Network) {
	t.Helper()
	if err := s.e.SetNetwork(testContext(t), n); err != nil {
		t.Fatalf("set network: %v", err)
	}
}

// dials asks the app to connect and compares.
func dials(t *testing.T, what string, from node.Status, to string, want bool) {
	t.Helper()
	got := get(t, from, "/dial", url.Values{"to": {to}})
	if (got == "connected") != want {
		t.Errorf("%s: dial %s: %s, want it to connect: %t", what, to, got, want)
	}
}

// egress: a workload obeys its groups, from its first moment and as they change, also after this process.
func (s *suite) egress(t *testing.T) {
	to := server(t)
	s.setNetwork(t, node.Network{})
	with := func(key string) func(*node.Workload) { return func(w *node.Workload) { w.Egress = key } }
	w, other := s.start(t, with("k")), s.start(t, with("other"))
	st, stOther := s.untilReady(t, w.ID), s.untilReady(t, other.ID)
	dials(t, "without groups", st, to.String(), false)
	s.setNetwork(t, reach(to))
	dials(t, "after the group was bound", st, to.String(), true)
	dials(t, "one with another key", stOther, to.String(), false)
	late := s.start(t, with("k"))
	dials(t, "one that was started later", s.untilReady(t, late.ID), to.String(), true)
	if err := s.e.Close(); err != nil {
		t.Fatal(err)
	}
	dials(t, "while nobody looks", st, to.String(), true)
	dials(t, "another while nobody looks", stOther, to.String(), false)
	s.e = s.open(t, s.reg.Prefix)
	dials(t, "before the network is said again", st, to.String(), true)
	s.setNetwork(t, reach(to))
	get(t, st, "/dial", url.Values{"to": {to.String()}})
	s.knock("http://" + net.JoinHostPort(st.Address, strconv.Itoa(port)) + "/exit")
	again := s.until(t, w.ID, "it runs again", func(n node.Status) bool { return n.Ready && n.StartedAt.After(st.StartedAt) })
	if again.Address != st.Address {
		t.Errorf("after a restart its address is %s, was %s", again.Address, st.Address)
	}
	dials(t, "after a restart", again, to.String(), true)
	s.setNetwork(t, node.Network{})
	dials(t, "after the group was taken away", again, to.String(), false)
}

// policies: workloads reach one another where a policy says so, on its ports alone.
func (s *suite) policies(t *testing.T) {
	s.setNetwork(t, node.Network{})
	as := func(peer string) func(*node.Workload) { return func(w *node.Workload) { w.Peer = peer } }
	front, back := s.start(t, as("front")), s.start(t, as("back"))
	from, to := s.untilReady(t, front.ID), s.untilReady(t, back.ID)
	forward, backward := net.JoinHostPort(to.Address, strconv.Itoa(port)), net.JoinHostPort(from.Address, strconv.Itoa(port))
	dials(t, "without a policy", from, forward, false)
	allow := node.Policy{From: "front", To: "back", Protocol: "tcp", Ports: node.PortRange{From: port, To: port + 1}}
	s.setNetwork(t, node.Network{Policies: []node.Policy{allow}})
	dials(t, "with a policy", from, forward, true)
	dials(t, "the other way", to, backward, false)
	second := s.start(t, as("back"))
	dials(t, "one more of them", from, net.JoinHostPort(s.untilReady(t, second.ID).Address, strconv.Itoa(port)), true)
	s.taskReaches(t, forward)
	s.counts(t, "front", "back", 3)
	allow.Ports = node.PortRange{From: 1, To: port - 1}
	s.setNetwork(t, node.Network{Policies: []node.Policy{allow}})
	dials(t, "on another port", from, forward, false)
	allow.Ports, allow.Protocol = node.PortRange{From: port, To: port}, "udp"
	s.setNetwork(t, node.Network{Policies: []node.Policy{allow}})
	dials(t, "by another protocol", from, forward, false)
}

// counts: an engine that counts connections has seen at least as many between two peers.
func (s *suite) counts(t *testing.T, from, to string, least uint64) {
	t.Helper()
	c, ok := s.e.(node.FlowCounter)
	if !ok {
		return
	}
	all, err := c.Flows(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].From != from || all[0].To != to || all[0].Connections < least {
		t.Errorf("flows are %v, want %d connections or more from %s to %s and nothing else", all, least, from, to)
	}
}

// taskReaches: a task of a peer is one of it.
func (s *suite) taskReaches(t *testing.T, to string) {
	t.Helper()
	task := s.start(t, func(w *node.Workload) {
		w.Once, w.Command, w.Ports, w.Liveness, w.Peer = true, []string{"dial", to}, nil, node.Check{}, "front"
	})
	st := s.until(t, task.ID, "it ended", func(st node.Status) bool { return st.State == node.Exited })
	if st.ExitStatus != 0 {
		t.Errorf("a task of the peer does not reach %s", to)
	}
}

// files: what depends on the address is there at the start, and can be replaced while the workload runs.
func (s *suite) files(t *testing.T) {
	asked := ""
	w := s.start(t, func(w *node.Workload) {
		w.Finish = func(address string) (node.Extra, error) {
			asked = address
			return node.Extra{Env: map[string]string{"AT": address}, Files: map[string][]byte{
				"/etc/given/one": []byte("first"), "/etc/given/two": []byte("second"), "/etc/more/deep/er/three": []byte("nested"),
			}}, nil
		}
	})
	st := s.untilReady(t, w.ID)
	if asked != "" && asked != st.Address {
		t.Errorf("its address was said to be %q, and is %q", asked, st.Address)
	}
	read := func(name string) string { return get(t, st, "/file", url.Values{"name": {name}}) }
	if got := read("/etc/given/one") + read("/etc/given/two") + read("/etc/more/deep/er/three"); got != "firstsecondnested" {
		t.Errorf("the files hold %q", got)
	}
	if got := get(t, st, "/env", url.Values{"name": {"AT"}}); got != asked {
		t.Errorf("AT is %q, want %q", got, asked)
	}
	if got := get(t, st, "/overwrite", url.Values{"name": {"/etc/given/one"}}); !strings.Contains(got, "denied") {
		t.Errorf("the app can write its file: %q", got)
	}
	if err := s.e.UpdateFiles(testContext(t), w.ID, map[string][]byte{"/etc/given/one": []byte("third"), "/etc/given/two": []byte("fourth")}); err != nil {
		t.Fatal(err)
	}
	if got := read("/etc/given/one") + read("/etc/given/two"); got != "thirdfourth" {
		t.Errorf("after the update the files hold %q", got)
	}
	s.knock("http://" + net.JoinHostPort(st.Address, strconv.Itoa(port)) + "/exit")
	before := st.StartedAt
	st = s.until(t, w.ID, "it runs again", func(n node.Status) bool { return n.Ready && n.StartedAt.After(before) })
	if got := read("/etc/given/two"); got != "fourth" {
		t.Errorf("after a restart the file holds %q", got)
	}
	if err := s.e.UpdateFiles(testContext(t), "no-such-workload", map[string][]byte{"/a/b": nil}); err == nil {
		t.Error("files of a workload that is not there were updated")
	}
}

// rootWithoutCapabilities: an image with nothing but a program, whose user is root, runs without a capability.
func (s *suite) rootWithoutCapabilities(t *testing.T) {
	w := s.start(t, func(w *node.Workload) { w.Image, w.AllowRoot = s.reg.Image(t, "root"), true })
	st := s.untilReady(t, w.ID)
	status := procStatus(get(t, st, "/proc", nil))
	if status["Uid"] != "0 0 0 0" || status["CapEff"] != zeroCaps || status["CapBnd"] != zeroCaps || status["NoNewPrivs"] != "1" {
		t.Errorf("a root image runs as %v", status)
	}
}

// pullCredentials: an image of a registry that asks who wants it.
func (s *suite) pullCredentials(t *testing.T) {
	ref := s.reg.Image(t, "3000") // nobody has it yet
	for _, c := range []struct {
		user, secret string
		ok           bool
	}{{"", "", false}, {pullUser, "wrong", false}, {pullUser, pullSecret, true}} {
		w := s.workload(func(w *node.Workload) { w.Image, w.PullUser, w.PullSecret = ref, c.user, c.secret })
		err := s.e.Start(testContext(t), w)
		if (err == nil) != c.ok {
			t.Errorf("pull as %q: %v, want success: %t", c.user, err, c.ok)
		}
		if err != nil && c.secret != "" && strings.Contains(err.Error(), c.secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
		if err == nil {
			s.untilReady(t, w.ID)
		}
		if err := s.e.Stop(testContext(t), w.ID, -time.Second); err != nil {
			t.Error(err)
		}
	}
}
