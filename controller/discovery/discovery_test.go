package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cupola-paas/cupola/store"
)

// world is a name server over a store with a frontend of three instances, one of them not routable.
type world struct {
	t    *testing.T
	db   *store.DB
	s    *Server
	addr string
}

func newWorld(t *testing.T, change func(*Server)) *world {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, db: db}
	w.update(func(tx *store.Tx) error {
		internal, public := &store.Domain{Name: "apps.internal", Internal: true}, &store.Domain{Name: "example.com"}
		err := errors.Join(store.Domains.Put(tx, internal), store.Domains.Put(tx, public))
		for n, host := range []string{"front", "*.many", "empty"} {
			r := &store.Route{Host: host, DomainGUID: internal.GUID, Destinations: []store.Destination{{AppGUID: "app", ProcessType: "web"}}}
			if n == 2 {
				r.Destinations = nil
			}
			err = errors.Join(err, store.Routes.Put(tx, r))
		}
		err = errors.Join(err, store.Routes.Put(tx, &store.Route{Host: "front", DomainGUID: public.GUID, Destinations: []store.Destination{{AppGUID: "app", ProcessType: "web"}}}))
		for index := range 3 {
			err = errors.Join(err, store.Instances.Put(tx, &store.Instance{
				AppGUID: "app", ProcessType: "web", Index: index, State: store.InstanceRunning, Routable: index < 2, Address: fmt.Sprintf("10.9.0.%d", index+2),
			}))
		}
		return errors.Join(err, store.Instances.Put(tx, &store.Instance{AppGUID: "app", ProcessType: "worker", State: store.InstanceRunning, Routable: true, Address: "10.9.0.99"}))
	})
	w.serve(change)
	return w
}

func (w *world) update(fn func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts the server on a loopback port; it ends with the test.
func (w *world) serve(change func(*Server)) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = l.Addr().String()
	l.Close()
	w.s = &Server{DB: w.db, Address: netip.MustParseAddrPort(w.addr), Resolvers: func() []string { return nil }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(w.s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	for { // until it listens
		if c, err := net.Dial("tcp", w.addr); err == nil {
			c.Close()
			return
		}
	}
}

// ask returns the answer's code and its addresses, sorted.
func (w *world) ask(network, name string, kind uint16) (*dns.Msg, []string) {
	w.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	r, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).Exchange(m, w.addr)
	if err != nil {
		w.t.Fatalf("ask for %s: %v", name, err)
	}
	var all []string
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			all = append(all, a.A.String())
		}
		if rr.Header().Ttl != 0 && strings.HasSuffix(name, "internal") {
			w.t.Errorf("%s may be kept for %d s", name, rr.Header().Ttl)
		}
	}
	slices.Sort(all)
	return r, all
}

func TestInternalRoutes(t *testing.T) {
	w := newWorld(t, nil)
	both := []string{"10.9.0.2", "10.9.0.3"}
	for _, c := range []struct {
		name string
		kind uint16
		code int
		want []string
	}{
		{"front.apps.internal", dns.TypeA, dns.RcodeSuccess, both},
		{"FRONT.Apps.Internal", dns.TypeA, dns.RcodeSuccess, both},
		{"front.apps.internal", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"1.front.apps.internal", dns.TypeA, dns.RcodeSuccess, both[1:]},
		{"2.front.apps.internal", dns.TypeA, dns.RcodeNameError, nil}, // not routable
		{"01.front.apps.internal", dns.TypeA, dns.RcodeNameError, nil},
		{"a.many.apps.internal", dns.TypeA, dns.RcodeSuccess, both},
		{"a.b.many.apps.internal", dns.TypeA, dns.RcodeSuccess, both},
		{"empty.apps.internal", dns.TypeA, dns.RcodeSuccess, nil},
		{"unknown.apps.internal", dns.TypeA, dns.RcodeNameError, nil},
		{"apps.internal", dns.TypeA, dns.RcodeNameError, nil},
		{"front.example.com", dns.TypeA, dns.RcodeServerFailure, nil}, // no resolver to ask
	} {
		for _, network := range []string{"udp", "tcp"} {
			if r, got := w.ask(network, c.name, c.kind); r.Rcode != c.code || !slices.Equal(got, c.want) {
				t.Errorf("%s %s: %s %v, want %s %v", network, c.name, dns.RcodeToString[r.Rcode], got, dns.RcodeToString[c.code], c.want)
			}
		}
	}
}

