// Package discovery is the name server of containers: it answers for routes on internal domains with the
// addresses of the instances behind them, for all other routes and the platform's own names with the router's as
// containers see it, and asks this machine's resolvers for everything else. Containers
// know those resolvers, too, and go on with them while this server is away. The controller runs it.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

	"github.com/cupola-paas/cupola/store"
)

const (
	pause       = 50 * time.Millisecond // between two readings of the store
	resync      = time.Minute
	again       = 30 * time.Second // until the port is tried once more
	upstreamFor = 2 * time.Second  // one resolver's time
	forwardsMax = 256              // questions that wait for resolvers at the same time
	answersMax  = 32               // addresses in one answer
	perSecond   = 200              // questions of one container
	burst       = 400
	limitersMax = 4096 // containers whose rate is remembered
)

// Server answers. Its fields are set before Run and not changed.
type Server struct {
	DB      *store.DB      // nil: there are no internal routes
	Address netip.AddrPort // to listen on, UDP and TCP
	Clients netip.Prefix   // who is answered; the zero value: everybody
	Log     *slog.Logger
	// Router is where the platform's router can be reached from containers; the zero value: nowhere but where DNS says.
	Router netip.Addr
	// Routed reports whether a name is one that the router serves, a route's or the platform's own. It must be quick. Nil: none is.
	Routed func(name string) bool
	// Source tells the internal routes where there is no DB.
	Source Source
	// Reachable reports whether apps reach instances on another machine at that address. Nil: none.
	Reachable func(netip.Addr) bool
	// Resolvers are host:port of those to ask for what is not ours; nil: this machine's.
	Resolvers func() []string

	current  atomic.Pointer[names]
	forwards chan struct{}

	mu       sync.Mutex
	news     chan struct{} // closed when there are other names; nil: nobody waits for that
	limiters map[netip.Addr]*rate.Limiter
}

