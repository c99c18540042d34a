package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// partBetween: apps find one another by internal names and reach one another by policies, wherever their instances are.
func partBetween(cs *cells, u *user) {
	u.must("map-route", "single", "apps.internal", "--hostname", "single")
	defer u.must("delete-route", "apps.internal", "--hostname", "single", "-f")
	ask := `exec 3<>/dev/tcp/single.apps.internal/8080 && printf 'GET / HTTP/1.0\r\nHost: x\r\n\r\n' >&3 && head -1 <&3`
	reached := func(index int) bool {
		r := u.try("ssh", "spread", "-i", strconv.Itoa(index), "-c", "timeout 5 bash -c '"+strings.ReplaceAll(ask, "'", `'\''`)+"'")
		return r.code == 0 && strings.Contains(r.out, "200")
	}
	for index := range 3 {
		cs.eventually(fmt.Sprintf("instance %d resolves the name", index), 30*time.Second, func() bool {
			return u.try("ssh", "spread", "-i", strconv.Itoa(index), "-c", "getent hosts single.apps.internal").code == 0
		})
		if reached(index) {
			cs.t.Fatalf("instance %d reaches the app without a policy", index)
		}
	}
	u.must("add-network-policy", "spread", "single", "--protocol", "tcp", "--port", "8080")
	began := time.Now()
	for index := range 3 {
		cs.eventually(fmt.Sprintf("a policy opens the way to instance %d", index), 30*time.Second, func() bool { return reached(index) })
	}
	cs.t.Logf("the policy holds on all machines after %s", time.Since(began).Round(100*time.Millisecond))
	cs.eventually("the map counts the connections", time.Minute, func() bool {
		return strings.Contains(u.try("map").all(), "single")
	})
	u.must("restart", "single")
	for index := range 3 {
		cs.eventually(fmt.Sprintf("the way leads to the new instance from instance %d", index), 30*time.Second, func() bool { return reached(index) })
	}
	u.must("remove-network-policy", "spread", "single", "--protocol", "tcp", "--port", "8080")
	for index := range 3 {
		cs.eventually(fmt.Sprintf("without it the way is closed to instance %d", index), 30*time.Second, func() bool { return !reached(index) })
	}
}

// dataAt is the machine that keeps the data service, and its containers there.
func (cs *cells) dataAt(guid string) *cell {
	cs.t.Helper()
	for _, c := range cs.all {
		if out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "volume", "ls", "-q").Output(); err == nil && strings.Contains(string(out), guid) {
			return c
		}
	}
	return nil
}

// partData: a service instance has its volume on one machine, and apps use it from the others. While that machine is away the
// instance is waited for, and never begun empty on another one.
func partData(cs *cells, u *user) {
	u.must("create-service", "postgres", "small", "rows", "--wait")
	var found struct{ Resources []struct{ GUID string } }
	u.curl("/v3/service_instances?names=rows", &found)
	at := cs.dataAt(found.Resources[0].GUID)
	if at == nil {
		cs.t.Fatal("no machine that joined has the volume")
	}
	dir := sample(cs.t, "data-node")
	d := &dataUser{user: u, want: map[string]string{}}
	manifest := filepath.Join(dir, "manifest.yml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		cs.t.Fatal(err)
	}
	writeFile(cs.t, manifest, strings.TrimRight(string(text), "\n")+"\n    services:\n      - rows\n")
	u.must("push", "data-node", "-p", dir, "-f", manifest, "-i", "3")
	defer func() {
		u.must("delete", "-f", "-r", "data-node")
		u.must("delete-service", "rows", "-f", "--wait")
	}()
	d.write("data-node", "postgres", "first")
	for range 12 { // each instance, on whichever machine, in turn
		d.sees("data-node", "from all machines")
	}
	cs.powerOff(at)
	cs.eventually("the machine with the data is DOWN", time.Minute, func() bool { return cs.states()[at.name] == "DOWN" })
	for _, c := range cs.all {
		if c == at {
			continue
		}
		out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "volume", "ls", "-q").Output()
		if err != nil || strings.Contains(string(out), found.Resources[0].GUID) {
			cs.t.Errorf("%s has a volume of the service instance: %s %v", c.name, out, err)
		}
	}
	cs.boot(at)
	cs.startNode(at)
	took := cs.eventually("the row is read again when the machine is back", 2*time.Minute, func() bool {
		status, body, err := cs.p.get("data-node", "/postgres/row")
		return err == nil && status == http.StatusOK && strings.Contains(body, "first")
	})
	cs.t.Logf("the data service answers %s after its machine was started again", took.Round(100*time.Millisecond))
	d.sees("data-node", "after its machine was away")
	if mb := cs.leftAlone(at); mb < 64 {
		cs.t.Errorf("Nomad leaves %d MB for the data service of its machine", mb)
	}
}

// leftAlone is the memory of a machine that Nomad gives to nobody.
func (cs *cells) leftAlone(c *cell) int {
	var nodes []struct{ ID, Name string }
	cs.nomad(http.MethodGet, "/v1/nodes", &nodes)
	for _, n := range nodes {
		if n.Name == c.name {
			var one struct {
				ReservedResources struct{ Memory struct{ MemoryMB int } }
			}
			cs.nomad(http.MethodGet, "/v1/node/"+n.ID, &one)
			return one.ReservedResources.Memory.MemoryMB
		}
	}
	return 0
}
