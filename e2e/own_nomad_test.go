package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOwnNomad: the server runs a secured cluster by itself, of its own machine and one that joined. Nomad is killed and the
// server started again, and apps go on being answered.
func TestOwnNomad(t *testing.T) {
	needCells(t)
	cs := newNetwork(t)
	api, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	servers := cs.addresses(2)
	ports := strings.Join([]string{portText(api[0]), portText(servers[0]), portText(servers[1])}, ",")
	cs.startPlatform("CUPOLA_SUPERVISE_NOMAD=true", "CUPOLA_NOMAD_ADDRESS="+cs.prefix+"1", "CUPOLA_NOMAD_PORTS="+ports, "CUPOLA_NODE_CERTIFICATES=1m")
	cs.addAll(1)
	first := cs.papers()
	both := func() bool { return cs.count("READY") == 2 }
	cs.eventually("this machine and the other one are READY", time.Minute, both)
	u := newUser(t, cs.p)
	u.must("push", "owned", "-p", "apps/static", "-i", "2", "-m", "64M")
	u.answers("owned", "/", http.StatusOK, "")
	if n := len(cs.containers()); n != 1 {
		t.Errorf("the machine that joined has %d containers, want one of two instances", n)
	}
	cs.secured(api[0])

	v := cs.p.visit("owned")
	before := nomadOf(t, cs.p)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cs.eventually("Nomad is started again", time.Minute, func() bool { now := nomadOf(t, cs.p); return now != 0 && now != before })
	u.must("scale", "owned", "-i", "3")
	cs.eventually("a third instance runs", time.Minute, func() bool { return both() && u.running("owned") == 3 })
	v.leave(t, "while Nomad was killed and came back")
	cs.replaced(u, first)

	if err := cs.p.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(cs.containers()); n == 0 {
		t.Error("with the server stopped, the machine that joined runs nothing any more")
	}
	cs.p.env = append(cs.p.env, "CUPOLA_NODE_CERTIFICATES=168h") // the machine may be busy
	cs.p.mustStart(t)
	u.answers("owned", "/", http.StatusOK, "")
	v = cs.p.visit("owned")
	cs.eventually("both machines are READY again", time.Minute, func() bool { return both() && u.running("owned") == 3 })
	u.must("scale", "owned", "-i", "2")
	v.leave(t, "after the server was started again")
}

// papers are the certificates of the machine that joined: for the server and other machines, and for Nomad.
func (cs *cells) papers() (both [2]*x509.Certificate) {
	cs.t.Helper()
	for n, name := range []string{"node.crt", "nomad.crt"} {
		text, err := os.ReadFile(filepath.Join(cs.all[0].dir, "node", name))
		if err != nil {
			cs.t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if both[n], err = x509.ParseCertificate(block.Bytes); err != nil {
			cs.t.Fatal(err)
		}
	}
	return both
}

// replaced waits until the first certificates of the machine have ended, and sees that nobody has noticed: requests, ssh, output and a new
// instance there. When it returns the certificate is fresh, so that the server may be away for a while.
func (cs *cells) replaced(u *user, first [2]*x509.Certificate) {
	t := cs.t
	t.Helper()
	v := cs.p.visit("owned")
	u.must("enable-ssh", "owned")
	cs.eventually("the first certificates have ended", 3*time.Minute, func() bool {
		return time.Now().After(first[0].NotAfter) && time.Now().After(first[1].NotAfter)
	})
	for i := range 3 {
		if got := u.must("ssh", "owned", "-i", strconv.Itoa(i), "-c", "echo inside-$CF_INSTANCE_INDEX"); !strings.Contains(got, "inside-"+strconv.Itoa(i)) {
			t.Errorf("with its second certificate, ssh to instance %d says %q", i, got)
		}
	}
	u.must("restart", "owned", "--strategy", "rolling")
	if n := len(cs.containers()); n == 0 {
		t.Error("with its second certificate, the machine that joined runs nothing that was started anew")
	}
	v.leave(t, "while certificates were replaced")
	if got := cs.count("READY"); got != 2 {
		t.Errorf("with its second certificate: %v", cs.states())
	}
	cs.eventually("the certificate is fresh", time.Minute, func() bool { return time.Until(cs.papers()[1].NotAfter) > 40*time.Second })
}

// secured: Nomad's API takes nobody without a certificate, and what the machine that joined has is for its key alone.
func (cs *cells) secured(api string) {
	t := cs.t
	t.Helper()
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if res, err := c.Get("https://" + api + "/v1/jobs"); err == nil {
		res.Body.Close()
		t.Errorf("Nomad's API answers anybody: %s", res.Status)
	}
	dir := filepath.Join(cs.all[0].dir, "node")
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "nomad.crt"), filepath.Join(dir, "node.key")); err != nil {
		t.Errorf("the certificate for Nomad is not for the node's key: %v", err)
	}
	var config struct {
		TLS struct {
			RPC    bool `json:"rpc"`
			Verify bool `json:"verify_server_hostname"`
		}
		ACL struct{ Enabled bool }
	}
	text, err := os.ReadFile(filepath.Join(dir, "nomad.json"))
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil || !config.TLS.RPC || !config.TLS.Verify || !config.ACL.Enabled {
		t.Errorf("the node's Nomad is configured with %+v, %v", config, err)
	}
}

// nomadOf is the process that the server runs as Nomad; zero: there is none now.
func nomadOf(t *testing.T, p *platform) int {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range threads {
		text, _ := os.ReadFile(file) // a thread may have ended
		for _, pid := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if n, err := strconv.Atoi(pid); err == nil && strings.Contains(string(line), "\x00agent\x00") {
				return n
			}
		}
	}
	return 0
}
