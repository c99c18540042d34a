package routerfeed

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
)

// obtainTime is how long a router waits for a certificate that has to be obtained first.
const obtainTime = 8 * time.Second

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ServeNode answers the router on a node; the caller has seen that it is one and may route.
func (f *Feed) ServeNode(w http.ResponseWriter, r *http.Request, node string) {
	handlers := map[string]func(http.ResponseWriter, *http.Request, string){
		"GET " + WatchPath: f.watch, "POST " + SeenPath: f.seen, "POST " + ReportPath: f.report, "POST " + CertificatesPath: f.certificates,
		"GET " + ChallengePath: f.challenge, "POST " + ConnectPath: f.connect,
	}
	h := handlers[r.Method+" "+r.URL.Path]
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r, node)
}

// read decodes a body of that many bytes at most; it reports false if it has refused the request.
func read(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit)).Decode(into)
	if err != nil {
		http.Error(w, "the request is not understood: "+err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// certificates answers with those of the table's hosts that there are. Of the platform's own names a router gets none.
func (f *Feed) certificates(w http.ResponseWriter, r *http.Request, node string) {
	var in CertificatesRequest
	if !read(w, r, 1<<20, &in) {
		return
	}
	public, err := x509.ParsePKIXPublicKey(in.Key)
	key, ok := public.(*ecdsa.PublicKey)
	if err != nil || !ok || len(in.Names) > MaxNames {
		http.Error(w, "a request has an ECDSA key and "+strconv.Itoa(MaxNames)+" names at most", http.StatusBadRequest)
		return
	}
	out := Certificates{Certificates: map[string]Certificate{}}
	platform := f.o.Settings(node).Platform
	for _, name := range in.Names {
		if slices.Contains(platform, name) || name != Fallback && !f.routed(name) {
			continue
		}
		c, err := f.certificate(r.Context(), name, key, !in.Ahead)
		switch {
		case errors.Is(err, router.ErrNoCertificate): // it is obtained for the first client
		case err != nil:
			f.o.Log.Warn("a router gets no certificate", "node", node, "host", name, "error", err)
		default:
			out.Certificates[name] = c
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // a router that has left asks again
}

func (f *Feed) certificate(ctx context.Context, name string, key *ecdsa.PublicKey, obtain bool) (Certificate, error) {
	c := f.o.Certificates
	makeshift := false
	if name != Fallback && c.ByACME(name) {
		ctx, cancel := context.WithTimeout(ctx, obtainTime)
		defer cancel()
		chain, secret, err := c.Export(ctx, name, obtain)
		if err == nil || !obtain {
			return Certificate{Chain: string(chain), Key: string(secret)}, err
		}
		makeshift = true // the client shall see the problem, as at the controller's router
	}
	chain, err := c.Sign(name, key, LocalLife)
	return Certificate{Chain: string(chain), Makeshift: makeshift}, err
}

// routed reports whether a route of the table has the host, or a wildcard above it.
func (f *Feed) routed(host string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hosts[host] > 0 || f.wildcardLocked(host)
}

func (f *Feed) wildcardLocked(host string) bool {
	for {
		_, above, ok := strings.Cut(host, ".")
		if !ok {
			return false
		}
		if f.hosts["*."+above] > 0 {
			return true
		}
		host = above
	}
}

// challenge answers a challenge of ACME that reached a router.
func (f *Feed) challenge(w http.ResponseWriter, r *http.Request, _ string) {
	q := r.URL.Query()
	asked := r.Clone(r.Context())
	asked.Host, asked.URL.Path, asked.URL.RawQuery, asked.TLS = q.Get("host"), q.Get("path"), "", nil
	if !strings.HasPrefix(asked.URL.Path, ChallengePrefix) || !f.o.Certificates.ServeChallenge(w, asked) {
		http.NotFound(w, r)
	}
}

// ChallengePrefix begins the path of a challenge (RFC 8555 8.3).
const ChallengePrefix = "/.well-known/acme-challenge/"

// connect makes of the request a connection to the controller's router, for a client that the router names, or to an instance
// that only the controller reaches.
func (f *Feed) connect(w http.ResponseWriter, r *http.Request, _ string) {
	q := r.URL.Query()
	if r.Header.Get("Upgrade") != Protocol {
		http.Error(w, "upgrade to "+Protocol, http.StatusBadRequest)
		return
	}
	if to := q.Get("to"); to == ToInstance {
		f.connectInstance(w, r, q.Get("address"))
		return
	} else if to != ToHTTP && to != ToHTTPS {
		http.Error(w, "it is not known to what", http.StatusBadRequest)
		return
	}
	client, err := netip.ParseAddrPort(q.Get("client"))
	if err != nil {
		http.Error(w, "client must be an address and a port", http.StatusBadRequest)
		return
	}
	conn, ok := taken(w)
	if !ok {
		return
	}
	conn.client = net.TCPAddrFromAddrPort(client)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), Beat)
	defer cancel()
	_ = f.o.Local.Take(ctx, conn, q.Get("to") == ToHTTPS) // it has closed what it does not take
}

// connectInstance reaches what the table says, and nothing else.
func (f *Feed) connectInstance(w http.ResponseWriter, r *http.Request, address string) {
	f.mu.Lock()
	known := f.inside[address] > 0
	f.mu.Unlock()
	if !known {
		http.Error(w, "no route leads there", http.StatusForbidden)
		return
	}
	instance, err := (&net.Dialer{Timeout: Beat, KeepAlive: 30 * time.Second}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, "the instance is not reached: "+err.Error(), http.StatusBadGateway)
		return
	}
	defer instance.Close()
	conn, ok := taken(w)
	if !ok {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(f.ending(), func() { conn.Close(); instance.Close() })()
	Carry(conn, instance)
}

// ending is a context that ends with the feed.
func (f *Feed) ending() context.Context { return closing{context.Background(), f.closed} }

type closing struct {
	context.Context
	done <-chan struct{}
}

func (c closing) Done() <-chan struct{} { return c.done }

func (c closing) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// Conn is a connection that was a request before.
type Conn struct {
	node.Ahead
	client net.Addr // nil: who is at the other end of Ahead
}

// RemoteAddr is the address of the client.
func (c *Conn) RemoteAddr() net.Addr {
	if c.client == nil {
		return c.Ahead.RemoteAddr()
	}
	return c.client
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n\r\n"

// taken takes a connection over; ok is false if the request was answered with why not.
func taken(w http.ResponseWriter) (conn *Conn, ok bool) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken over: use HTTP/1.1", http.StatusBadRequest)
		return nil, false
	}
	if err := errors.Join(c.SetDeadline(time.Time{}), write(c, switching)); err != nil {
		c.Close()
		return nil, false
	}
	return &Conn{Ahead: node.Ahead{Conn: c, From: buffered.Reader}}, true
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// Carry passes bytes both ways until both directions have ended or one has failed.
func Carry(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(a, b)
	}()
	pass(b, a)
	<-done
}

// pass ends dst's outgoing half when src has said all, and both where that cannot be or something failed.
func pass(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		return
	}
	dst.Close()
	src.Close()
}
