package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNodes: machines join with a command, instances spread over them and are used as on one machine, and what
// happens to machines in the course of a year happens to these. Each part leaves the cluster whole.
func TestNodes(t *testing.T) {
	cs := newCells(t, 3)
	u := newUser(t, cs.p)
	u.must("push", "spread", "-p", "apps/static", "-i", "3", "-m", "64M")
	u.must("push", "single", "-p", "apps/static", "-m", "64M")
	u.answers("spread", "/", http.StatusOK, "")
	for _, part := range []struct {
		name string
		play func(*cells, *user)
	}{
		{"join", partJoin}, {"spread", partSpread}, {"use", partUse}, {"secrets", partSecrets}, {"rules", partRules}, {"label", partLabel}, {"between", partBetween}, {"routers", partRouters}, {"data", partData}, {"edited job", partEdited},
		{"drain", partDrain}, {"drain by mouse", partClicks}, {"docker dead", partDocker}, {"power cut", partPower}, {"partition", partPartition}, {"leader killed", partLeader}, {"no servers", partNoServers},
		{"builder", partBuilder}, {"lost build", partLostBuild}, {"slow", partSlow}, {"disk full", partDisk}, {"registry", partRegistry}, {"gap", partGap},
	} {
		if only := os.Getenv("CUPOLA_E2E_PARTS"); only != "" && !slices.Contains(strings.Split(only, ","), part.name) {
			continue
		}
		t.Run(part.name, func(t *testing.T) {
			mine, who := *cs, *u
			mine.t, who.t = t, t
			part.play(&mine, &who)
			mine.whole(&who)
		})
		if t.Failed() {
			return // what follows would tell of the same
		}
	}
}

// whole waits until desired equals actual: all nodes there, all instances running, none twice.
func (cs *cells) whole(u *user) {
	cs.t.Helper()
	took := cs.eventually("all is as it should be", 3*time.Minute, func() bool {
		return cs.count("READY") == len(cs.all) && u.running("spread") == 3 && u.running("single") == 1 && len(cs.containers()) == 4
	})
	cs.t.Logf("whole after another %s", took.Round(100*time.Millisecond))
}

// running counts the instances of an app that run.
func (u *user) running(app string) int {
	var stats struct{ Resources []struct{ State string } }
	r := u.try("curl", "/v3/apps/"+u.guid(app)+"/processes/web/stats")
	_ = json.Unmarshal([]byte(r.out), &stats)
	n := 0
	for _, s := range stats.Resources {
		if s.State == "RUNNING" {
			n++
		}
	}
	return n
}

// containers are the names of those that run, of all machines, with the machine's.
func (cs *cells) containers() []string {
	var all []string
	for _, c := range cs.all {
		out, err := c.inside("docker", "-H", "unix:///run/docker.sock", "ps", "--format", "{{.Names}}").Output()
		if err != nil {
			return nil
		}
		for _, name := range strings.Fields(string(out)) {
			all = append(all, c.name+"/"+name)
		}
	}
	return all
}

// where is the machine that an instance of the app is on.
func (cs *cells) where(u *user, app string) *cell {
	cs.t.Helper()
	var stats struct{ Resources []struct{ Host string } }
	var found *cell
	cs.eventually("the instance of "+app+" has a host", 30*time.Second, func() bool {
		_ = json.Unmarshal([]byte(u.try("curl", "/v3/apps/"+u.guid(app)+"/processes/web/stats").out), &stats)
		for _, c := range cs.all {
			if len(stats.Resources) > 0 && stats.Resources[0].Host == c.address {
				found = c
			}
		}
		return found != nil
	})
	return found
}

// answersAll asks an app again and again until done is closed; what was not answered well comes back.
func (cs *cells) answersAll(app string, done <-chan struct{}) <-chan string {
	return askAll(done, func() (int, string, error) { return cs.p.get(app, "/") })
}

// askAll asks again and again until done is closed; what was not answered well comes back.
func askAll(done <-chan struct{}, ask func() (status int, body string, err error)) <-chan string {
	failed := make(chan string, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if status, body, err := ask(); err != nil || status != http.StatusOK {
				failed <- fmt.Sprintf("%s: %d %.100q %v", time.Now().Format(time.TimeOnly), status, body, err)
				return
			}
		}
	}()
	return failed
}

