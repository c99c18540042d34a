package docker

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cupola-paas/cupola/node"
)

func sampleWorkload() node.Workload {
	return node.Workload{
		ID: "6f1c2d3e-1111-2222-3333-4444", Image: "127.0.0.1:5870/droplets/a@sha256:" + strings.Repeat("a", 64),
		PullUser: "node", PullSecret: "pull-secret", Env: map[string]string{"DB": "env-secret"},
		Labels: map[string]string{"app": "a1", "index": "0"}, Command: []string{"web"}, MemoryMB: 256, DiskMB: 1024,
		Ports: []int{8080, 9090}, StopSignal: "SIGINT", AllowRoot: true,
		Liveness:  node.Check{Type: "http", Endpoint: "/h", Timeout: time.Minute, Interval: time.Second},
		Readiness: node.Check{Type: "port", InvocationTimeout: time.Second},
	}
}

// TestContainerConfig pins what protects the machine from an app.
func TestContainerConfig(t *testing.T) {
	d := &Docker{o: Options{Installation: "i1"}, nets: networks{apps: bridge{name: "apps", addresses: newAddresses(netip.MustParsePrefix("10.9.0.0/16"), netip.MustParseAddr("10.9.0.1"))}}}
	c, h, n, err := d.containerConfig(sampleWorkload(), netip.MustParseAddr("10.9.0.7"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual([]string(h.CapDrop), []string{"ALL"}) || h.CapAdd != nil || h.Privileged {
		t.Errorf("capabilities: drop %v, add %v, privileged %t", h.CapDrop, h.CapAdd, h.Privileged)
	}
	if !reflect.DeepEqual(h.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("security options = %v", h.SecurityOpt)
	}
	if h.Binds != nil || h.Mounts != nil || h.Devices != nil || h.VolumesFrom != nil || h.PortBindings != nil {
		t.Error("something of the host is mounted or published")
	}
	if h.PidMode != "" || h.IpcMode != "" || h.UTSMode != "" || h.UsernsMode != "" || h.NetworkMode != "apps" {
		t.Error("a namespace is not the container's own")
	}
	if h.Memory != 256<<20 || h.MemorySwap != h.Memory || *h.PidsLimit != defaultPIDs || h.CPUShares != 32 || !*h.Init {
		t.Errorf("resources = %+v", h.Resources)
	}
	if h.RestartPolicy.Name != container.RestartPolicyAlways || h.AutoRemove {
		t.Errorf("restart policy = %v", h.RestartPolicy)
	}
	if len(n.EndpointsConfig) != 1 || n.EndpointsConfig["apps"].IPAMConfig.IPv4Address != "10.9.0.7" || h.DNS[0] != "10.9.0.1" || c.StopSignal != "SIGINT" || c.Hostname != "6f1c2d3e-1111-2222-3333-4444" {
		t.Errorf("config = %+v, networks = %v", c, n.EndpointsConfig)
	}
	w := sampleWorkload()
	w.Once = true
	if p := d.hostConfig(w).RestartPolicy; p.Name != container.RestartPolicyDisabled {
		t.Errorf("a task has the restart policy %v", p)
	}
}

func TestLabelsRoundTrip(t *testing.T) {
	d := &Docker{o: Options{Installation: "i1"}}
	w := sampleWorkload()
	labels, err := d.labels(w)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(labels)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") {
		t.Errorf("a secret is in the labels: %s", text)
	}
	got, err := workloadOf(labels)
	if err != nil {
		t.Fatal(err)
	}
	want := public(w)
	want.Labels = w.Labels
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, want %+v", got, want)
	}
	if _, err := workloadOf(map[string]string{labelWorkload: "{"}); err == nil {
		t.Error("a broken label was accepted")
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*node.Workload)
		want   string // of the error; empty: none
	}{
		{func(*node.Workload) {}, ""},
		{func(w *node.Workload) { w.ID = "a/b" }, "id"},
		{func(w *node.Workload) { w.ID = "" }, "id"},
		{func(w *node.Workload) { w.ID = strings.Repeat("x", 129) }, "id"},
		{func(w *node.Workload) { w.MemoryMB = 0 }, "memory"},
		{func(w *node.Workload) { w.Image = "nginx:latest" }, "digest"},
		{func(w *node.Workload) { w.Image = "UPPER" }, "image"},
		{func(w *node.Workload) { w.Liveness.Type = "tcp" }, "health check type"},
		{func(w *node.Workload) { w.Ports = nil }, "needs a port"},
		{func(w *node.Workload) { w.Ports = []int{70000} }, "port 70000"},
	} {
		w := sampleWorkload()
		c.change(&w)
		err := check(w)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("check = %v, want %q", err, c.want)
		}
	}
}

