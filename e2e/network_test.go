package e2e

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBetweenApps: an app finds another by its internal name, and reaches it only while a policy says so.
func TestBetweenApps(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir := sample(t, "python")
	u.must("push", "between-back", "-p", dir, "--no-manifest", "-m", "64M", "--no-route")
	u.must("push", "between-front", "-p", dir, "--no-manifest", "-m", "64M")
	u.must("map-route", "between-back", "apps.internal", "--hostname", "between-back")
	reached := func() bool {
		r := u.try("ssh", "between-front", "-c", "curl -sS --max-time 2 http://between-back.apps.internal:8080/health")
		return r.code == 0 && strings.Contains(r.out, "ok")
	}
	u.eventually("the internal name resolves", func() bool {
		return u.try("ssh", "between-front", "-c", "getent hosts between-back.apps.internal").code == 0
	})
	if reached() {
		t.Fatal("the app is reached without a policy")
	}
	u.must("add-network-policy", "between-front", "between-back", "--protocol", "tcp", "--port", "8080")
	u.eventually("a policy opens the way", reached)
	u.must("remove-network-policy", "between-front", "between-back", "--protocol", "tcp", "--port", "8080")
	u.eventually("without it the way is closed", func() bool { return !reached() })
}

// TestSecurityGroup: a space's group opens an address of this machine's neighbourhood to a running app, and closes it.
func TestSecurityGroup(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	u.must("push", "guarded", "-p", sample(t, "python"), "--no-manifest", "-m", "64M")
	gateway := strings.TrimSpace(u.must("ssh", "guarded", "-c", "ip -4 route show default | cut -d' ' -f3"))
	listener, err := net.Listen("tcp", net.JoinHostPort(gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	reached := func() bool {
		return u.try("ssh", "guarded", "-c", "timeout 2 bash -c '</dev/tcp/"+gateway+"/"+port+"'").code == 0
	}
	if reached() {
		t.Fatal("a port of the host is reached without a group")
	}
	rules, err := json.Marshal([]map[string]any{{"protocol": "tcp", "destination": gateway, "ports": port}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	u.must("create-security-group", "e2e-host-port", file)
	t.Cleanup(func() { u.try("delete-security-group", "-f", "e2e-host-port") })
	u.must("bind-security-group", "e2e-host-port", "testsecuritygroup", "--space", "dev")
	u.eventually("the group opens the port to the running app", reached)
	u.must("unbind-security-group", "e2e-host-port", "testsecuritygroup", "dev")
	u.eventually("without the group it is closed", func() bool { return !reached() })
}

// TestTCPRoute: bytes go through a TCP route to the app and back, and the port closes with the route.
func TestTCPRoute(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	u.must("create-shared-domain", "tcp."+domain, "--router-group", "default-tcp")
	t.Cleanup(func() { u.try("delete-shared-domain", "-f", "tcp."+domain) })
	u.must("push", "tcp-app", "-p", sample(t, "python"), "--no-manifest", "-m", "64M", "--no-route")
	u.must("map-route", "tcp-app", "tcp."+domain)
	ports := u.routePorts("tcp-app")
	if len(ports) != 1 || ports[0] == 0 {
		t.Fatalf("the app has routes with the ports %v, want one with a port", ports)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	u.eventually("the app answers at its port", func() bool { return strings.Contains(askTCP(address, "/health"), " 200 ") })
	u.must("delete", "tcp-app", "-f", "-r")
	u.eventually("the port is closed", func() bool { return strings.Contains(askTCP(address, "/health"), "refused") })
}

// routePorts are the ports of an app's routes; 0 is that of a route without one.
func (u *user) routePorts(app string) (ports []int) {
	u.t.Helper()
	var routes struct{ Resources []struct{ Port int } }
	u.curl("/v3/apps/"+u.guid(app)+"/routes", &routes)
	for _, r := range routes.Resources {
		ports = append(ports, r.Port)
	}
	return ports
}

// askTCP sends a request of HTTP to an address and returns how the answer begins, or the error.
func askTCP(address, path string) string {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Write([]byte("GET " + path + " HTTP/1.0\r\n\r\n")); err != nil {
		return err.Error()
	}
	answer := make([]byte, 256)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}
