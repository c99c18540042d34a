package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// local is an engine with one workload, "w1".
type local struct {
	changed chan struct{}
	state   chan node.State // of w1, from the next List on
	now     node.State
	target  string // that Dial reaches
	network chan node.Network
	files   chan map[string][]byte
}

func (l *local) Changed() <-chan struct{} { return l.changed }

func (l *local) List(context.Context) ([]node.Status, error) {
	select {
	case l.now = <-l.state:
	default:
	}
	return []node.Status{{ID: "w1", State: l.now, Labels: map[string]string{"app": "a1"}}}, nil
}

func (l *local) Stop(_ context.Context, id string, grace time.Duration) error {
	if grace != 3*time.Second {
		return fmt.Errorf("grace of %s", grace)
	}
	return nil
}

func (l *local) Usage(_ context.Context, ids ...string) (map[string]node.Usage, error) {
	return map[string]node.Usage{ids[0]: {MemoryBytes: 42}}, nil
}

func (l *local) Logs(_ context.Context, id string, since time.Time, fn func(node.LogLine)) error {
	if id != "w1" {
		return fmt.Errorf("logs: %w", node.ErrNotFound)
	}
	for n := range 3 {
		fn(node.LogLine{Time: since.Add(time.Duration(n+1) * time.Second), Stderr: n == 1, Text: []byte(fmt.Sprintf("line %d", n))})
	}
	return nil
}