// Run serves until ctx ends. While the port cannot be had, containers ask this machine's resolvers alone, so
// that is logged and tried again, not an error.
func (s *Server) Run(ctx context.Context) error {
	s.forwards, s.limiters = make(chan struct{}, forwardsMax), map[netip.Addr]*rate.Limiter{}
	var changed <-chan struct{}
	if s.DB != nil {
		changed = s.DB.Watch(ctx, store.Domains.Name(), store.Routes.Name(), store.Instances.Name())
	}
	s.read()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { s.keepServing(ctx) })
	if s.Source != nil {
		work.Go(func() { s.follow(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(resync):
		}
		s.read()
	}
}

// read takes the names of this moment.
func (s *Server) read() {
	if s.DB == nil {
		if s.current.Load() == nil {
			s.take(&names{})
		}
		return
	}
	var n *names
	err := s.DB.View(func(tx *store.Tx) (err error) { n, err = readNames(tx, s.Reachable); return err })
	if err != nil {
		s.Log.Error("internal routes not read", "error", err)
		if s.current.Load() != nil {
			return
		}
		n = &names{}
	}
	s.take(n)
}

func (s *Server) keepServing(ctx context.Context) {
	for told := ""; ctx.Err() == nil; {
		err := s.serve(ctx)
		if err != nil && err.Error() != told {
			told = err.Error()
			s.Log.Warn("containers cannot resolve internal routes", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// serve listens on both protocols and returns when ctx ends or one of them fails.
func (s *Server) serve(ctx context.Context) error {
	packets, err := net.ListenPacket("udp", s.Address.String())
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	streams, err := net.Listen("tcp", s.Address.String())
	if err != nil {
		return errors.Join(fmt.Errorf("listen for DNS: %w", err), packets.Close())
	}
	udp := &dns.Server{PacketConn: packets, Handler: s}
	tcp := &dns.Server{Listener: streams, Handler: s, MaxTCPQueries: 64, IdleTimeout: func() time.Duration { return 5 * time.Second }}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	work.Go(func() { cancel(udp.ActivateAndServe()) })
	work.Go(func() { cancel(tcp.ActivateAndServe()) })
	<-ctx.Done()
	_ = packets.Close() // that ends both servers, also one that has not begun to serve
	_ = streams.Close()
	work.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	from := client(w)
	switch {
	case s.Clients.IsValid() && !s.Clients.Contains(from):
		return // nobody of ours: not a word
	case len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery:
		s.refuse(w, q, dns.RcodeNotImplemented)
	case !s.limiter(from).Allow():
		s.refuse(w, q, dns.RcodeRefused)
	default:
		name := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".")
		switch n := s.current.Load(); {
		case n.internal(name):
			addresses, exists := n.lookup(name)
			s.answer(w, q, addresses, exists)
		case s.Router.IsValid() && s.Routed != nil && s.Routed(name):
			s.answer(w, q, []netip.Addr{s.Router}, true)
		default:
			s.forward(w, q)
		}
	}
}

func client(w dns.ResponseWriter) netip.Addr {
	a, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// limiter is the container's; the memory for them is bounded by forgetting all.
func (s *Server) limiter(from netip.Addr) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limiters[from]
	if l == nil {
		if len(s.limiters) >= limitersMax {
			clear(s.limiters)
		}
		l = rate.NewLimiter(perSecond, burst)
		s.limiters[from] = l
	}
	return l
}

func (s *Server) refuse(w dns.ResponseWriter, q *dns.Msg, code int) {
	m := new(dns.Msg)
	_ = w.WriteMsg(m.SetRcode(q, code)) // who has gone needs no answer
}

// answer is for a name of ours: its addresses with no time to keep them, nothing of other types, or that
// there is no such name.
func (s *Server) answer(w dns.ResponseWriter, q *dns.Msg, addresses []netip.Addr, exists bool) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	question := q.Question[0]
	for _, a := range addresses[:min(len(addresses), answersMax)] {
		h := dns.RR_Header{Name: question.Name, Class: dns.ClassINET}
		switch {
		case a.Is4() && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY):
			h.Rrtype = dns.TypeA
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
		case a.Is6() && (question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeANY):
			h.Rrtype = dns.TypeAAAA
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	if _, isUDP := w.RemoteAddr().(*net.UDPAddr); isUDP {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(max(size, dns.MinMsgSize))
	}
	_ = w.WriteMsg(m)
}

// forward asks this machine's resolvers, one after another.
func (s *Server) forward(w dns.ResponseWriter, q *dns.Msg) {
	select {
	case s.forwards <- struct{}{}:
		defer func() { <-s.forwards }()
	default:
		s.refuse(w, q, dns.RcodeServerFailure)
		return
	}
	c := &dns.Client{Net: "udp", Timeout: upstreamFor, UDPSize: dns.DefaultMsgSize}
	if _, isTCP := w.RemoteAddr().(*net.TCPAddr); isTCP {
		c.Net = "tcp"
	}
	for _, to := range s.resolvers() {
		r, _, err := c.Exchange(q.Copy(), to)
		if err == nil && r != nil && r.Rcode != dns.RcodeServerFailure {
			r.Id = q.Id
			_ = w.WriteMsg(r)
			return
		}
	}
	s.refuse(w, q, dns.RcodeServerFailure)
}

func (s *Server) resolvers() []string {
	if s.Resolvers != nil {
		return s.Resolvers()
	}
	return resolversIn("/etc/resolv.conf", s.Address)
}

// resolversMax is how many are asked for one name.
const resolversMax = 3

// resolversIn are those that a file names now, but for this server itself.
func resolversIn(file string, own netip.AddrPort) []string {
	config, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil
	}
	var all []string
	for _, server := range config.Servers {
		if to := net.JoinHostPort(server, config.Port); to != own.String() && len(all) < resolversMax {
			all = append(all, to)
		}
	}
	return all
}