// partJoin: a token lets in one machine; what is wrong is said, with what to do.
func partJoin(cs *cells, u *user) {
	c := cs.all[0]
	if r := cs.join(c, "", "--zone", "elsewhere"); r.code != 0 || !strings.Contains(r.all(), "is a node already") || !strings.Contains(r.all(), "--zone: not heeded") {
		cs.t.Errorf("to join again: exit %d\n%s", r.code, r.all())
	}
	secret := cs.token()
	other := filepath.Join(c.dir, "other")
	for _, bad := range []struct {
		name, token string
		args        []string
		want        string
	}{
		{"no docker", secret, []string{"--docker-host", "unix:///run/nowhere.sock"}, "install Docker Engine"},
		{"no nomad", secret, []string{"--nomad", "/nowhere/nomad"}, "install Nomad"},
		{"busy ports", secret, nil, "address already in use"},
		{"busy port of a router", secret, []string{"--router", "--http", c.address + ":4651"}, "router, HTTP"},
		{"address of another", secret, []string{"--address", "192.0.2.1"}, "--address"},
		{"a wrong secret", "wrong" + secret[5:], []string{"--agent-port", "4751", "--image-port", "4752", "--nomad-port", "4746"}, "There is no such node token"},
		{"half a token", secret[:30], nil, "this is no node token"},
		{"another CA", secret[:27] + strings.Repeat("A", 43), nil, "not the one that made the token"},
	} {
		r := cs.join(c, bad.token, append([]string{"--dir", other}, bad.args...)...)
		if r.code == 0 || !strings.Contains(r.all(), bad.want) {
			cs.t.Errorf("%s: exit %d, want it to say %q:\n%s", bad.name, r.code, bad.want, r.all())
		}
	}
	free := []string{"--dir", other, "--agent-port", "4751", "--image-port", "4752", "--nomad-port", "4746", "--name", "never-started", "--json"}
	r := cs.join(c, secret, free...)
	var got struct{ Node struct{ GUID string } }
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 || got.Node.GUID == "" {
		cs.t.Fatalf("what failed spent the token: exit %d, %v\n%s", r.code, err, r.all())
	}
	if r := cs.join(c, secret, append(free, "--dir", other+"-2")...); r.code == 0 || !strings.Contains(r.all(), "was used at") {
		cs.t.Errorf("a token for the second time: exit %d\n%s", r.code, r.all())
	}
	if got := cs.states()["never-started"]; got != "JOINING" {
		cs.t.Errorf("a machine that joined and never came is %q", got)
	}
	cs.operator().must("node", "remove", "-f", "never-started")
}

// partSpread: no machine has two instances of the app.
func partSpread(cs *cells, u *user) {
	var stats struct{ Resources []struct{ Host string } }
	u.curl("/v3/apps/"+u.guid("spread")+"/processes/web/stats", &stats)
	on := map[string]bool{}
	for _, s := range stats.Resources {
		on[s.Host] = true
	}
	if len(on) != len(cs.all) {
		cs.t.Errorf("the instances are on %v, want one on each of %d machines", on, len(cs.all))
	}
}

// partUse: ssh, tasks, logs, figures and the instance's own certificate.
func partUse(cs *cells, u *user) {
	u.must("enable-ssh", "spread")
	for index := range 3 {
		i := strconv.Itoa(index)
		got := u.must("ssh", "spread", "-i", i, "-c", "echo inside-$CF_INSTANCE_INDEX && head -1 $CF_INSTANCE_CERT")
		if !strings.Contains(got, "inside-"+i) || !strings.Contains(got, "BEGIN CERTIFICATE") {
			cs.t.Errorf("ssh to instance %d says %q", index, got)
		}
	}
	u.must("run-task", "spread", "--command", "echo from-a-task", "--wait")
	if got := u.must("logs", "spread", "--recent"); !strings.Contains(got, "from-a-task") {
		cs.t.Errorf("the task's line is not in the logs:\n%s", got)
	}
	var stats struct {
		Resources []struct{ Usage struct{ Mem int64 } }
	}
	cs.eventually("all instances have figures", 30*time.Second, func() bool {
		u.curl("/v3/apps/"+u.guid("spread")+"/processes/web/stats", &stats)
		for _, s := range stats.Resources {
			if s.Usage.Mem == 0 {
				return false
			}
		}
		return len(stats.Resources) == 3
	})
}

