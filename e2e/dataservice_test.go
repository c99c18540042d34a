package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// dataUser is somebody whose apps keep rows in service instances, which are called like their offering.
type dataUser struct {
	*user
	offerings []string
	want      map[string]string // the row in each, as it was last written
}

// TestDataServices: what apps wrote with the drivers that their users like is there after everything that happens to
// apps, servers and the platform. PostgreSQL and Redis are always tried, the others with CUPOLA_ALL_OFFERINGS.
func TestDataServices(t *testing.T) {
	t.Parallel()
	p := unstarted(t) // of its own, since it is killed
	p.boot(t)
	t.Run("apps", func(t *testing.T) { dataOfApps(t, p) })
	t.Run("sequence", func(t *testing.T) { runSequence(t, newUserOf(t, p, "sequence")) })
}

func dataOfApps(t *testing.T, p *platform) {
	d := &dataUser{user: newUserOf(t, p, "data"), offerings: []string{"postgres", "redis", "objects"}, want: map[string]string{}}
	if os.Getenv("CUPOLA_ALL_OFFERINGS") != "" {
		d.offerings = append(d.offerings, "mysql", "rabbitmq", "nats")
	}
	began := time.Now()
	lap := func(what string) {
		t.Helper()
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}
	var made sync.WaitGroup
	for _, o := range d.offerings {
		if o != "objects" { // which the push makes
			made.Go(func() { d.create(o) })
		}
	}
	made.Wait()
	if t.Failed() {
		return
	}
	lap("service instances made")
	node := sample(t, "data-node")
	d.push("data-node", node, d.offerings)
	lap("app pushed")
	for _, o := range d.offerings {
		d.write("data-node", o, "first")
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"the app was pushed again", func() { d.must("push", "data-node", "-p", node, "-f", filepath.Join(node, "manifest.yml")) }},
		{"the app was restarted", func() { d.must("restart", "data-node") }},
		{"its instance was killed", func() { d.killApp("data-node") }},
		{"the servers' containers were killed", d.killServers},
		{"the platform was killed", func() {
			look := d.directly("data-node")
			p.kill()
			look()
			d.newVersion("redis")
			p.boot(t)
		}},
		{"a service was upgraded", d.upgrade},
		{"the plan was changed", func() { d.must("update-service", "postgres", "-p", "medium", "--wait") }},
	} {
		step.do()
		d.sees("data-node", "after "+step.name)
		lap(step.name)
	}
	d.another()
	lap("another app was bound and unbound")
	if len(d.offerings) > 3 {
		d.inGo()
		lap("other services were used by an app in Go")
	}
	d.rotate()
	lap("the credentials were rotated")
	d.deletedWithItsSpace()
	lap("the space was deleted")
}

// create makes a service instance; the caller's goroutine may not end the test.
func (d *dataUser) create(offering string) {
	if r := d.run(d.home, "create-service", offering, "small", offering, "--wait"); r.code != 0 {
		d.t.Errorf("create-service %s: %s\n%s", offering, r.all(), serverLogOnFailure(d.platform))
	}
}

// push pushes an app that is bound from the start, to service instances that are made if they are not there.
func (d *dataUser) push(app, dir string, services []string) {
	d.t.Helper()
	manifest := filepath.Join(dir, "manifest.yml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		d.t.Fatal(err)
	}
	list := ""
	for _, s := range services {
		list += fmt.Sprintf("      - {name: %s, offering: %s, plan: small}\n", s, s)
	}
	writeFile(d.t, manifest, strings.TrimRight(string(text), "\n")+"\n    services:\n"+list)
	d.must("push", app, "-p", dir, "-f", manifest)
}

func (d *dataUser) write(app, offering, value string) {
	d.t.Helper()
	resp, err := d.client.PostForm(d.url(app, "/"+offering+"/row?value="+url.QueryEscape(value)), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, why, _ := d.get(app, "/"+offering+"/row")
		d.t.Fatalf("%s does not write into %s: %d %s", app, offering, resp.StatusCode, why)
	}
	d.want[offering] = value
}

