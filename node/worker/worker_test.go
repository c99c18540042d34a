package worker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/agent"
)

// authority signs for nodes and the controller.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, key, cert}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign makes a certificate of that age for the key of a request.
func (a *authority) sign(request []byte, name string, age time.Duration) []byte {
	a.t.Helper()
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	from := time.Now().Add(-age)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: from, NotAfter: from.Add(10 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, csr.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pair is a certificate with its key.
func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	key, request, err := NewKey()
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(a.sign(request, name, time.Minute), key)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

const serverName = "server.test"

// joined is a machine in a folder of its own, with a certificate of that age.
func joined(t *testing.T, a *authority, age time.Duration) (string, *Node) {
	t.Helper()
	key, request, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		GUID: "11111111-2222-3333-4444-555555555555", Name: "vm-1", Installation: "ab12", Address: "127.0.0.1", Pool: "secure", Labels: map[string]string{"zone": "north"},
		AgentPort: 4651, PullPort: 4652, NomadPort: 4646, NodeName: "n1.test", ServerName: serverName, Server: "192.0.2.1:4650", NomadProgram: "nomad",
		Nomad: Nomad{Servers: []string{"192.0.2.1:4647"}, Region: "global", Datacenter: "dc1", ACL: true, TLS: true},
	}
	dir := filepath.Join(t.TempDir(), "node")
	if err := Save(dir, n, Secrets{Key: key, Certificate: a.sign(request, "n1.test", age), CA: a.pem(), NomadKey: []byte("example-key")}); err != nil {
		t.Fatal(err)
	}
	return dir, n
}

func TestSaveAndLoad(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, ErrNotJoined) {
		t.Errorf("an empty folder: %v, want ErrNotJoined", err)
	}
	dir, n := joined(t, newAuthority(t), time.Minute)
	got, err := Load(dir)
	if err != nil || got.GUID != n.GUID || got.Nomad.Servers[0] != n.Nomad.Servers[0] || got.Labels["zone"] != "north" {
		t.Errorf("load = %+v, %v", got, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; root alone shall read it", f.Name(), info.Mode(), err)
		}
	}
}

func TestNomadConfig(t *testing.T) {
	dir, n := joined(t, newAuthority(t), time.Minute)
	n.Labels["cupola_ab12_agent"] = "192.0.2.9:1" // no label stands above ours
	if err := writeNomad(dir, n, "example-secret", netip.MustParseAddr("172.18.0.1"), keptMB([]node.Status{{Own: true, MemoryMB: 256}, {MemoryMB: 64}, {Own: true, MemoryMB: 512}})); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(dir, "nomad", n.GUID, "client", "client-id"))
	if err != nil || string(id) != n.GUID {
		t.Errorf("Nomad's id is %q, %v", id, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, nomadConfig))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"bind_addr": "127.0.0.1", "client.node_pool": "secure", "client.network_interface": "lo", "client.options.driver.allowlist": "docker",
		"client.meta.zone": "north", "client.meta.cupola_ab12_agent": "127.0.0.1:4651", "client.meta.cupola_ab12_registry": "127.0.0.1:4652",
		"client.meta.cupola_ab12_pull": "example-secret", "client.meta.cupola_ab12_dns": "172.18.0.1",
		"client.reserved.memory": 768.0, "acl.enabled": true, "tls.rpc": true, "tls.http": false, "tls.verify_server_hostname": true, "tls.key_file": filepath.Join(dir, "nomad.key"),
	} {
		if v := at(got, path); v != want {
			t.Errorf("%s = %v, want %v", path, v, want)
		}
	}
	for _, never := range []string{"host_volume", "raw_exec", `"allow_privileged": true`, `"enabled": true,` + "\n" + `          "selinuxlabel"`} {
		if bytes.Contains(text, []byte(never)) {
			t.Errorf("the configuration has %q", never)
		}
	}
	n.Address = "192.0.2.77"
	if err := writeNomad(dir, n, "", netip.Addr{}, 0); err == nil || !strings.Contains(err.Error(), "--address") {
		t.Errorf("with an address that is not this machine's: %v", err)
	}
}

// at finds a value by a path whose last part may have dots.
func at(v any, path string) any {
	for path != "" {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		if x, ok := m[path]; ok {
			return x
		}
		key, rest, _ := strings.Cut(path, ".")
		v, path = m[key], rest
	}
	return v
}

// TestWhoIsHeard: the agent serves the controller; other nodes have certificates of the same CA, and may not ask for what it may.
func TestWhoIsHeard(t *testing.T) {
	a := newAuthority(t)
	dir, n := joined(t, a, time.Minute)
	p, err := openPapers(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(agent.New(nil, agent.Options{Controller: serverName, NodeName: n.nameOf}).Handler())
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	l := tls.NewListener(srv.Listener, p.server())
	go srv.Config.Serve(l) //nolint:errcheck // it ends with the listener
	t.Cleanup(func() { l.Close() })
	ask := func(certs ...tls.Certificate) (int, error) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool(), ServerName: "n1.test", Certificates: certs}, DisableKeepAlives: true}}
		res, err := c.Get("https://" + l.Addr().String() + "/v1/nothing")
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		return res.StatusCode, nil
	}
	if status, err := ask(a.pair(serverName)); err != nil || status != http.StatusNotFound {
		t.Errorf("the controller is refused: %d %v", status, err)
	}
	if status, err := ask(a.pair("n2.test")); err != nil || status != http.StatusForbidden {
		t.Errorf("another node is heard: %d %v", status, err)
	}
	if _, err := ask(newAuthority(t).pair(serverName)); err == nil {
		t.Error("a controller of another CA is heard")
	}
	if _, err := ask(); err == nil {
		t.Error("somebody without a certificate is heard")
	}
}

