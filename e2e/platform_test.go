package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// domain is the platform's domain in these tests; nothing else on a machine uses it.
const domain = "cupola-e2e.localhost"

// password is the administrator's, obviously an example.
const password = "example-password"

// platform is one server under test with its data, driven from outside.
type platform struct {
	binary string
	dir    string // everything of this platform
	http   string // addresses
	https  string
	domain string
	env    []string
	log    *os.File
	cmd    *exec.Cmd
	exited chan error
	client *http.Client
	// cluster runs the instances; nil: Docker on this machine does.
	cluster *cluster
}

// newPlatform makes a platform in a folder of its own, with free ports, not started yet.
func newPlatform(dir string) (*platform, error) {
	binary, err := filepath.Abs(envOr("CUPOLA_BIN", "../bin/cupola"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	p := &platform{binary: binary, dir: dir, http: ports[0], https: ports[1], domain: domain}
	p.env = append(os.Environ(),
		"CUPOLA_DATA_DIR="+filepath.Join(dir, "data"), "CUPOLA_DOMAIN="+domain, "CUPOLA_HTTP="+p.http, "CUPOLA_HTTPS="+p.https,
		"CUPOLA_REGISTRY="+ports[2], "CUPOLA_SSH=127.0.0.1:0", "CUPOLA_ADMIN_PASSWORD="+password,
		"CUPOLA_STACK_CACHE="+envOr("CUPOLA_STACK_CACHE", "/var/cache/cupola/stack"),
		"CUPOLA_HOME="+filepath.Join(dir, "home"), "NO_COLOR=1",
	)
	p.client = &http.Client{Transport: p.transport(nil), Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.log, err = os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return p, err
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// freePorts returns loopback addresses that nobody listens on.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// transport reaches every name of the domain at the platform's own address. Without a CA it trusts nobody's
// word, like a browser that has not been told.
func (p *platform) transport(ca []byte) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: ca == nil},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 32,
	}
	if ca != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		t.TLSClientConfig.RootCAs = pool
	}
	return t
}

// start runs the server and returns at once.
func (p *platform) start() error {
	p.cmd = exec.Command(p.binary, "server")
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(p.cmd, p.exited)
	return nil
}

// ready waits until pushes would work; the first time on a machine the stack is assembled.
func (p *platform) ready(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	last := ""
	for time.Now().Before(deadline) {
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("the server ended: %v\n%s", err, p.tail(20))
		default:
		}
		status, body, err := p.get("api", "/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		if body != last && body != "" {
			last = body
			fmt.Fprintf(os.Stderr, "    waiting: %s\n", strings.TrimSpace(body))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the server is not ready after %v: %s\n%s", limit, last, p.tail(20))
}

// stop sends SIGTERM and waits for the end.
func (p *platform) stop() error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.exited:
		p.cmd = nil
		return err
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.cmd = nil
		return errors.New("the server did not stop within 15 s of SIGTERM")
	}
}

// kill ends the server the hard way.
func (p *platform) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.cmd = nil
}

// remove ends the platform and everything it made.
func (p *platform) remove() error {
	err := errors.Join(p.stop(), p.purge())
	if p.cluster != nil {
		p.cluster.remove()
	}
	p.log.Close()
	return errors.Join(err, os.RemoveAll(p.dir))
}

// purge removes what a stopped platform has left in Docker; doing it twice does no harm.
func (p *platform) purge() error {
	if _, err := os.Stat(filepath.Join(p.dir, "data", "store")); err != nil {
		return nil // it never started, or its data is gone after an earlier purge
	}
	cmd := exec.Command(p.binary, "server", "purge", "--volumes", "--yes")
	cmd.Env = p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("purge: %w: %s", err, out)
	}
	return nil
}

// tail is the end of the server's log.
func (p *platform) tail(n int) string {
	raw, _ := os.ReadFile(p.log.Name())
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (p *platform) url(host, path string) string {
	_, port, _ := net.SplitHostPort(p.https)
	return "https://" + host + "." + p.domain + ":" + port + path
}

// get asks an app or one of the platform's own hosts.
func (p *platform) get(host, path string) (int, string, error) {
	resp, err := p.client.Get(p.url(host, path))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body), err
}

// ask asks the API with a token, which takes no process of the command line. What is gone leaves into as it is.
func (p *platform) ask(token, path string, into any) error {
	resp, err := p.withToken(token, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil
	case http.StatusOK:
		return json.NewDecoder(resp.Body).Decode(into)
	}
	return fmt.Errorf("GET %s: %s", path, resp.Status)
}