// partSecrets: whoever reads jobs in Nomad reads no password for images.
func partSecrets(cs *cells, u *user) {
	jobs := cs.jobs()
	if len(jobs) < 4 {
		cs.t.Fatalf("Nomad has the jobs %v", jobs)
	}
	for _, id := range jobs {
		var job struct {
			TaskGroups []struct {
				Tasks []struct {
					Config struct{ Auth map[string]string }
				}
			}
		}
		cs.nomad(http.MethodGet, "/v1/job/"+id, &job)
		if auth := job.TaskGroups[0].Tasks[0].Config.Auth; !strings.HasPrefix(auth["password"], "${meta.") {
			cs.t.Errorf("job %s carries a password", id)
		}
	}
}

// nomad asks the first server that lives.
func (cs *cells) nomad(method, path string, into any) {
	cs.t.Helper()
	at := cs.servers[slices.IndexFunc(cs.servers, func(s *nomadServer) bool { return s.cmd != nil })]
	req, err := http.NewRequestWithContext(cs.t.Context(), method, "http://"+at.http+path, nil)
	if err != nil {
		cs.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		cs.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		cs.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		cs.t.Fatal(err)
	}
}

// jobs are the jobs that run and are no tasks.
func (cs *cells) jobs() []string {
	cs.t.Helper()
	var all []struct {
		ID, Type string
		Stop     bool
	}
	cs.nomad(http.MethodGet, "/v1/jobs", &all)
	var names []string
	for _, j := range all {
		if !j.Stop && j.Type == "service" {
			names = append(names, j.ID)
		}
	}
	return names
}

// partRules: a security group opens and closes an address on every machine.
func partRules(cs *cells, u *user) {
	l, err := net.Listen("tcp", cs.prefix+"1:0")
	if err != nil {
		cs.t.Fatal(err)
	}
	defer l.Close()
	port := portText(l.Addr().String())
	reached := func(index int) bool {
		return u.try("ssh", "spread", "-i", strconv.Itoa(index), "-c", "timeout 2 bash -c '</dev/tcp/"+cs.prefix+"1/"+port+"'").code == 0
	}
	for index := range 3 {
		if reached(index) {
			cs.t.Fatalf("instance %d reaches a private address without a group", index)
		}
	}
	rules, err := json.Marshal([]map[string]any{{"protocol": "tcp", "destination": cs.prefix + "1", "ports": port}})
	if err != nil {
		cs.t.Fatal(err)
	}
	file := filepath.Join(cs.t.TempDir(), "rules.json")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		cs.t.Fatal(err)
	}
	u.must("create-security-group", "to-the-server", file)
	defer u.must("delete-security-group", "-f", "to-the-server")
	u.must("bind-security-group", "to-the-server", "testnodes", "--space", "dev")
	for index := range 3 {
		cs.eventually(fmt.Sprintf("the group opens the address to instance %d", index), 20*time.Second, func() bool { return reached(index) })
	}
	u.must("unbind-security-group", "to-the-server", "testnodes", "dev")
	for index := range 3 {
		cs.eventually(fmt.Sprintf("without the group it is closed to instance %d", index), 20*time.Second, func() bool { return !reached(index) })
	}
}

func partLabel(cs *cells, u *user) {
	o := cs.operator()
	o.must("node", "label", "cell-1", "zone=north", "disk=fast")
	o.must("node", "label", "cell-1", "disk-")
	if got := o.must("nodes", "--json"); !strings.Contains(strings.Join(strings.Fields(got), ""), `"labels":{"zone":"north"}`) {
		cs.t.Errorf("after the labels the nodes are:\n%s", got)
	}
}

// partEdited: somebody stops a job by hand, and it is put back.
func partEdited(cs *cells, u *user) {
	job := cs.jobs()[0]
	cs.nomad(http.MethodDelete, "/v1/job/"+job, &struct{}{})
	cs.eventually("the job is put back", 30*time.Second, func() bool {
		var j struct{ Stop bool }
		cs.nomad(http.MethodGet, "/v1/job/"+job, &j)
		return !j.Stop
	})
}