// door is the controller's side, which counts who comes.
func door(t *testing.T, a *authority, name string, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{a.pair(name)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool()}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func TestImages(t *testing.T) {
	a := newAuthority(t)
	dir, n := joined(t, a, time.Minute)
	n.Server = door(t, a, serverName, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0]+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	p, err := openPapers(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(images(p, "example-secret", slog.New(slog.DiscardHandler)))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		method, path, user, password string
		want                         int
	}{
		{"GET", "/v2/apps/a/blobs/x", pullUser, "example-secret", 200}, {"HEAD", "/v2/", pullUser, "example-secret", 200},
		{"GET", "/v2/", pullUser, "wrong", 401}, {"GET", "/v2/", "", "", 401}, {"GET", "/v2/", "cupola", "example-secret", 401},
		{"PUT", "/v2/apps/a/manifests/x", pullUser, "example-secret", 405}, {"GET", "/v1/certificate", pullUser, "example-secret", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(c.user, c.password)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s %s as %s = %d, want %d", c.method, c.path, c.user, res.StatusCode, c.want)
		}
		if want := "n1.test " + c.path + " "; c.want == 200 && c.method == "GET" && string(text) != want {
			t.Errorf("the controller was asked %q, want %q: with the node's certificate and no password", text, want)
		}
	}
	n.Server = door(t, a, "n2.test", http.NotFoundHandler()) // another node in the controller's place
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(pullUser, "example-secret")
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusBadGateway {
		t.Errorf("from another node in the controller's place: %v, %v", res, err)
	}
}

func TestRenewal(t *testing.T) {
	a := newAuthority(t)
	asked := make(chan struct{}, 8)
	at := door(t, a, serverName, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{
			"certificate": string(a.sign(request, "n1.test", 0)), "ca": string(a.pem()),
			"nomad_certificate": string(a.sign(request, "client.global.nomad", 0)), "nomad_ca": string(a.pem()),
		})
		asked <- struct{}{}
	}))
	dir, n := joined(t, a, 6*time.Hour) // of ten
	n.Server = at
	p, err := openPapers(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	if !p.due(time.Now()) {
		t.Fatal("after more than half of its life the certificate is not due")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.keepFresh(ctx, slog.New(slog.DiscardHandler)) }()
	<-asked
	for p.due(time.Now()) { // until the answer is read
		select {
		case <-asked:
			t.Fatal("it was asked for twice")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := openPapers(dir, n)
	if err != nil || again.due(time.Now()) {
		t.Errorf("after a restart the new certificate is not there: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, nomadCertFile), filepath.Join(dir, nomadKeyFile))
	if err != nil || pair.Leaf.VerifyHostname("client.global.nomad") != nil {
		t.Errorf("Nomad's new certificate is not there: %v", err)
	}
}

func TestCheck(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	now := time.Now()
	all := Check(t.Context(), Machine{
		Dir: t.TempDir(), Address: "192.0.2.77", DockerHost: "unix:///nowhere.sock", NomadProgram: "/nowhere/nomad",
		Ports: map[string]string{"agent port": busy.Addr().String(), "image port": "127.0.0.1:0", "router, HTTP": busy.Addr().String(), "router, HTTPS": "127.0.0.1:0"}, Clock: now.Add(-time.Hour), Asked: now,
	})
	want := map[string]string{"clock": Fail, "address": Fail, "docker": Fail, "nomad": Fail, "agent port": Fail, "image port": OK, "router, HTTP": Fail, "router, HTTPS": OK, "kernel": OK}
	for _, f := range all {
		if state, asked := want[f.What]; asked && f.State != state {
			t.Errorf("%s = %s (%s), want %s", f.What, f.State, f.Detail, state)
		}
		delete(want, f.What)
		if f.State != OK && f.Mend == "" {
			t.Errorf("%s is %s and does not say what to mend", f.What, f.State)
		}
	}
	if len(want) > 0 || !Failed(all) {
		t.Errorf("not looked at: %v; failed = %t", want, Failed(all))
	}
}

// TestCheckWay: what a machine that has joined does not reach is told, and hinders nothing.
func TestCheckWay(t *testing.T) {
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	all := CheckWay(t.Context(), &Node{Server: there.Addr().String(), Nomad: Nomad{Servers: []string{gone.Addr().String(), there.Addr().String()}}})
	var got []string
	for _, f := range all {
		got = append(got, f.State)
		if (f.State == OK) != (f.Mend == "") {
			t.Errorf("%s is %s and to mend it: %q", f.What, f.State, f.Mend)
		}
	}
	if want := []string{OK, Warn, OK}; !slices.Equal(got, want) || Failed(all) {
		t.Errorf("the findings are %+v, want %v", all, want)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		version, least string
		want           bool
	}{
		{"1.8.0", "1.8.0", true}, {"1.9.7", "1.8.0", true}, {"1.7.9", "1.8.0", false}, {"2.0", "1.8.0", true}, {"20.10.24+dfsg1", "20.10.0", true},
		{"1.10.0-beta.1", "1.8.0", true}, {"6.18.44-fc-v657", "4.15", true}, {"4.9", "4.15", false}, {"", "1.0", false}, {"dev", "1.0", false},
	} {
		if got := atLeast(c.version, c.least); got != c.want {
			t.Errorf("atLeast(%q, %q) = %t", c.version, c.least, got)
		}
	}
}
