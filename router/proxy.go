package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// maxAttempts bounds the instances that are tried for one request.
const maxAttempts = 3

// exchange is one proxied request, from its first look at the pool to its line in the access log.
type exchange struct {
	rt     *Router
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	host   string // as normalHost made it
	choice choice
	who    Identity     // that the sender has proved, of a route that admits some alone
	header http.Header  // to the app
	body   *requestBody // nil if there is none
	// upgrade is the protocol that the client wants to change to, or empty.
	upgrade string
	access  Access
	app     *appRecord // of the instance that was tried last; nil if none was
	// caller is the app that sends the request, if it is one; edge counts its calls of app. unserved says that
	// there was no instance to choose.
	caller   string
	edge     *edge
	unserved bool

	mu       sync.Mutex // 1xx responses come on another goroutine
	answered bool       // no 1xx from here on
	trace    httptrace.ClientTrace
}

// proxy answers r from an endpoint of route.
func (rt *Router) proxy(w http.ResponseWriter, r *http.Request, m *route, host string, body *requestBody, started time.Time) {
	x := &exchange{rt: rt, w: w, r: r, route: m, host: host, body: body, caller: rt.callers.of(r.RemoteAddr)}
	x.access = Access{
		Started: started, Host: r.Host, Method: r.Method, URI: r.RequestURI, Proto: r.Proto, AppGUID: m.appGUID,
		Remote: r.RemoteAddr, UserAgent: r.UserAgent(), Referer: r.Referer(),
	}
	defer x.finish()
	x.header = outgoingHeader(r)
	x.access.RequestID = rt.forwardHeader(x.header, r, started)
	x.access.ForwardedFor = x.header[headerForwardedFor][0]
	x.access.ForwardedProto = x.header[headerForwardedProto][0]
	x.access.Trace = rt.opts.Tracing.set(x.header)
	w.Header()[headerVcapRequestID] = x.header[headerVcapRequestID]
	if m.admits != nil && !x.admit() || !x.prepare() {
		return
	}
	if m.service != nil && x.throughService() {
		return
	}
	for x.access.Attempts = 1; ; x.access.Attempts++ {
		ep := x.acquire()
		if ep == nil {
			x.refuseEmpty()
			return
		}
		if done := x.attempt(ep); done {
			return
		}
		rt.tally.retries.Add(1)
	}
}

// outgoingHeader copies what the client sent, without the fields of its connection. Values are shared
// with r: they are replaced, never changed.
func outgoingHeader(r *http.Request) http.Header {
	h := make(http.Header, len(r.Header)+10)
	for name, values := range r.Header {
		h[name] = values
	}
	upgrade := upgradeType(h)
	trailers := hasToken(h["Te"], "trailers")
	removeHopByHop(h)
	if upgrade != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if trailers {
		h["Te"] = []string{"trailers"} // gRPC asks for it end to end
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or net/http would put its own
	}
	return h
}

// prepare reads what the request asks of the choice. It reports false if it has refused the request.
func (x *exchange) prepare() bool {
	sel, reason := selectInstance(x.r.Header)
	if reason != "" {
		x.refuse(http.StatusBadRequest, reason, "The header that selects an instance must be GUID:INDEX.")
		return false
	}
	if sel != nil {
		x.choice.only = sel.allows
	}
	x.choice.id = stickyID(x.r)
	x.upgrade = x.header.Get("Upgrade")
	if x.body == nil && (x.r.Method == http.MethodPut || x.r.Method == http.MethodDelete) {
		// Idempotent too (RFC 9110 9.2.2), which the transport does not assume: an empty key lets it repeat
		// the request when a kept connection turns out to be dead, and is not sent.
		if x.header["Idempotency-Key"] == nil {
			x.header["Idempotency-Key"] = []string{}
		}
	}
	x.trace.Got1xxResponse = x.informational
	return true
}

// acquire chooses an endpoint and counts the request in, or returns nil if there is none to choose.
func (x *exchange) acquire() *endpoint {
	for {
		ep := x.route.pool.pick(x.r, &x.choice)
		if ep == nil || x.rt.registry.acquire(ep) {
			return ep
		}
		// The endpoint has left; the table that it left is no longer the router's.
		m := x.rt.lookup.Load().match(x.host, routePath(x.r))
		if m == nil || m.handler != nil || !m.admits.allows(x.who) {
			return nil
		}
		x.route = m
	}
}

// attempt sends the request to ep and reports whether the exchange is over; otherwise another endpoint
// may be tried.
func (x *exchange) attempt(ep *endpoint) (done bool) {
	defer x.rt.registry.release(ep)
	x.record(ep)
	sent := time.Now()
	defer func() { x.access.Backend = time.Since(sent) }()
	x.edge.sent(sent)
	setEndpointHeader(x.header, ep)
	ctx := httptrace.WithClientTrace(x.r.Context(), &x.trace)
	res, err := ep.transport(x.upgrade != "").RoundTrip(x.request(ctx, ep))
	x.access.FirstByte = time.Since(x.access.Started)
	x.edge.received(x.access.Started.Add(x.access.FirstByte))
	if err != nil {
		x.access.FirstByte = 0
		return x.failed(ep, err)
	}
	x.stopInformational()
	if x.body != nil {
		x.body.relax()
	}
	ep.answered()
	x.access.Status = res.StatusCode
	defer func() {
		ep.counts.count(x.access.Status)
	}()
	if res.StatusCode == http.StatusSwitchingProtocols {
		x.switchProtocols(res)
		return true
	}
	x.respond(ep, res)
	return true
}