// sees wants the app to read every row as it was written; connections that were cut are made anew meanwhile.
func (d *dataUser) sees(app, when string) {
	d.t.Helper()
	for _, o := range d.offerings {
		var status int
		var body string
		var err error
		for range 300 {
			if status, body, err = d.get(app, "/"+o+"/row"); err == nil && status == 200 && strings.TrimSpace(body) == d.want[o] {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if status != 200 || strings.TrimSpace(body) != d.want[o] {
			d.t.Fatalf("%s %s reads %d %q (%v) from %s, want %q\n%s", when, app, status, body, err, o, d.want[o], serverLogOnFailure(d.platform))
		}
	}
}

// dockerDo changes something with the Docker Engine's API.
func dockerDo(t *testing.T, method, path string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dockerSocket)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

// directly returns what asks an app for its rows without the platform, which need not run then.
func (d *dataUser) directly(app string) func() {
	d.t.Helper()
	var c struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	dockerGet(d.t, "/containers/"+d.containersOf(app)[0]+"/json", &c)
	return func() {
		d.t.Helper()
		for _, n := range c.NetworkSettings.Networks {
			for _, o := range d.offerings {
				resp, err := http.Get("http://" + n.IPAddress + ":8080/" + o + "/row")
				if err != nil {
					d.t.Fatalf("while the platform is down: %v", err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := strings.TrimSpace(string(body)); err != nil || got != d.want[o] {
					d.t.Errorf("while the platform is down the app reads %q (%v) from %s, want %q", got, err, o, d.want[o])
				}
			}
		}
	}
}

// containersOf are the containers of an app that run.
func (d *dataUser) containersOf(app string) (ids []string) {
	d.t.Helper()
	guid := d.guid(app)
	for _, c := range listContainers(d.t, false) {
		if c.Labels["cupola.installation"] == d.installation(d.t) && strings.Contains(fmt.Sprint(c.Labels), guid) {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		d.t.Fatalf("%s has no container", app)
	}
	return ids
}

// killApp kills the containers of an app and waits until it answers again.
func (d *dataUser) killApp(app string) {
	for _, id := range d.containersOf(app) {
		dockerDo(d.t, http.MethodPost, "/containers/"+id+"/kill")
	}
	d.answers(app, "/health", 200, "ok")
}

// killServers kills the containers of the service instances as `docker kill` does. Docker takes that for a wish and does
// not start them again; the platform does.
func (d *dataUser) killServers() {
	for _, o := range d.offerings {
		dockerDo(d.t, http.MethodPost, "/containers/"+d.serverOf(o)+"/kill")
	}
}

var versionLine = regexp.MustCompile(`(?m)^version: (\d+\.\d+)\.\d+$`)

// newVersion gives the offering a newer version in the operator's folder, which the next start reads.
func (d *dataUser) newVersion(offering string) {
	text, err := os.ReadFile("../controller/dataservice/offerings/" + offering + ".yml")
	if err != nil {
		d.t.Fatal(err)
	}
	writeFile(d.t, filepath.Join(d.dir, "data", "offerings", offering+".yml"), versionLine.ReplaceAllString(string(text), "version: $1.99"))
}

// upgrade brings Redis to the version that the restarted platform offers.
func (d *dataUser) upgrade() {
	var i struct {
		Resources []struct {
			Upgrade bool                                `json:"upgrade_available"`
			Info    struct{ Version string }            `json:"maintenance_info"`
			Last    struct{ Description, State string } `json:"last_operation"`
		}
	}
	d.eventually("an upgrade of redis is offered", func() bool {
		d.curl("/v3/service_instances?names=redis", &i)
		return i.Resources[0].Upgrade
	})
	d.must("upgrade-service", "redis", "-f", "--wait")
	if d.curl("/v3/service_instances?names=redis", &i); !strings.HasSuffix(i.Resources[0].Info.Version, ".99") {
		d.t.Errorf("after the upgrade redis is %+v", i.Resources[0])
	}
}

// bound are the credentials that an app would be started with.
func (d *dataUser) bound(app, offering string) credentials {
	d.t.Helper()
	var env struct {
		System struct {
			Services map[string][]struct{ Credentials credentials } `json:"VCAP_SERVICES"`
		} `json:"system_env_json"`
	}
	d.curl("/v3/apps/"+d.guid(app)+"/env", &env)
	if len(env.System.Services[offering]) == 0 {
		d.t.Fatalf("%s is not bound to %s", app, offering)
	}
	return env.System.Services[offering][0].Credentials
}

// another app, in Go, cannot reach the database before it is bound and after it is unbound, and reads what the first wrote
// while it is.
func (d *dataUser) another() {
	t := d.t
	c := d.bound("data-node", "postgres")
	app := "data-go"
	dir := d.goApp(app)
	d.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
	reached := func() bool {
		return d.try("ssh", app, "-c", fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/%d'", c.Host, c.Port)).code == 0
	}
	if reached() {
		t.Error("an app that is not bound reaches the database")
	}
	d.must("bind-service", app, "postgres", "--wait")
	d.must("restart", app)
	d.answers(app, "/postgres/row", 200, d.want["postgres"])
	mine := d.bound(app, "postgres")
	if mine.Username == c.Username {
		t.Error("two bindings share a user")
	}
	d.write(app, "postgres", "of another app")
	d.sees("data-node", "after another app wrote")
	d.must("unbind-service", app, "postgres", "--wait")
	d.eventually("without the binding the way is closed", func() bool { return !reached() })
	if _, err := rowsOf["postgres"].read(t.Context(), mine); err == nil || !strings.Contains(err.Error(), "authentication failed") {
		t.Errorf("credentials of a deleted binding: %v", err)
	}
	d.must("delete", app, "-f", "-r")
}

// goApp is a sample in Go as an executable: that sources are built, the tests of pushes show.
func (d *dataUser) goApp(name string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	buildGo(d.t, sample(d.t, name), dir)
	writeFile(d.t, filepath.Join(dir, "manifest.yml"), "applications:\n  - name: "+name+
		"\n    memory: 64M\n    health-check-type: http\n    health-check-http-endpoint: /health\n    buildpacks: [binary_buildpack]\n    command: ./server\n")
	return dir
}

// inGo writes and reads with the Go drivers of the other services, Memcached among them, which keeps no row for long.
func (d *dataUser) inGo() {
	d.create("memcached")
	names := append(slices.DeleteFunc(slices.Clone(d.offerings), func(o string) bool { return o == "postgres" || o == "objects" }), "memcached")
	d.push("data-go-more", d.goApp("data-go-more"), names)
	for _, o := range names {
		before := d.want[o]
		d.write("data-go-more", o, "by go")
		d.answers("data-go-more", "/"+o+"/row", 200, "by go")
		if o == "rabbitmq" || o == "nats" { // where it has a queue and a stream of its own
			d.want[o] = before
		}
	}
	d.sees("data-node", "after an app in Go wrote")
	d.must("delete", "data-go-more", "-f", "-r")
}
