package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// TestStart: the image is found where the machine finds it, and what depends on the address is asked for on the way.
func TestStart(t *testing.T) {
	_, c := serve(t)
	w := node.Workload{ID: "w2", Image: "app@sha256:1", Finish: func(address string) (node.Extra, error) {
		return node.Extra{Files: map[string][]byte{"/at": []byte("at " + address)}}, nil
	}}
	if err := c.Start(t.Context(), w, true); !errors.Is(err, node.ErrVolumeInUse) || !strings.Contains(err.Error(), "at 10.9.0.2") {
		t.Errorf("start = %v", err)
	}
	w.Finish = func(string) (node.Extra, error) { return node.Extra{}, errors.New("no certificate today") }
	if err := c.Start(t.Context(), w, true); err == nil || !strings.Contains(err.Error(), "no certificate today") {
		t.Errorf("start of a workload that cannot be finished = %v", err)
	}
	if err := c.Start(t.Context(), w, false); err == nil || !strings.Contains(err.Error(), "the image is app@sha256:1 for ") {
		t.Errorf("start of an image of another registry = %v", err)
	}
}

func TestDataCalls(t *testing.T) {
	_, c := serve(t)
	if all, err := c.Volumes(t.Context()); err != nil || len(all) != 1 || all[0].UsedBytes != 5 {
		t.Errorf("volumes = %v, %v", all, err)
	}
	if err := c.RemoveVolume(t.Context(), "v 1"); !errors.Is(err, node.ErrVolumeInUse) || !strings.HasPrefix(err.Error(), "v 1: ") {
		t.Errorf("remove = %v", err)
	}
	for image, want := range map[string]string{"app@sha256:1": "here/app@sha256:1 for reader", "other.test/app:1": "other.test/app:1 for "} {
		if err := c.Prepull(t.Context(), image, want[:4] == "here"); err == nil || err.Error() != want {
			t.Errorf("prepull of %s = %v, want %s", image, err, want)
		}
	}
	if all, err := c.Flows(t.Context()); err != nil || len(all) != 1 || all[0].Connections != 3 {
		t.Errorf("flows = %v, %v", all, err)
	}
	<-c.Changed()
	h, err := c.Host(t.Context())
	if err != nil || h.Subnet.String() != "10.9.0.0/20" || !h.DiskFull || h.Skew.Abs() > time.Second {
		t.Errorf("host = %+v, %v", h, err)
	}
}

// TestSkew: a machine whose clock is ahead is told by what its agent says.
func TestSkew(t *testing.T) {
	cert, pool := certificate(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("seen") != "0" {
			<-r.Context().Done()
			return
		}
		answer(w, listing{Seq: 1, Now: time.Now().Add(time.Hour)}, nil)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	defer srv.Close()
	c := Connect(srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "agent.test"})
	<-c.Changed()
	h, err := c.Host(t.Context())
	if err != nil || h.Skew < 59*time.Minute || h.Skew > 61*time.Minute {
		t.Errorf("the skew is %s, %v; want an hour", h.Skew, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestConnect: bytes go both ways between a workload elsewhere and one here, where a policy lets them.
func TestConnect(t *testing.T) {
	l, c := serve(t)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	l.target = echo.Addr().String()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			node.CloseWrite(conn)
		}
	}()
	conn, err := Bridge(t.Context(), c.address, c.tls, "a1", netip.MustParseAddrPort("10.9.0.2:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	node.CloseWrite(conn)
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("back came %q, %v", got, err)
	}
	if _, err := Bridge(t.Context(), c.address, c.tls, "a2", netip.MustParseAddrPort("10.9.0.2:80")); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("where no policy leads: %v", err)
	}
}

// TestWhoMay: a machine may bring connections while the controller names it, and never do anything else.
func TestWhoMay(t *testing.T) {
	a := New(&local{}, Options{Controller: "server", NodeName: func(guid string) string { return guid + ".node" }})
	a.nodes = map[string]bool{"n1.node": true}
	asks := func(path string, names ...string) bool {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		cert := &x509.Certificate{DNSNames: names}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
		return a.may(r)
	}
	for _, c := range []struct {
		path, name string
		want       bool
	}{
		{"/v1/network", "server", true}, {connectPath, "server", true}, {connectPath, "n1.node", true},
		{"/v1/network", "n1.node", false}, {"/v1/volumes/x", "n1.node", false}, {connectPath + "/", "n1.node", false}, {connectPath, "n2.node", false}, {connectPath, "other", false},
	} {
		if got := asks(c.path, c.name); got != c.want {
			t.Errorf("%s may ask for %s: %t, want %t", c.name, c.path, got, c.want)
		}
	}
	if r := httptest.NewRequest(http.MethodPost, connectPath, nil); a.may(r) {
		t.Error("somebody without a certificate may connect")
	}
}