func (x *exchange) record(ep *endpoint) {
	a := &x.access
	x.app = ep.app
	x.follow(ep.app)
	a.InstanceID, a.Index, a.Endpoint, a.ProcessGUID = ep.InstanceID, ep.Index, ep.Address, ep.ProcessGUID
	if ep.AppGUID != "" {
		a.AppGUID = ep.AppGUID
	}
}

// request makes the request for ep. Each attempt gets its own: a transport may hold on to one that failed.
func (x *exchange) request(ctx context.Context, ep *endpoint) *http.Request {
	r := x.r
	out := r.WithContext(ctx)
	out.URL = &url.URL{Scheme: "http", Host: ep.Address, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	if path := routePath(r); strings.HasPrefix(path, "//") {
		out.URL.Path, out.URL.RawPath = r.URL.Path, r.URL.RawPath // as Opaque it would be taken for a host
	} else {
		out.URL.Opaque = path // as sent, byte by byte
	}
	out.Header = x.header
	out.RequestURI = ""
	out.TransferEncoding = nil
	out.Close = false
	if x.body == nil {
		out.Body = http.NoBody
		return out
	}
	out.Body = x.body
	if len(r.Trailer) > 0 {
		out.ContentLength = -1 // trailers need chunks
	}
	return out
}

// informational passes a 1xx response on, except 100, which the server sends when the body is read.
func (x *exchange) informational(code int, header textproto.MIMEHeader) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.answered || code == http.StatusContinue {
		return nil
	}
	h := x.w.Header()
	before := h.Clone()
	removeHopByHop(http.Header(header))
	for name, values := range header {
		h[name] = values
	}
	x.w.WriteHeader(code)
	clear(h)
	for name, values := range before {
		h[name] = values
	}
	return nil
}

func (x *exchange) stopInformational() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
}

// failed decides what an error before the response's header means. It reports false if another endpoint
// should be tried: only after a connection that was never made, so that no byte has been sent.
//
// A kept connection that died before the first byte of the response is dealt with by the transport, which
// repeats idempotent requests without a body on a new connection to the same endpoint.
func (x *exchange) failed(ep *endpoint, err error) (done bool) {
	x.access.Error = fmt.Errorf("instance %s at %s: %w", ep.InstanceID, ep.Address, err)
	if x.body != nil && x.body.failure() != nil || x.r.Context().Err() != nil {
		x.refuseClient()
		return true
	}
	var dial dialError
	if errors.As(err, &dial) {
		ep.refused(time.Now())
		x.choice.tried = append(x.choice.tried, ep)
		if x.access.Attempts < maxAttempts && (x.body == nil || !x.body.touched()) && x.othersLeft() {
			return false
		}
	}
	x.stopInformational()
	x.refuseFailure(ep, err)
	return true
}

func (x *exchange) othersLeft() bool {
	for _, ep := range x.route.pool.endpoints {
		if x.choice.allows(ep) {
			return true
		}
	}
	return false
}

// refuseClient ends a request whose body broke off or is not well-formed, or whose client has left.
func (x *exchange) refuseClient() {
	x.stopInformational()
	switch {
	case x.body != nil && errors.Is(x.body.failure(), os.ErrDeadlineExceeded):
		x.refuse(http.StatusRequestTimeout, "", "The request's body stopped coming.")
	case x.r.Context().Err() != nil:
		x.access.Status = statusClientClosed
		panic(http.ErrAbortHandler)
	default:
		x.w.Header().Set("Connection", "close") // who knows where the next request begins
		x.refuse(http.StatusBadRequest, "", "The request's body could not be read.")
	}
}

func (x *exchange) refuseFailure(ep *endpoint, err error) {
	x.rt.tally.endpointErrors.Add(1)
	status, text := http.StatusBadGateway, "The app closed the connection before it answered."
	var dial dialError
	var netErr net.Error
	switch {
	case errors.As(err, &dial):
		text = "The app's instance could not be reached."
	case errors.As(err, &netErr) && netErr.Timeout():
		status, text = http.StatusGatewayTimeout, "The app did not answer in time."
	}
	x.refuse(status, errEndpointFailure, text)
	ep.counts.count(status)
}

// refuseEmpty answers where no endpoint can be chosen.
func (x *exchange) refuseEmpty() {
	x.unserved = x.choice.only == nil
	switch {
	case x.choice.only != nil && len(x.route.pool.endpoints) > 0:
		x.refuse(http.StatusBadRequest, errUnknownRoute, "The selected instance does not exist for route ('"+x.host+"').")
	case x.rt.opts.NoEndpoints503:
		x.refuse(http.StatusServiceUnavailable, errNoEndpoints, "Requested route ('"+x.host+"') has no available endpoints.")
	default:
		x.refuseUnknown()
	}
}

func (x *exchange) refuseUnknown() {
	x.access.Status, x.access.RouterError = http.StatusNotFound, errUnknownRoute
	x.rt.tally.unknown.Add(1)
	refuseUnknown(x.w, x.host)
}

func (x *exchange) refuse(status int, reason, text string) {
	x.access.Status, x.access.RouterError = status, reason
	refuse(x.w, status, reason, text)
}

// finish counts and reports the request, also when it ends in a panic.
func (x *exchange) finish() {
	a := &x.access
	a.Duration = time.Since(a.Started)
	if x.body != nil {
		a.BytesIn += x.body.finish()
	}
	took := a.Duration
	if a.Upgraded {
		took = a.FirstByte // the rest is the conversation's length
	}
	if x.app != nil {
		x.app.observe(a.Status, took)
	}
	x.countEdge(took)
	t := &x.rt.tally
	t.count(a.Status)
	t.observe(a.Duration)
	t.bytesIn.Add(uint64(a.BytesIn))
	t.bytesOut.Add(uint64(a.BytesOut))
	if x.rt.opts.AccessLog != nil {
		x.rt.opts.AccessLog(*a)
	}
}
