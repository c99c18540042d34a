package logs

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	drain1 = "aaaaaaaa-1111-4111-8111-111111111111"
	drain2 = "bbbbbbbb-1111-4111-8111-111111111111"
)

// authority is a CA that signs for 127.0.0.1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key))
	a.cert = must(x509.ParseCertificate(der))
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issue makes a certificate for 127.0.0.1, good for a server and for a client.
func (a *authority) issue() (cert, key string) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "one"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key))
	keyDER := must(x509.MarshalPKCS8PrivateKey(k))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// collector is a syslog server that passes on each message, without its length.
type collector struct {
	t        *testing.T
	listener net.Listener
	messages chan string

	mu    sync.Mutex
	conns []net.Conn
}

func newCollector(t *testing.T, listener net.Listener) *collector {
	t.Helper()
	c := &collector{t: t, listener: listener, messages: make(chan string, 10_000)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			go c.read(conn)
		}
	}()
	t.Cleanup(c.stop)
	return c
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	return must(net.Listen("tcp", addr))
}

func (c *collector) addr() string { return c.listener.Addr().String() }

func (c *collector) read(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			c.t.Errorf("length %q", length)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		c.messages <- string(b)
	}
}

// stop ends the server and all its connections.
func (c *collector) stop() {
	c.listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *collector) next() string {
	c.t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(30 * time.Second):
		c.t.Fatal("no message comes")
		return ""
	}
}