func (p *platform) withToken(token, path string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, p.url("api", path), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", token)
	return p.client.Do(req)
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

func (r result) all() string { return r.out + r.err }

// run runs the command line in a home of its own.
func (p *platform) run(home string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	return p.runContext(ctx, home, args...)
}

func (p *platform) runContext(ctx context.Context, home string, args ...string) result {
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.Env = slices.Concat(p.env, []string{"CUPOLA_HOME=" + home}) // tests run commands side by side
	return finish(cmd)
}

func finish(cmd *exec.Cmd) result {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{out: out.String(), err: errs.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code, r.err = -1, r.err+err.Error()
	}
	return r
}

// user is somebody with a target: an org and space of their own.
type user struct {
	*platform
	t    *testing.T
	home string
}

// newUser logs the administrator in, in a home and a space of the test's own, which ends with the test.
func newUser(t *testing.T, p *platform) *user {
	t.Helper()
	return newUserOf(t, p, strings.ToLower(strings.NewReplacer("/", "-", " ", "-", "_", "-").Replace(t.Name())))
}

// newUserOf is newUser with the name of the org.
func newUserOf(t *testing.T, p *platform, org string) *user {
	t.Helper()
	u := &user{platform: p, t: t, home: t.TempDir()}
	u.must("api", p.url("api", ""), "--skip-ssl-validation")
	u.must("login", "-u", "admin", "-p", password)
	u.must("create-org", org)
	u.must("create-space", "dev", "-o", org)
	u.must("target", "-o", org, "-s", "dev")
	t.Cleanup(func() { p.run(u.home, "delete-org", "-f", "--with-data", org) })
	return u
}

// try runs a command and returns what it did.
func (u *user) try(args ...string) result {
	u.t.Helper()
	return u.run(u.home, args...)
}

// must runs a command that has to work.
func (u *user) must(args ...string) string {
	u.t.Helper()
	r := u.try(args...)
	if r.code != 0 {
		u.t.Fatalf("cupola %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.all(), serverLogOnFailure(u.platform))
	}
	return r.out
}

func serverLogOnFailure(p *platform) string { return "--- server log ---\n" + p.tail(15) }

// guid is an app's GUID.
func (u *user) guid(app string) string {
	u.t.Helper()
	return strings.TrimSpace(u.must("app", app, "--guid"))
}

// curl asks the API and decodes its JSON.
func (u *user) curl(path string, into any) {
	u.t.Helper()
	u.decode(u.must("curl", path), into)
}

func (u *user) decode(raw string, into any) {
	u.t.Helper()
	if err := json.Unmarshal([]byte(raw), into); err != nil {
		u.t.Fatalf("the API answered %q: %v", raw, err)
	}
}

// answers waits until an app's route gives the status and text.
func (u *user) answers(host, path string, status int, text string) {
	u.t.Helper()
	var got int
	var body string
	var err error
	for range 100 {
		got, body, err = u.get(host, path)
		if err == nil && got == status && strings.Contains(body, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	u.t.Fatalf("GET %s%s = %d %q %v, want %d with %q\n%s", host, path, got, body, err, status, text, serverLogOnFailure(u.platform))
}

// shared is the platform that most tests use.
var shared *platform

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cupola-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared, err = newPlatform(dir)
	if err == nil && os.Getenv("CUPOLA_E2E_ENGINE") == "nomad" {
		if err = shared.onNomad(); errors.Is(err, errNoNomad) {
			fmt.Fprintln(os.Stderr, "no nomad on PATH: nothing is tested with CUPOLA_E2E_ENGINE=nomad")
			return 0
		}
	}
	if err == nil {
		err = shared.start()
	}
	if err == nil {
		err = shared.ready(20 * time.Minute)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "no platform to test:", err)
	}
	if err := forgetHosts(); err != nil {
		fmt.Fprintln(os.Stderr, "clean-up:", err)
		code = max(code, 1)
	}
	if shared != nil {
		if code != 0 {
			keep := filepath.Join(os.TempDir(), "cupola-e2e-server.log")
			if raw, err := os.ReadFile(shared.log.Name()); err == nil {
				_ = os.WriteFile(keep, raw, 0o600)
				fmt.Fprintln(os.Stderr, "the server's log is", keep)
			}
		}
		if err := shared.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "clean-up:", err)
			code = max(code, 1)
		}
	}
	return code
}