// TestChange: an instance that is no longer routable leaves the answers.
func TestChange(t *testing.T) {
	w := newWorld(t, nil)
	w.update(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			if i.Index == 0 && i.ProcessType == "web" {
				i.Routable = false
				return store.Instances.Put(tx, i)
			}
		}
		return errors.New("no instance 0")
	})
	give := time.After(time.Minute)
	for {
		if _, got := w.ask("udp", "front.apps.internal", dns.TypeA); slices.Equal(got, []string{"10.9.0.3"}) {
			return
		}
		select {
		case <-give:
			t.Fatal("an instance that is not routable is still answered")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// upstream is a resolver that knows one name.
func upstream(t *testing.T) (port string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.7")
		if err == nil {
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go srv.ActivateAndServe() //nolint:errcheck // ends with the test
	<-started
	t.Cleanup(func() { _ = srv.Shutdown() })
	_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
	return port
}

// TestForward: what is not ours is asked elsewhere, and a resolver that is silent does not matter.
func TestForward(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	known := "127.0.0.1:" + upstream(t)
	w := newWorld(t, func(s *Server) { s.Resolvers = func() []string { return []string{silent.LocalAddr().String(), known} } })
	if r, got := w.ask("udp", "www.example.com", dns.TypeA); r.Rcode != dns.RcodeSuccess || !slices.Equal(got, []string{"192.0.2.7"}) {
		t.Errorf("www.example.com: %s %v", dns.RcodeToString[r.Rcode], got)
	}
	if r, got := w.ask("udp", "unknown.apps.internal", dns.TypeA); r.Rcode != dns.RcodeNameError || got != nil {
		t.Errorf("a name of ours was asked elsewhere: %s %v", dns.RcodeToString[r.Rcode], got)
	}
}

func TestResolversIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 10.9.0.1\nnameserver 127.0.0.53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := resolversIn(file, netip.MustParseAddrPort("10.9.0.1:53")); !slices.Equal(got, []string{"127.0.0.53:53"}) {
		t.Errorf("resolvers = %q, want those that are not this server", got)
	}
}

// TestLimits: one container cannot ask without end, and nobody from elsewhere is answered.
func TestLimits(t *testing.T) {
	w := newWorld(t, nil)
	refused := false
	for range 100 * burst { // a machine that asks slower than the limit ends the loop
		if r, _ := w.ask("udp", "front.apps.internal", dns.TypeA); r.Rcode == dns.RcodeRefused {
			refused = true
			break
		}
		if w.s.limiter(netip.MustParseAddr("127.0.0.1")).Tokens() > burst-1 {
			t.Skip("this machine asks slower than the limit")
		}
	}
	if !refused {
		t.Error("a client may ask without end")
	}
	w = newWorld(t, func(s *Server) { s.Clients = netip.MustParsePrefix("10.9.0.0/16") })
	m := new(dns.Msg)
	m.SetQuestion("front.apps.internal.", dns.TypeA)
	if r, _, err := (&dns.Client{Timeout: 200 * time.Millisecond}).Exchange(m, w.addr); err == nil {
		t.Errorf("somebody from elsewhere was answered: %v", r)
	}
}

// TestRoutedNames: what the router serves is at the router, for who asks for IPv4 addresses; internal names come first.
func TestRoutedNames(t *testing.T) {
	w := newWorld(t, func(s *Server) {
		s.Router = netip.MustParseAddr("10.9.0.1")
		s.Routed = func(name string) bool { return name == "shop.example.com" || name == "front.apps.internal" }
	})
	for _, c := range []struct {
		name string
		kind uint16
		code int
		want []string
	}{
		{"shop.example.com", dns.TypeA, dns.RcodeSuccess, []string{"10.9.0.1"}},
		{"Shop.Example.com", dns.TypeA, dns.RcodeSuccess, []string{"10.9.0.1"}},
		{"shop.example.com", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"shop.example.com", dns.TypeMX, dns.RcodeSuccess, nil},
		{"other.example.com", dns.TypeA, dns.RcodeServerFailure, nil}, // no resolver to ask
		{"front.apps.internal", dns.TypeA, dns.RcodeSuccess, []string{"10.9.0.2", "10.9.0.3"}},
	} {
		if r, got := w.ask("udp", c.name, c.kind); r.Rcode != c.code || !slices.Equal(got, c.want) {
			t.Errorf("%s: %s %v, want %s %v", c.name, dns.RcodeToString[r.Rcode], got, dns.RcodeToString[c.code], c.want)
		}
	}
}