// openDrains lets drains go to this machine, and gives what they note.
func openDrains(t *testing.T, s *Store) (*Drains, chan string) {
	t.Helper()
	notes := make(chan string, 1000)
	d, err := s.OpenDrains(DrainOptions{
		Guard: Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Note: func(_, text string) { notes <- text },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, notes
}

func appended(t *testing.T, s *Store, e Envelope) {
	t.Helper()
	if err := s.Append(e); err != nil {
		t.Fatal(err)
	}
}

func TestSyslogFormat(t *testing.T) {
	e := Envelope{
		SourceID: app1, InstanceID: "2", Time: start.Add(123456789), Payload: []byte("hello\x00 [world]"), Stderr: true,
		Tags: map[string]string{"organization_name": "My Org", "space_name": "dev_1", "app_name": "ünï shop", "source_type": "APP/PROC/WEB", "quote": `a"b\c]d`},
	}
	want := `<11>1 2026-05-01T12:00:00.123456+00:00 My-Org.dev-1.n-shop ` + app1 + ` [APP/PROC/WEB/2] - ` +
		`[tags@47450 app_name="ünï shop" organization_name="My Org" quote="a\"b\\c\]d" source_type="APP/PROC/WEB" space_name="dev_1"] hello [world]` + "\n"
	if got := string(syslogMessages(&e, false)[0]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(syslogMessages(&e, true)[0]); !strings.HasSuffix(got, "[APP/PROC/WEB/2] - - hello [world]\n") {
		t.Errorf("without metadata: %s", got)
	}
	g := Envelope{SourceID: app1, InstanceID: "0", Time: start, Gauges: map[string]Gauge{"cpu": {"percentage", 1.5}, "memory": {"bytes", 1 << 40}}}
	metrics := syslogMessages(&g, false)
	if len(metrics) != 2 || !strings.Contains(string(metrics[0]), `[gauge@47450 name="cpu" value="1.5" unit="percentage"]`) {
		t.Errorf("metrics: %s", metrics)
	}
	if got := string(octetCounted([]byte("ab\n"))); got != "3 ab\n" {
		t.Errorf("counted %q", got)
	}
}

func TestDrainOverTCP(t *testing.T) {
	s := openTest(t, Options{})
	appendLines(t, s, app1, 0, 5) // before the binding: not sent
	c := newCollector(t, listen(t, "127.0.0.1:0"))
	d, _ := openDrains(t, s)
	d.Set([]Drain{{ID: drain1, SourceID: app1, URL: "syslog://" + c.addr()}})
	appendLines(t, s, app2, 5, 10) // of another app
	appendLines(t, s, app1, 5, 1005)
	for i := 5; i < 1005; i++ {
		if got := c.next(); !strings.HasSuffix(got, fmt.Sprintf("] line %d\n", i)) {
			t.Fatalf("message %d: %s", i, got)
		}
	}
	d.Set(nil)
	appendLines(t, s, app1, 1005, 1006)
	if _, err := os.Stat(filepath.Join(s.dir, drainsDir, drain1)); err == nil {
		t.Error("the position of a drain that is no more was kept")
	}
	if len(c.messages) != 0 {
		t.Errorf("sent after the end: %s", <-c.messages)
	}
}

// TestDrainGoesOnAfterRestart: what is said while the platform or the server is away comes later, in order, at least once.
func TestDrainGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	c := newCollector(t, listen(t, "127.0.0.1:0"))
	wanted := []Drain{{ID: drain1, SourceID: app1, URL: "syslog://" + c.addr()}}
	d, _ := openDrains(t, s)
	d.Set(wanted)
	appendLines(t, s, app1, 0, 3)
	for range 3 {
		c.next()
	}
	_ = d.Close()
	appendLines(t, s, app1, 3, 6) // nobody drains
	closeStore(t, s)
	s = openTest(t, Options{Dir: dir})
	d, _ = openDrains(t, s)
	d.Set(wanted)
	if got := c.next(); !strings.HasSuffix(got, "line 3\n") {
		t.Fatalf("after a restart comes %s, want line 3", got)
	}
	c.next()
	c.next()

	addr := c.addr()
	c.stop() // the server goes, and comes back
	appendLines(t, s, app1, 6, 8)
	c = newCollector(t, listen(t, addr))
	for got := ""; !strings.HasSuffix(got, "line 7\n"); {
		if got = c.next(); strings.HasSuffix(got, "line 7\n") {
			break
		} else if !strings.HasSuffix(got, "line 6\n") {
			t.Fatalf("from the server that came back: %s", got)
		}
	}
}

func tlsListener(t *testing.T, a *authority, mutual bool) net.Listener {
	t.Helper()
	pair := must(tls.X509KeyPair(pemPair(a)))
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if mutual {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	}
	return must(tls.Listen("tcp", "127.0.0.1:0", c))
}

func pemPair(a *authority) (cert, key []byte) {
	c, k := a.issue()
	return []byte(c), []byte(k)
}

func TestDrainOverTLS(t *testing.T) {
	for _, mutual := range []bool{false, true} {
		t.Run(fmt.Sprint("mutual=", mutual), func(t *testing.T) {
			s := openTest(t, Options{})
			a := newAuthority(t)
			c := newCollector(t, tlsListener(t, a, mutual))
			d, notes := openDrains(t, s)
			w := Drain{ID: drain1, SourceID: app1, URL: "syslog-tls://" + c.addr()}
			d.Set([]Drain{w}) // without the CA the server is nobody
			appendLines(t, s, app1, 0, 1)
			if got := <-notes; !strings.Contains(got, "certificate") {
				t.Errorf("note %q, want one about the certificate", got)
			}
			w.CA = a.pem
			if mutual {
				w.Cert, w.Key = a.issue()
			}
			d.Set([]Drain{w})
			if got := c.next(); !strings.HasSuffix(got, "line 0\n") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestDrainByRequests(t *testing.T) {
	for _, scheme := range []string{"https", "https-batch"} {
		t.Run(scheme, func(t *testing.T) {
			s := openTest(t, Options{})
			a := newAuthority(t)
			bodies := make(chan string, 100)
			busy := make(chan struct{}, 1) // the first request finds the server busy
			busy <- struct{}{}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				select {
				case <-busy:
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				default:
				}
				if strings.Contains(string(body), "line 1\n") {
					w.WriteHeader(http.StatusBadRequest) // and so never wants it
				}
				bodies <- r.URL.RequestURI() + " " + string(body)
			}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{must(tls.X509KeyPair(pemPair(a)))}}
			server.StartTLS()
			defer server.Close()
			d, _ := openDrains(t, s)
			appendLines(t, s, app1, 0, 1)
			d.Set([]Drain{{ID: drain1, SourceID: app1, URL: scheme + "://" + server.Listener.Addr().String() + "/in?drain-type=logs&key=1", CA: a.pem}})
			appendLines(t, s, app1, 1, 4)
			var all strings.Builder
			for n := 0; !strings.Contains(all.String(), "line 3\n"); n++ {
				all.WriteString(<-bodies)
				if n == 0 && !strings.HasPrefix(all.String(), "/in?key=1 <1") {
					t.Errorf("request %s, want its own query alone", all.String())
				}
			}
			if !strings.Contains(all.String(), "line 1\n") || !strings.Contains(all.String(), "line 2\n") {
				t.Errorf("bodies %s", all.String())
			}
		})
	}
}

func TestDrainTypes(t *testing.T) {
	s := openTest(t, Options{})
	c := newCollector(t, listen(t, "127.0.0.1:0"))
	d, _ := openDrains(t, s)
	d.Set([]Drain{
		{ID: drain1, SourceID: app1, URL: "syslog://" + c.addr() + "?drain-type=metrics"},
		{ID: drain2, SourceID: app2, URL: "syslog://" + c.addr() + "?exclude-source-types=rtr,stg"},
	})
	gauge := Envelope{SourceID: app1, InstanceID: "0", Time: start, Gauges: map[string]Gauge{"cpu": {"percentage", 1}}}
	appendLines(t, s, app1, 0, 2)
	appended(t, s, gauge)
	if got := c.next(); !strings.Contains(got, `name="cpu"`) {
		t.Errorf("of metrics only: %s", got)
	}
	access := line(app2, 1)
	access.Tags = map[string]string{"source_type": "RTR"}
	appended(t, s, access)
	appendLines(t, s, app2, 2, 3)
	if got := c.next(); !strings.HasSuffix(got, "line 2\n") {
		t.Errorf("without RTR: %s", got)
	}
}

// TestSlowDrain tells how much the log has lost before a drain that was away could send it.
func TestSlowDrain(t *testing.T) {
	s := openTest(t, Options{PerSourceBytes: 40_000})
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	l.Close() // nobody listens
	d, notes := openDrains(t, s)
	d.Set([]Drain{{ID: drain1, SourceID: app1, URL: "syslog://" + addr}})
	appendLines(t, s, app1, 0, 1)
	if got := <-notes; !strings.Contains(got, "does not take messages: connect: connection refused") || strings.Contains(got, "dial tcp") {
		t.Errorf("note %q", got)
	}
	appendLines(t, s, app1, 1, 5000)
	c := newCollector(t, listen(t, addr))
	first := c.next()
	if !strings.HasSuffix(first, "line 0\n") {
		t.Errorf("first %s, want what was at hand", first)
	}
	var lost, got int
	if _, err := fmt.Sscanf(<-notes, "%d messages lost", &lost); err != nil {
		t.Fatal(err)
	}
	for last := ""; !strings.HasSuffix(last, "line 4999\n"); got++ {
		last = c.next()
	}
	if lost == 0 || lost+got+1 != 5000 {
		t.Errorf("%d lost and %d got of 5000", lost, got+1)
	}
}

func TestBadDrain(t *testing.T) {
	for _, d := range []Drain{
		{URL: "udp://x"}, {URL: "syslog://"}, {URL: "syslog://x?drain-type=all-of-it"}, {URL: "syslog-tls://x", CA: "no PEM"},
		{URL: "https://x", Cert: "no", Key: "PEM"}, {URL: "https://user:secret\x7f@x"},
	} {
		_, err := d.resolve()
		if !errors.Is(err, ErrBadDrain) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", d.URL, err)
		}
	}
	s := openTest(t, Options{})
	d, notes := openDrains(t, s)
	d.Set([]Drain{{ID: "../escape", SourceID: app1, URL: "syslog://x"}, {ID: drain1, SourceID: app1, URL: "syslog-tls://x", CA: "no PEM"}})
	if got := <-notes; !strings.Contains(got, "ca holds no certificate") {
		t.Errorf("note %q", got)
	}
}

func TestGuard(t *testing.T) {
	g := Guard{OwnPort: func(port int) bool { return port == 443 },
		Allow:  []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32"), netip.MustParsePrefix("172.20.0.7/32")},
		Inside: []netip.Prefix{netip.MustParsePrefix("172.20.0.0/16"), netip.MustParsePrefix("172.21.0.0/16")},
	}
	for address, want := range map[string]bool{
		"127.0.0.1:514": false, "127.0.0.1:443": true, "127.0.0.9:514": true, "[::1]:514": false, "[::ffff:127.0.0.1]:514": false, "0.0.0.0:514": false,
		"169.254.169.254:80": false, "[fe80::1%eth0]:514": false, "224.0.0.1:514": false, "10.1.2.3:514": true, "192.0.2.1:6514": true, "[2001:db8::1]:514": true,
		"172.20.0.2:8080": false, "172.21.255.254:443": false, "172.20.0.7:514": true, "172.22.0.2:8080": true, "[::ffff:172.20.0.2]:514": false,
		"[::]:443": false, "name:514": false,
	} {
		if err := g.Control("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %t", address, err, want)
		}
	}
	if (Guard{}).Control("tcp", "127.0.0.1:443", nil) == nil {
		t.Error("a guard without OwnPort lets drains go to this machine")
	}
	own := must(net.InterfaceAddrs())
	for _, a := range own {
		if n := a.(*net.IPNet); !n.IP.IsLoopback() && n.IP.To4() != nil {
			if err := g.Control("tcp", net.JoinHostPort(n.IP.String(), "5870"), nil); err == nil {
				t.Errorf("a drain may go to %s, which is this machine", n.IP)
			}
		}
	}
}

// TestGuardHoldsForDrains shows that what a name or URL says does not matter.
func TestGuardHoldsForDrains(t *testing.T) {
	s := openTest(t, Options{})
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	notes := make(chan string, 10)
	d := must(s.OpenDrains(DrainOptions{Note: func(_, text string) { notes <- text }}))
	defer d.Close()
	d.Set([]Drain{{ID: drain1, SourceID: app1, URL: "syslog://localhost:" + port}, {ID: drain2, SourceID: app1, URL: "https://localhost:" + port + "/secret-path"}})
	appendLines(t, s, app1, 0, 1)
	for range 2 {
		if got := <-notes; !strings.Contains(got, "drains may not go to this address") || strings.Contains(got, "secret-path") || strings.Contains(got, "127.0.0.1") {
			t.Errorf("note %q", got)
		}
	}
}

func TestSubscriptionIsBounded(t *testing.T) {
	s := openTest(t, Options{})
	sub := s.Subscribe("", func(e *Envelope) bool { return e.SourceID == app1 })
	defer sub.Close()
	appendLines(t, s, app1, 0, subscriptionQueue+10)
	batch, dropped := sub.Next(context.Background(), 5)
	if len(batch) != 5 || dropped != 10 || string(batch[0].Payload) != "line 10" {
		t.Errorf("%d envelopes from %s, %d dropped; want 5 from line 10, 10", len(batch), batch[0].Payload, dropped)
	}
}