func TestCPUShares(t *testing.T) {
	for _, c := range []struct{ memory, given, want int }{
		{8192, 0, 1024}, {1024, 0, 128}, {256, 0, 32}, {16, 0, 10}, {65536, 0, 1024}, {256, 500, 500},
	} {
		if got := cpuShares(node.Workload{MemoryMB: c.memory, CPUShares: c.given}); got != int64(c.want) {
			t.Errorf("cpuShares(%d MB, %d) = %d, want %d", c.memory, c.given, got, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	d := &Docker{o: Options{Installation: "i1"}}
	if err := d.o.fill(); err != nil {
		t.Fatal(err)
	}
	for crashes, want := range map[int]time.Duration{
		4: 30 * time.Second, 5: time.Minute, 6: 2 * time.Minute, 9: 16 * time.Minute, 200: 16 * time.Minute,
	} {
		if got := d.backoff(crashes); got != want {
			t.Errorf("after crash %d the wait is %s, want %s", crashes, got, want)
		}
	}
}

func TestRefuseRoot(t *testing.T) {
	img := func(user string) image.InspectResponse {
		return image.InspectResponse{Config: &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{User: user}}}
	}
	for _, c := range []struct {
		image, workload string
		allow, ok       bool
	}{
		{"", "", false, false}, {"root", "", false, false}, {"0", "", false, false}, {"000:7", "", false, false},
		{"2000", "", false, true}, {"2000:0", "", false, true}, {"vcap", "", false, true},
		{"root", "2000", false, true}, {"2000", "root", false, false}, {"root", "", true, true},
	} {
		err := refuseRoot(node.Workload{User: c.workload, AllowRoot: c.allow}, img(c.image))
		if (err == nil) != c.ok {
			t.Errorf("image user %q, workload user %q, allow %t: %v", c.image, c.workload, c.allow, err)
		}
	}
}

func TestFindUser(t *testing.T) {
	const passwd = "root:x:0:0::/:/\nbad\nvcap:x:2000:2000::/home:/bin/sh\ntoor:x:0:0"
	for name, want := range map[string]uint64{"vcap": 2000, "toor": 0} {
		if got, err := FindUser(passwd, name); got != want || err != nil {
			t.Errorf("FindUser(%q) = %d, %v, want %d", name, got, err, want)
		}
	}
	if _, err := FindUser(passwd, "nobody"); err == nil {
		t.Error("found a user that is not there")
	}
}

func TestQuotaSupported(t *testing.T) {
	for _, c := range []struct {
		mounts string
		want   bool
	}{
		{"/dev/a / ext4 rw 0 0\n/dev/b /var/lib/docker xfs rw,prjquota 0 0\n", true},
		{"/dev/a / xfs rw,pquota 0 0\n", true},
		{"/dev/a / xfs rw,pquota 0 0\n/dev/b /var/lib xfs rw 0 0\n", false},
		{"/dev/a / xfs rw 0 0\n/dev/b /var/lib/dock xfs rw,pquota 0 0\n", false},
		{"", false},
	} {
		if got := hasProjectQuota(c.mounts, "/var/lib/docker"); got != c.want {
			t.Errorf("hasProjectQuota(%q) = %t, want %t", c.mounts, got, c.want)
		}
	}
	for driver, want := range map[string]bool{"btrfs": true, "zfs": true, "vfs": false, "overlayfs": false} {
		if got := quotaSupported(system.Info{Driver: driver}, true); got != want {
			t.Errorf("quotaSupported(%s) = %t, want %t", driver, got, want)
		}
	}
}

func TestStartStatus(t *testing.T) {
	for text, want := range map[string]int{
		`exec: "web": executable file not found in $PATH: unknown`:       127,
		`exec: "/a": stat /a: no such file or directory: unknown`:        127,
		`exec /a: exec format error`:                                     126,
		`exec: "/a": permission denied: unknown`:                         126,
		`OCI runtime create failed: something else`:                      128,
		`exec: "docker-init": executable file not found in $PATH`:        0,
		`driver failed programming external connectivity on endpoint ab`: 0,
	} {
		if got := startStatus(textError(text)); got != want {
			t.Errorf("startStatus(%q) = %d, want %d", text, got, want)
		}
	}
}

type textError string

func (e textError) Error() string { return string(e) }
