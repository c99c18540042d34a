package nomad

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testBuilder() builder {
	return builder{
		installation: "ab12", imagePrefix: "127.0.0.1:5870/", backoff: 30 * time.Second, backoffMax: 16 * time.Minute,
		healthyAfter: 5 * time.Minute, datacenters: []string{"*"},
	}
}

const testImage = "127.0.0.1:5870/apps/a1@sha256:1111111111111111111111111111111111111111111111111111111111111111"

// goldenJobs are workloads of every kind, by the name of their golden file.
func goldenJobs() map[string]struct {
	b     builder
	w     node.Workload
	x     node.Extra
	avoid siblings
} {
	type job = struct {
		b     builder
		w     node.Workload
		x     node.Extra
		avoid siblings
	}
	web := node.Workload{
		ID: "11111111-2222-3333-4444-5555", Image: testImage, PullUser: "cupola", PullSecret: "example-secret",
		Labels:     map[string]string{"app": "a1", "process": "p1", "process_type": "web", "version": "v1", "index": "2"},
		Entrypoint: []string{"/cnb/process/web"}, Env: map[string]string{"PORT": "8080", "TEXT": "costs ${node.unique.name} and $5"},
		MemoryMB: 256, DiskMB: 1024, Ports: []int{8080, 9090}, Egress: "running/s1", Peer: "a1",
		Liveness:  node.Check{Type: "http", Endpoint: "/health?a=%{b}", Interval: 10 * time.Second},
		Readiness: node.Check{Type: "port"},
	}
	task := node.Workload{
		ID: "99999999-2222-3333-4444-555555555555", Image: testImage, Labels: map[string]string{"app": "a1"}, Once: true,
		Entrypoint: []string{"/cnb/lifecycle/launcher"}, Command: []string{"echo ${HOME} %{x}"}, MemoryMB: 128, DiskMB: 512, User: "vcap",
	}
	isolated := web
	isolated.Pool, isolated.StopSignal, isolated.Ports, isolated.Liveness, isolated.Readiness = "secure", "SIGINT", nil, node.Check{}, node.Check{}
	shared := testBuilder()
	shared.oversubscribe = 0.5
	return map[string]job{
		"web.json": {testBuilder(), web, node.Extra{
			Env:   map[string]string{"CF_INSTANCE_IP": ""},
			Files: map[string][]byte{"/etc/cf/one.key": []byte("{{ secret }}"), "/etc/cf/deep/two.crt": []byte("cert\n")},
		}, siblings{map[string]int{"n1": 2, "n2": 1}, map[string]int{"z1": 3}}},
		"task.json":     {testBuilder(), task, node.Extra{}, siblings{}},
		"isolated.json": {shared, isolated, node.Extra{}, siblings{}},
	}
}

func TestJobGolden(t *testing.T) {
	for name, c := range goldenJobs() {
		j, err := c.b.job(c.w, c.x, c.avoid)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(j, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the job is not as in %s; look at the difference, then run with -update:\n%s", file, got)
		}
	}
}

// driverFields are what the docker driver of Nomad documents and we may use. What gives away the host is not here.
var driverFields = []string{
	"args", "auth", "cap_drop", "dns_servers", "entrypoint", "hostname", "image", "image_pull_timeout", "init", "labels", "logging",
	"mount", "network_mode", "pids_limit", "ports", "security_opt", "ulimit",
}

func TestJobRules(t *testing.T) {
	for name, c := range goldenJobs() {
		j, err := c.b.job(c.w, c.x, c.avoid)
		if err != nil {
			t.Fatal(err)
		}
		before := clone(t, j)
		j.Canonicalize()
		keepsWhatWasSaid(t, name, before, j)
		g := j.TaskGroups[0]
		if batch := *j.Type == api.JobTypeBatch; (j.Update == nil) != batch || !batch && *j.Update.MaxParallel != 0 {
			t.Errorf("%s: Nomad would make deployments of its own, or refuse the job: %+v", name, j.Update)
		}
		task := g.Tasks[0]
		for key := range task.Config {
			if !slices.Contains(driverFields, key) {
				t.Errorf("%s: the driver's field %q is not among those that a job of ours may have", name, key)
			}
		}
		if len(g.Volumes) > 0 || len(task.VolumeMounts) > 0 || len(task.Resources.Devices) > 0 {
			t.Errorf("%s: a volume or a device of the host", name)
		}
		for _, m := range mounts(c.x.Files) {
			if source := m["source"].(string); !strings.HasPrefix(source, "local/") || strings.Contains(source, "..") {
				t.Errorf("%s: mounts %q, which is not in the task's folder", name, source)
			}
		}
		if g.RestartPolicy.Interval.Seconds() < 5 || float64(*g.RestartPolicy.Attempts)*g.RestartPolicy.Delay.Seconds() > g.RestartPolicy.Interval.Seconds() {
			t.Errorf("%s: Nomad refuses the restart policy %+v", name, g.RestartPolicy)
		}
		if r := g.ReschedulePolicy; *r.Unlimited && (*r.Delay < minReschedule || *r.MaxDelay < *r.Delay || *r.Attempts != 0) {
			t.Errorf("%s: Nomad refuses the reschedule policy %+v", name, r)
		}
		if log := *task.LogConfig.MaxFiles * *task.LogConfig.MaxFileSizeMB; log >= *g.EphemeralDisk.SizeMB {
			t.Errorf("%s: logs of %d MB do not fit on a disk of %d MB", name, log, *g.EphemeralDisk.SizeMB)
		}
		if len(g.Services)+len(task.Services) > 0 {
			t.Errorf("%s: a service, which needs Nomad's servers whenever a client starts", name)
		}
	}
}

// keepsWhatWasSaid sees that the api module's own defaults change nothing that we set.
func keepsWhatWasSaid(t *testing.T, name string, before, after *api.Job) {
	t.Helper()
	b, a := before.TaskGroups[0], after.TaskGroups[0]
	for what, pair := range map[string][2]any{
		"id": {before.ID, after.ID}, "type": {before.Type, after.Type}, "node pool": {before.NodePool, after.NodePool},
		"restart": {b.RestartPolicy, a.RestartPolicy}, "reschedule": {b.ReschedulePolicy, a.ReschedulePolicy},
		"count": {b.Count, a.Count}, "memory": {b.Tasks[0].Resources.MemoryMB, a.Tasks[0].Resources.MemoryMB},
		"kill timeout": {b.Tasks[0].KillTimeout, a.Tasks[0].KillTimeout},
	} {
		x, y := clone(t, pair[0]), clone(t, pair[1])
		if !reflect.DeepEqual(x, y) {
			t.Errorf("%s: %s is %v after Canonicalize, was %v", name, what, y, x)
		}
	}
}

func clone[T any](t *testing.T, v T) T {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var c T
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain $HOME %d": "plain $HOME %d", "${a}": "$${a}", "%{ if x }": "%%{ if x }", "a${b}%{c}": "a$${b}%%{c}",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := escapeEnv("x${node.unique.name}"), "x${NOMAD_META_cupola_dollar}{node.unique.name}"; got != want {
		t.Errorf("escapeEnv = %q, want %q", got, want)
	}
}

func TestVersion(t *testing.T) {
	for v, want := range map[string]bool{
		"1.8.0": true, "1.8.0-beta.1": true, "1.10.2+ent": true, "v2.0.5": true, "1.7.7": false, "0.12.0": false, "": false, "1.8": false, "x.y.z": false,
	} {
		if got := atLeast(v, MinVersion); got != want {
			t.Errorf("atLeast(%q) = %t, want %t", v, got, want)
		}
	}
}