// Exec plays the commands that the tests run.
func (l *local) Exec(ctx context.Context, id string, e node.Exec) (int, error) {
	switch e.Command[0] {
	case "cat":
		_, err := io.Copy(e.Stdout, e.Stdin)
		return 0, err
	case "size":
		s := <-e.Resize
		fmt.Fprintf(e.Stderr, "%dx%d", s[0], s[1])
		return 0, nil
	case "signal":
		s := <-e.Signals
		return 128 + int(s.(syscall.Signal)), nil
	case "program":
		_, err := e.Stdout.Write(append([]byte(e.Program.Name+" "), e.Program.Content...))
		return 7, err
	case "forever":
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 0, fmt.Errorf("no such workload %s: %w", id, node.ErrNotFound)
}

func (l *local) Dial(ctx context.Context, _, network, address string) (net.Conn, error) {
	if address != "localhost:1" {
		return nil, fmt.Errorf("dial %s: refused", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, l.target)
}

func (l *local) SetNetwork(_ context.Context, n node.Network) error {
	l.network <- n
	return nil
}

func (l *local) UpdateFiles(_ context.Context, _ string, f map[string][]byte) error {
	l.files <- f
	return nil
}

func (l *local) Host(context.Context) (node.Host, error) {
	return node.Host{Subnet: netip.MustParsePrefix("10.9.0.0/20"), DiskFull: true}, nil
}

func (l *local) Flows(context.Context) ([]node.Flow, error) {
	return []node.Flow{{From: "a1", To: "a2", Connections: 3}}, nil
}

// Start asks what the workload needs at its address, and tells what it was given.
func (l *local) Start(_ context.Context, w node.Workload) error {
	if w.Image != "here/app@sha256:1" || w.PullUser != "reader" || w.PullSecret == "" {
		return fmt.Errorf("the image is %s for %s", w.Image, w.PullUser)
	}
	x, err := w.Finish("10.9.0.2")
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", node.ErrVolumeInUse, x.Files["/at"])
}

func (l *local) Prepull(_ context.Context, ref, user, _ string) error {
	return fmt.Errorf("%s for %s", ref, user)
}

func (l *local) Volumes(context.Context) ([]node.VolumeStatus, error) {
	return []node.VolumeStatus{{ID: "v1", UsedBytes: 5}}, nil
}

func (l *local) RemoveVolume(_ context.Context, id string) error {
	return fmt.Errorf("%s: %w", id, node.ErrVolumeInUse)
}

func (l *local) Connect(ctx context.Context, from string, to netip.AddrPort) (net.Conn, error) {
	if from != "a1" || to.String() != "10.9.0.2:80" {
		return nil, fmt.Errorf("%s to %s: %w", from, to, node.ErrNotFound)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.target)
}

// certificate is one for either side, which vouches for itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"agent.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serve starts an agent with TLS both ways; the client's certificate is the server's own.
func serve(t *testing.T) (*local, *Client) {
	t.Helper()
	l := &local{changed: make(chan struct{}, 1), state: make(chan node.State, 1), now: node.Running, network: make(chan node.Network, 1), files: make(chan map[string][]byte, 1)}
	a := New(l, Options{Controller: "agent.test", NodeName: func(guid string) string { return guid + ".node" }, Image: func(name string) (ref, user, secret string) { return "here/" + name, "reader", "example-secret" }})
	cert, pool := certificate(t)
	srv := httptest.NewUnstartedServer(a.Handler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	srv.StartTLS()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	config := &tls.Config{RootCAs: pool, ServerName: "agent.test", Certificates: []tls.Certificate{cert}}
	c := Connect(srv.Listener.Addr().String(), config)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.CloseClientConnections()
		srv.Close()
	})
	return l, c
}

func TestCalls(t *testing.T) {
	l, c := serve(t)
	ctx := t.Context()
	if err := c.Stop(ctx, "w1", 3*time.Second); err != nil {
		t.Error(err)
	}
	if err := c.Stop(ctx, "w1", time.Second); err == nil || err.Error() != "grace of 1s" {
		t.Errorf("an error of the engine came as %v", err)
	}
	if u, err := c.Usage(ctx, "w1"); err != nil || u["w1"].MemoryBytes != 42 {
		t.Errorf("usage = %v, %v", u, err)
	}
	if err := c.SetNetwork(ctx, node.Network{Egress: map[string][]string{"k": {"g"}}}); err != nil {
		t.Error(err)
	} else if n := <-l.network; n.Egress["k"][0] != "g" {
		t.Errorf("the network arrived as %v", n)
	}
	if err := c.UpdateFiles(ctx, "w1", map[string][]byte{"/a/b": {0, 255}}); err != nil {
		t.Error(err)
	} else if f := <-l.files; !bytes.Equal(f["/a/b"], []byte{0, 255}) {
		t.Errorf("the files arrived as %v", f)
	}
}

func TestListFollowsChanges(t *testing.T) {
	l, c := serve(t)
	<-c.Changed()
	all, err := c.List(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "w1" || all[0].State != node.Running || all[0].Labels["app"] != "a1" {
		t.Fatalf("list = %+v, %v", all, err)
	}
	l.state <- node.Crashed
	l.changed <- struct{}{}
	for all[0].State != node.Crashed {
		<-c.Changed()
		if all, err = c.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLogs(t *testing.T) {
	_, c := serve(t)
	since := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	var got []string
	err := c.Logs(t.Context(), "w1", since, func(l node.LogLine) {
		got = append(got, fmt.Sprintf("%s %t %s", l.Time.Sub(since), l.Stderr, l.Text))
	})
	if want := "1s false line 0|2s true line 1|3s false line 2"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("logs = %q, %v, want %q", got, err, want)
	}
	if err := c.Logs(t.Context(), "w2", since, func(node.LogLine) {}); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("logs of nobody = %v, want ErrNotFound", err)
	}
}

func TestExec(t *testing.T) {
	_, c := serve(t)
	run := func(e node.Exec) (string, string, int, error) {
		t.Helper()
		var out, errs bytes.Buffer
		e.Stdout, e.Stderr = &out, &errs
		status, err := c.Exec(t.Context(), "w1", e)
		return out.String(), errs.String(), status, err
	}
	long := strings.Repeat("x", 3*maxFrame+1)
	if out, _, status, err := run(node.Exec{Command: []string{"cat"}, Stdin: strings.NewReader(long)}); err != nil || status != 0 || out != long {
		t.Errorf("cat gave %d bytes, status %d, %v; want %d bytes", len(out), status, err, len(long))
	}
	sizes := make(chan [2]uint16, 1)
	sizes <- [2]uint16{101, 37}
	if _, errs, _, err := run(node.Exec{Command: []string{"size"}, Resize: sizes}); err != nil || errs != "101x37" {
		t.Errorf("size says %q, %v", errs, err)
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if _, _, status, err := run(node.Exec{Command: []string{"signal"}, Signals: signals}); err != nil || status != 128+int(syscall.SIGTERM) {
		t.Errorf("signal ended with %d, %v", status, err)
	}
	if out, _, status, err := run(node.Exec{Command: []string{"program"}, Program: &node.Program{Name: "guest", Content: []byte("code")}}); err != nil || status != 7 || out != "guest code" {
		t.Errorf("program says %q, %d, %v", out, status, err)
	}
	if _, _, _, err := run(node.Exec{Command: []string{"?"}}); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("exec in nobody = %v, want ErrNotFound", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := c.Exec(ctx, "w1", node.Exec{Command: []string{"forever"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled exec = %v", err)
	}
}

func TestDial(t *testing.T) {
	l, c := serve(t)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		if conn, err := echo.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	l.target = echo.Addr().String()
	conn, err := c.Dial(t.Context(), "w1", "tcp", "localhost:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "there and back"); err != nil {
		t.Fatal(err)
	}
	node.CloseWrite(conn)
	if got, err := io.ReadAll(conn); err != nil || string(got) != "there and back" {
		t.Errorf("came back: %q, %v", got, err)
	}
	if _, err := c.Dial(t.Context(), "w1", "tcp", "localhost:2"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dial what is refused = %v", err)
	}
}

// TestStrangers: who shows no certificate gets nothing, nor does anybody without TLS.
func TestStrangers(t *testing.T) {
	_, c := serve(t)
	bare := c.tls.Clone()
	bare.Certificates = nil
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: bare}}).Get("https://" + c.address + "/v1/workloads")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("without a certificate: %d, want 403", res.StatusCode)
	}
	rec := httptest.NewRecorder()
	New(&local{}, Options{}).Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/v1/workloads", nil))
	if rec.Code != http.StatusForbidden {
		t.Errorf("without TLS: %d, want 403", rec.Code)
	}
}