// partDrain: a machine is emptied with no failed request, and taken into use again.
func partDrain(cs *cells, u *user) {
	c := cs.where(u, "single")
	done := make(chan struct{})
	failed := cs.answersAll("single", done)
	cs.operator().must("node", "drain", c.name)
	took := cs.eventually("the node is DRAINED", time.Minute, func() bool { return cs.states()[c.name] == "DRAINED" })
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed while its node was emptied: %s", why)
	}
	cs.t.Logf("drained in %s", took.Round(100*time.Millisecond))
	cs.operator().must("node", "resume", c.name)
}

// child is the process that nsenter waits for.
func child(cs *cells, pid int) int {
	cs.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		cs.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		cs.t.Fatal(err)
	}
	return n
}

// partDocker: Docker on a machine is killed. Apps go on being answered.
func partDocker(cs *cells, u *user) {
	c := cs.all[2]
	cs.served("while a Docker was dead", func() {
		if err := syscall.Kill(child(cs, c.docker.Process.Pid), syscall.SIGKILL); err != nil {
			cs.t.Fatal(err)
		}
		_ = c.docker.Wait()
		cs.eventually("Nomad sees that Docker is dead", time.Minute, func() bool { return !cs.dockerHealthy(c) })
	})
	cs.startDocker(c)
}

// partPower: a machine is gone at one stroke. Its app answers from another one within 30 s.
func partPower(cs *cells, u *user) {
	c := cs.where(u, "single")
	u.answers("single", "/", http.StatusOK, "")
	cs.powerOff(c)
	took := cs.eventually("the app of the dead machine answers elsewhere", 30*time.Second, func() bool {
		status, _, err := cs.p.get("single", "/")
		return err == nil && status == http.StatusOK
	})
	cs.t.Logf("the app answers again after %s", took.Round(100*time.Millisecond))
	cs.eventually("the dead machine is DOWN", 30*time.Second, func() bool { return cs.states()[c.name] == "DOWN" })
	cs.boot(c)
	cs.startNode(c)
}

// partPartition: a machine is cut off, while it goes on by itself. Its app answers from another one within 30 s, and
// when the cable is back nothing runs twice.
func partPartition(cs *cells, u *user) {
	c := cs.where(u, "single")
	cs.cut(c, true)
	took := cs.eventually("the app of the machine that is cut off answers elsewhere", 30*time.Second, func() bool {
		status, _, err := cs.p.get("single", "/")
		return err == nil && status == http.StatusOK
	})
	cs.t.Logf("the app answers again after %s", took.Round(100*time.Millisecond))
	cs.cut(c, false)
}

// partLeader: the leader of Nomad's servers is killed. Apps are answered, and new ones start within half a minute.
func partLeader(cs *cells, u *user) {
	done := make(chan struct{})
	failed := cs.answersAll("spread", done)
	leader := cs.leader()
	for _, s := range cs.servers {
		if s.rpc != leader {
			continue
		}
		kill(s.cmd)
		s.cmd = nil
		cs.eventually("another server leads", 30*time.Second, func() bool { l := cs.leader(); return l != "" && l != leader })
		u.must("scale", "spread", "-i", "4")
		cs.eventually("a fourth instance runs", 30*time.Second, func() bool { return u.running("spread") == 4 })
		u.must("scale", "spread", "-i", "3")
		s.start(cs.t)
	}
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed while Nomad had no leader: %s", why)
	}
}

// partNoServers: all of Nomad's servers are down. Apps are answered, the controller says what it waits for, and goes
// on when they are back.
func partNoServers(cs *cells, u *user) {
	done := make(chan struct{})
	failed := cs.answersAll("spread", done)
	for _, s := range cs.servers {
		kill(s.cmd)
		s.cmd = nil
	}
	cs.eventually("the controller says that Nomad is away", 30*time.Second, func() bool {
		status, body, err := cs.p.get("api", "/readyz")
		return err == nil && status != http.StatusOK && strings.Contains(body, "Nomad")
	})
	u.must("scale", "spread", "-i", "4")
	for _, s := range cs.servers {
		s.start(cs.t)
	}
	cs.eventuallyLeader(time.Minute)
	cs.eventually("what was asked for meanwhile is done", time.Minute, func() bool { return u.running("spread") == 4 })
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed while all of Nomad's servers were down: %s", why)
	}
	u.must("scale", "spread", "-i", "3")
}
