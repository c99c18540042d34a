package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// partRouters: a node routes, to instances of its zone while there are any, and goes on without the server and after its own
// sudden end. What it logs is in the app's log.
func partRouters(cs *cells, u *user) {
	c, o := cs.all[0], cs.operator()
	for n, other := range cs.all {
		o.must("node", "label", other.name, "zone="+[]string{"north", "south", "south"}[n])
	}
	if r := o.try("node", "route", c.name, "maybe"); r.code != 2 {
		cs.t.Errorf("to let a node route maybe: exit %d", r.code)
	}
	o.must("node", "route", c.name, "on")
	start := func() func() {
		cmd := cs.background(c, "node.log", cs.p.binary, "router", "--dir", filepath.Join(c.dir, "node"), "--http", c.address+":80", "--https", c.address+":443")
		return func() {
			if err := syscall.Kill(child(cs, cmd.Process.Pid), syscall.SIGKILL); err != nil {
				cs.t.Fatal(err)
			}
			_ = cmd.Wait()
		}
	}
	kill := start()
	_, ca, err := cs.p.get("api", "/ca.pem")
	if err != nil {
		cs.t.Fatal(err)
	}
	r := &nodeRouter{cs: cs, at: c, name: c.name, client: &http.Client{Timeout: 30 * time.Second, Transport: cs.p.transport([]byte(ca))}}
	r.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, c.address+":443")
	}
	current := func() bool { return r.state() == "CURRENT" }
	cs.eventually("the router is current", time.Minute, current)
	r.answers("spread", "/?first")
	o.must("create-shared-domain", "tcp."+cs.p.domain, "--router-group", "default-tcp")
	u.must("map-route", "spread", "tcp."+cs.p.domain)
	tcp := net.JoinHostPort(c.address, strconv.Itoa(slices.Max(u.routePorts("spread")))) // the other one is of HTTP
	answersTCP := func() bool { return strings.Contains(askTCP(tcp, "/"), " 200 ") }
	cs.eventually("the TCP route answers at the node's router", 30*time.Second, answersTCP)
	if status, body, err := r.get("api", "/v3"); err != nil || status != http.StatusOK || !strings.Contains(body, "links") {
		cs.t.Errorf("the API at the node's router: %d %.100q %v", status, body, err)
	}

	r.near(u, "north", c.address, true)
	partRouterAlone(cs, r)
	done := make(chan struct{})
	failed := r.answersAll("spread", done)
	o.must("node", "drain", c.name)
	cs.eventually("the node is DRAINED", time.Minute, func() bool { return cs.states()[c.name] == "DRAINED" })
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed while the zone lost its instances: %s", why)
	}
	r.near(u, "elsewhere", c.address, false)
	o.must("node", "resume", c.name)

	cs.p.kill()
	for n := range 20 {
		r.answers("spread", fmt.Sprintf("/?alone-%d", n))
		if !answersTCP() {
			cs.t.Errorf("without the server the TCP route says %q", askTCP(tcp, "/"))
		}
	}
	kill()
	kill = start()
	cs.eventually("the router serves what it has kept", time.Minute, func() bool {
		status, _, err := r.get("spread", "/?kept")
		return err == nil && status == http.StatusOK && answersTCP()
	})
	if err := cs.p.start(); err != nil {
		cs.t.Fatal(err)
	}
	cs.eventually("the router is current again", 2*time.Minute, current)
	o.must("delete-shared-domain", "-f", "tcp."+cs.p.domain)
	cs.eventually("the port is closed with its route", 30*time.Second, func() bool { return strings.Contains(askTCP(tcp, "/"), "refused") })
	kill()
	o.must("node", "route", c.name, "off")
	for _, other := range cs.all {
		o.must("node", "label", other.name, "zone-")
	}
}

// partRouterAlone: a machine that only routes joins by starting its router.
func partRouterAlone(cs *cells, like *nodeRouter) {
	c, o := cs.all[1], cs.operator()
	dir := filepath.Join(c.dir, "alone")
	args := func(token string) []string {
		return []string{cs.p.binary, "router", "--controller", cs.p.url("api", ""), "--token", token, "--dir", dir, "--name", "alone", "--address", c.address,
			"--http", c.address + ":8080", "--https", c.address + ":8443", "--zone", "south"}
	}
	if r := finish(c.inside(args(cs.token())...)); r.code == 0 || !strings.Contains(r.all(), "cupola node token --router") {
		cs.t.Errorf("a router with a node's token: exit %d\n%s", r.code, r.all())
	}
	cmd := cs.background(c, "node.log", args(cs.token("--router"))...)
	alone := *like
	alone.at, alone.name = c, "alone"
	alone.client = &http.Client{Timeout: 30 * time.Second, Transport: like.client.Transport.(*http.Transport).Clone()}
	alone.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, c.address+":8443")
	}
	cs.eventually("the machine that only routes is current", time.Minute, func() bool { return alone.state() == "CURRENT" && cs.states()["alone"] == "READY" })
	alone.answers("spread", "/?from-alone")
	if err := syscall.Kill(child(cs, cmd.Process.Pid), syscall.SIGTERM); err != nil {
		cs.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		cs.t.Errorf("after SIGTERM the router ended with %v", err)
	}
	cs.eventually("the machine that only routes is DOWN", time.Minute, func() bool { return cs.states()["alone"] == "DOWN" })
	o.must("node", "remove", "-f", "alone")
}

// nodeRouter is the router of a machine, asked over TLS with the platform's CA.
type nodeRouter struct {
	cs     *cells
	at     *cell
	name   string // as cupola nodes has it
	client *http.Client
}

// state is what the platform says of it.
func (r *nodeRouter) state() string {
	var all []struct{ Name, Router string }
	_ = json.Unmarshal([]byte(r.cs.operator().try("nodes", "--json").out), &all)
	for _, n := range all {
		if n.Name == r.name {
			return n.Router
		}
	}
	return ""
}

func (r *nodeRouter) get(host, path string) (int, string, error) {
	res, err := r.client.Get("https://" + host + "." + r.cs.p.domain + path)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(body), err
}

func (r *nodeRouter) answers(host, path string) {
	r.cs.t.Helper()
	if status, body, err := r.get(host, path); err != nil || status != http.StatusOK {
		r.cs.t.Fatalf("%s%s at the router of %s: %d %.100q %v\n%s", host, path, r.at.name, status, body, err, r.cs.report())
	}
}

func (r *nodeRouter) answersAll(host string, done <-chan struct{}) <-chan string {
	return askAll(done, func() (int, string, error) { return r.get(host, "/?all") })
}

// near asks some times and reads in the app's log whether it was the machine's own instance that answered.
func (r *nodeRouter) near(u *user, mark, address string, want bool) {
	r.cs.t.Helper()
	const times = 12
	for n := range times {
		r.answers("spread", fmt.Sprintf("/?%s-%d-", mark, n))
	}
	var lines []string
	r.cs.eventually("the requests "+mark+" are in the app's log", 30*time.Second, func() bool {
		lines = nil
		for line := range strings.Lines(u.try("logs", "spread", "--recent").out) {
			if strings.Contains(line, "/?"+mark+"-") && strings.Contains(line, "RTR") {
				lines = append(lines, line)
			}
		}
		return len(lines) == times
	})
	for _, line := range lines {
		if got := strings.Contains(line, `"`+address+`:`); got != want {
			r.cs.t.Errorf("asked %s: answered by the machine's own instance: %t, want %t: %s", mark, got, want, line)
		}
	}
}
