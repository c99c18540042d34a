package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
)

// acmeDomain is public as far as the platform knows; its DNS is the test's own.
const acmeDomain = "acme.example"

// TestPublicCertificates gets certificates from Pebble, the test CA of Let's Encrypt, over the router's own
// ports: for the platform's names and for an app, but for no name that nothing leads to.
func TestPublicCertificates(t *testing.T) {
	t.Parallel()
	p := unstarted(t)
	ca := startPebble(t, p) // it validates at the platform's ports
	p.domain = acmeDomain
	p.env = append(p.env, "CUPOLA_DOMAIN="+acmeDomain, "CUPOLA_ACME_EMAIL=ops@example.com",
		"CUPOLA_ACME_CA="+ca.directory, "CUPOLA_ACME_CA_ROOT="+ca.rootFile)
	p.boot(t)
	client := &http.Client{Transport: p.transport(ca.issuer(t)), Timeout: 40 * time.Second}
	resp, err := client.Get(p.url("api", "/healthz"))
	if err != nil {
		t.Fatalf("the API with a certificate of the ACME CA: %v", err)
	}
	resp.Body.Close()

	hostsEntry(t, acmeDomain) // the command line asks the machine's resolver
	u := &user{platform: p, t: t, home: t.TempDir()}
	u.must("api", p.url("api", ""), "--skip-ssl-validation")
	u.must("login", "-u", "admin", "-p", password)
	u.must("create-org", "acme")
	u.must("create-space", "dev", "-o", "acme")
	u.must("target", "-o", "acme", "-s", "dev")
	dir := sample(t, "static")
	u.must("push", "hello", "-p", dir, "--no-manifest", "-m", "64M")
	resp, err = client.Get(p.url("hello", "/"))
	if err != nil {
		t.Fatalf("an app with a certificate of the ACME CA: %v", err)
	}
	resp.Body.Close()
	if resp, err = client.Get(p.url("nobody", "/")); err == nil {
		resp.Body.Close()
		t.Error("a name that no route leads to got a public certificate")
	}
}

// pebble is a running ACME CA.
type pebble struct {
	directory  string
	management string
	rootFile   string
	client     *http.Client
}

func startPebble(t *testing.T, p *platform) *pebble {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "pebble")
	build := exec.Command("go", "build", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	ports, err := freePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	startDNS(t, ports[2])
	c := &pebble{directory: "https://" + ports[0] + "/dir", management: "https://" + ports[1], rootFile: filepath.Join(dir, "root.pem")}
	keyFile := writeCertificate(t, c.rootFile)
	config := map[string]any{"pebble": map[string]any{
		"listenAddress": ports[0], "managementListenAddress": ports[1], "certificate": c.rootFile, "privateKey": keyFile,
		"httpPort": portOf(t, p.http), "tlsPort": portOf(t, p.https),
		"profiles": map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": 7776000}},
	}}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "pebble.json"), string(raw))
	cmd := exec.Command(binary, "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", ports[2])
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	root, err := os.ReadFile(c.rootFile)
	if err != nil {
		t.Fatal(err)
	}
	c.client = &http.Client{Transport: p.transport(root), Timeout: 5 * time.Second}
	for range 100 {
		if resp, err := c.client.Get(c.directory); err == nil {
			resp.Body.Close()
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("pebble does not answer")
	return nil
}

// issuer is the root that pebble's certificates chain to; it makes a new one at each start.
func (c *pebble) issuer(t *testing.T) []byte {
	t.Helper()
	resp, err := c.client.Get(c.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// startDNS answers every name with 127.0.0.1.
func startDNS(t *testing.T, addr string) {
	t.Helper()
	dns, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{addr}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	dns.SetDefaultDNSIPv4("127.0.0.1")
	dns.SetDefaultDNSIPv6("")
	go dns.Run()
	t.Cleanup(dns.Shutdown)
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", addr)
	}}
	for range 50 {
		if _, err := resolver.LookupHost(t.Context(), "api."+acmeDomain); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the test's DNS server does not answer")
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// writeCertificate makes the certificate of the ACME server itself, for 127.0.0.1, and returns its key's file.
func writeCertificate(t *testing.T, file string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example ACME server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := file + ".key"
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey})))
	return keyFile
}
