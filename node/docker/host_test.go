package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-iptables/iptables"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
)

func ask(t *testing.T, address, path string) string {
	t.Helper()
	res, err := http.Get("http://" + net.JoinHostPort(address, "8080") + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// gateway is the host's address on a bridge.
func gateway(t *testing.T, d *Docker, name string) string {
	t.Helper()
	n, err := d.api.NetworkInspect(context.Background(), name, network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n.IPAM.Config[0].Gateway
}

func serverOnAllAddresses(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}}
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// everything is a network in which who has the key "all" reaches every address by every protocol.
func everything() node.Network {
	all := node.Rule{Protocol: "all", Destinations: []node.AddressRange{{From: netip.MustParseAddr("0.0.0.0"), To: netip.MustParseAddr("255.255.255.255")}}}
	return node.Network{Groups: map[string][]node.Rule{"open": {all}}, Egress: map[string][]string{"all": {"open"}}}
}

// TestHostPorts: also who may reach everything reaches the given port of this machine and no other, no
// neighbour, no build and no metadata service.
func TestHostPorts(t *testing.T) {
	f := newFixture(t)
	open, closed := serverOnAllAddresses(t), serverOnAllAddresses(t)
	number, err := net.LookupPort("tcp", open)
	if err != nil {
		t.Fatal(err)
	}
	d := f.open(t, func(o *Options) { o.HostPorts = []int{number} })
	if d.fw.err != nil {
		t.Skipf("rules cannot be set here: %v", d.fw.err)
	}
	if err := d.SetNetwork(context.Background(), everything()); err != nil {
		t.Fatal(err)
	}
	w := f.workload(func(w *node.Workload) { w.Egress = "all" })
	start(t, d, w)
	app := until(t, d, w.ID, "it is ready", isReady).Address
	shut := f.workload(func(w *node.Workload) { w.Egress = "nothing" })
	start(t, d, shut)
	lone := until(t, d, shut.ID, "it is ready", isReady).Address
	stage := stagingContainer(t, d, f, "all")
	other := stagingContainer(t, d, f, "nothing")
	for _, c := range []struct {
		name, from, to string
		ok             bool
	}{
		{"app to an open port", app, gateway(t, d, d.AppsNetwork()) + ":" + open, true},
		{"app without groups to an open port at the gateway", lone, gateway(t, d, d.AppsNetwork()) + ":" + open, true},
		{"app without groups to another port there", lone, gateway(t, d, d.AppsNetwork()) + ":" + closed, false},
		{"app without groups to an open port elsewhere", lone, gateway(t, d, d.StagingNetwork()) + ":" + open, false},
		{"app to another port", app, gateway(t, d, d.AppsNetwork()) + ":" + closed, false},
		{"app to the host on another bridge", app, gateway(t, d, d.StagingNetwork()) + ":" + closed, false},
		{"app to a build", app, stage + ":8080", false},
		{"build to an open port", stage, gateway(t, d, d.StagingNetwork()) + ":" + open, true},
		{"build to another port", stage, gateway(t, d, d.StagingNetwork()) + ":" + closed, false},
		{"build to another build", stage, other + ":8080", false},
		{"build without groups to an open port", other, gateway(t, d, d.StagingNetwork()) + ":" + open, false},
		{"app to the metadata service", app, "169.254.169.254:80", false},
		{"build to an app", stage, app + ":8080", false},
		{"build to the metadata service", stage, "169.254.169.254:80", false},
	} {
		got := ask(t, c.from, "/dial?to="+url.QueryEscape(c.to))
		if (got == "connected") != c.ok {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// stagingContainer runs the app on the staging network, as a build would be.
func stagingContainer(t *testing.T, d *Docker, f *fixture, egress string) (address string) {
	t.Helper()
	ctx := context.Background()
	address, release, err := d.PlaceBuild(uuid.NewString(), egress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	made, err := d.api.ContainerCreate(ctx,
		&container.Config{Image: f.img, Env: []string{"PORT=8080"}, Labels: map[string]string{LabelInstallation: f.name}},
		&container.HostConfig{NetworkMode: container.NetworkMode(d.StagingNetwork())},
		d.nets.staging.endpoint(netip.MustParseAddr(address)), nil, "cupola-test-"+uuid.NewString())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	for errors.Is(probe(ctx, node.Check{Type: "port"}, address, []int{8080}), errRefused) {
	}
	return address
}

// TestRules: applying twice changes nothing, what was removed comes back, Purge leaves nothing.
func TestRules(t *testing.T) {
	f := newFixture(t)
	d := f.open(t, func(o *Options) { o.HostPorts = []int{80, 443} })
	ipt, err := iptables.New()
	if err != nil {
		t.Skip(err)
	}
	if err := d.SetNetwork(context.Background(), everything()); err != nil {
		t.Fatal(err)
	}
	w := f.workload(func(w *node.Workload) { w.Egress = "all" })
	start(t, d, w)
	address := until(t, d, w.ID, "it is ready", isReady).Address
	list := func() []string {
		t.Helper()
		all, err := d.fw.list()
		if err != nil {
			t.Fatal(err)
		}
		for _, chain := range []string{"INPUT", "DOCKER-USER"} {
			rules, err := ipt.List("filter", chain)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rules {
				if strings.Contains(r, d.fw.prefix) {
					all = append(all, r)
				}
			}
		}
		return all
	}
	want := list()
	if !slices.ContainsFunc(want, func(r string) bool { return strings.Contains(r, address+"/32") }) {
		t.Fatalf("no rule for the instance at %s: %q", address, want)
	}
	if err := d.fw.apply(); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("applied twice: %q, want %q", got, want)
	}
	if err := ipt.Delete("filter", "INPUT", "-j", d.fw.input()); err != nil {
		t.Fatal(err)
	}
	for _, chain := range []string{d.fw.forward(), d.fw.egress()} {
		if err := ipt.ClearChain("filter", chain); err != nil {
			t.Fatal(err)
		}
	}
	d.resync()
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("after removal and a round: %q, want %q", got, want)
	}
	again := f.open(t, func(o *Options) { o.HostPorts = []int{80, 443} })
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("an engine that was told nothing changed what an earlier one wrote: %q, want %q", got, want)
	}
	if err := again.SetNetwork(context.Background(), node.Network{}); err != nil {
		t.Fatal(err)
	}
	if got := list(); slices.ContainsFunc(got, func(r string) bool { return strings.Contains(r, address+"/32") }) {
		t.Errorf("nothing may be reached, but there is %q", got)
	}
	if err := d.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := list(); len(left) > 0 {
		t.Errorf("chains after Purge: %q", left)
	}
	if _, err := d.api.NetworkInspect(context.Background(), d.AppsNetwork(), network.InspectOptions{}); !notFound(err) {
		t.Errorf("network after Purge: %v", err)
	}
}

func TestWithoutIptables(t *testing.T) {
	f := newFixture(t)
	path := t.TempDir()
	d := func() *Docker {
		t.Setenv("PATH", path)
		return f.open(t, nil)
	}()
	if w := d.Warnings(); !strings.Contains(strings.Join(w, "\n"), "iptables") {
		t.Errorf("Warnings() = %q, want one that names iptables", w)
	}
}

func TestRemoveImages(t *testing.T) {
	f := newFixture(t)
	d := f.open(t, nil)
	ctx := context.Background()
	used, kept, unused := f.img, f.reg.Image(t, "2001"), f.reg.Image(t, "2002")
	w := f.workload(nil)
	start(t, d, w)
	for _, ref := range []string{kept, unused} {
		if err := d.Prepull(ctx, ref, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.RemoveImages(ctx, func(ref string) bool { return ref == kept }); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{used: true, kept: true, unused: false} {
		if _, err := d.api.ImageInspect(ctx, ref); (err == nil) != want {
			t.Errorf("image %s there: %v, want %t", ref, err, want)
		}
	}
	if err := d.Stop(ctx, w.ID, -1); err != nil {
		t.Fatal(err)
	}
	freed, err := d.RemoveImages(ctx, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if freed < 1<<20 {
		t.Errorf("freed %d bytes, want the megabytes of the app", freed)
	}
}

// TestDiskQuota: an instance above its quota is told so, one above twice of it begins afresh.
func TestDiskQuota(t *testing.T) {
	f := newFixture(t)
	d := f.open(t, nil)
	if d.quotaEnforced() {
		t.Skip("the storage driver enforces quotas")
	}
	files := map[string][]byte{"/etc/given/one": []byte("1"), "/etc/more/a/two": []byte("2"), "/etc/more/b/three": []byte("3")}
	w := f.workload(func(w *node.Workload) {
		w.DiskMB = 4
		w.Finish = func(string) (node.Extra, error) { return node.Extra{Files: files}, nil }
	})
	start(t, d, w)
	s := until(t, d, w.ID, "it is ready", isReady)
	ask(t, s.Address, "/write?mb=5")
	d.resync()
	until(t, d, w.ID, "it is told", func(s node.Status) bool {
		return strings.Contains(s.Details, "uses 5 MB of its disk quota of 4 MB") && s.Ready
	})
	ask(t, s.Address, "/write?mb=5")
	d.sizes.put(d.find(w.ID).containerID(), 10<<20) // what the next measuring finds, a minute later
	d.resync()
	until(t, d, w.ID, "it crashed", func(s node.Status) bool { return s.Crashes == 1 })
	again := until(t, d, w.ID, "it is ready again", isReady)
	if again.Generation != s.Generation+1 {
		t.Errorf("generation = %d, was %d", again.Generation, s.Generation)
	}
	for name, want := range files {
		if got := ask(t, again.Address, "/file?name="+name); got != string(want) {
			t.Errorf("afresh, %s holds %q, want %q", name, got, want)
		}
	}
	n, err := d.layerSize(context.Background(), d.find(w.ID).containerID())
	if err != nil || n > 1<<20 {
		t.Errorf("its layer has %d bytes (%v), want it empty", n, err)
	}
}
