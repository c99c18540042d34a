package router

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// A request to a route with a ServiceURL goes to the route service first, with three headers: where the client wanted
// to go, a signature of that, and what the signature was made with. The service sends the request there again, with
// the headers; it comes back to us, the signature tells that it has been there, and it goes on to the app. The headers are
// those of Cloud Foundry's router.
const (
	headerForwardedURL   = "X-Cf-Forwarded-Url"
	headerProxySignature = "X-Cf-Proxy-Signature"
	headerProxyMetadata  = "X-Cf-Proxy-Metadata"
)

// RouteServices says how requests go through route services. The zero value has a key of its own, so that what is at
// a route service when the router stops does not come back to the next one.
type RouteServices struct {
	// Key seals signatures; 32 bytes, the same in all routers of a platform. Empty: one that is made up.
	Key []byte
	// Roots vouch for the certificates of route services; nil: those of the machine.
	Roots *x509.CertPool
	// Valid is how long a route service may keep a request; a minute if zero.
	Valid time.Duration
	// Dial, if set, refuses or leads astray connections to route services; nil: an ordinary one. Names that this router
	// routes are connected to its own ports without asking it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// routeServices signs, and sends to route services.
type routeServices struct {
	aead      cipher.AEAD
	valid     time.Duration
	transport *http.Transport
	now       func() time.Time
}

func newRouteServices(rt *Router, o RouteServices) (*routeServices, error) {
	key := o.Key
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key) // never fails
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key for route services: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key for route services: %w", err)
	}
	s := &routeServices{aead: aead, valid: o.Valid, now: time.Now}
	if s.valid == 0 {
		s.valid = time.Minute
	}
	dialer := &net.Dialer{Timeout: rt.opts.DialTimeout, KeepAlive: 30 * time.Second}
	other := o.Dial
	if other == nil {
		other = dialer.DialContext
	}
	s.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if own := rt.ownAddress(address); own != "" {
				return dialer.DialContext(ctx, network, own)
			}
			return other(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
		ResponseHeaderTimeout: s.valid, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 1 << 20,
	}
	return s, nil
}

// ownAddress is our HTTPS port for a name that we route, whatever DNS says of it; empty for other names and ports.
func (rt *Router) ownAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	name, ok := normalHost(host)
	if !ok || rt.lookup.Load().match(name, "/") == nil {
		return ""
	}
	ip, own, err := net.SplitHostPort(rt.HTTPSAddr())
	if err != nil || port != "443" && port != own {
		return ""
	}
	if addr := net.ParseIP(ip); addr == nil || addr.IsUnspecified() {
		ip = "127.0.0.1"
	}
	return net.JoinHostPort(ip, own)
}

// ticket is what a signature says.
type ticket struct {
	URL   string    `json:"forwarded_url"`
	Route string    `json:"route"` // that the request was for: it opens no other
	Time  time.Time `json:"requested_time"`
	// Certificate is the sender's, where the route admits some alone, as the header spells it.
	Certificate string `json:"certificate,omitempty"`
}

type ticketMetadata struct {
	Nonce []byte `json:"nonce"`
}

func (s *routeServices) sign(t ticket) (signature, metadata string, err error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", "", err
	}
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce) // never fails
	about, err := json.Marshal(ticketMetadata{nonce})
	if err != nil {
		return "", "", err
	}
	return base64.URLEncoding.EncodeToString(s.aead.Seal(nil, nonce, plain, nil)), base64.URLEncoding.EncodeToString(about), nil
}

var (
	errForged  = errors.New("the signature is not ours")
	errExpired = errors.New("the signature has expired")
)

// ticketBytes is the most that a signature may have: URLs are bounded by the size of a header.
const ticketBytes = 256 << 10

// check opens a signature and compares it with the route and the address that the request comes with.
func (s *routeServices) check(h http.Header, route string) (t ticket, err error) {
	signature, errSignature := decode(h.Get(headerProxySignature))
	about, errMetadata := decode(h.Get(headerProxyMetadata))
	var metadata ticketMetadata
	if errSignature != nil || errMetadata != nil || json.Unmarshal(about, &metadata) != nil || len(metadata.Nonce) != s.aead.NonceSize() {
		return t, errForged
	}
	plain, err := s.aead.Open(nil, metadata.Nonce, signature, nil)
	if err != nil || json.Unmarshal(plain, &t) != nil || t.Route != route {
		return t, errForged
	}
	if address := h.Get(headerForwardedURL); address != "" && address != t.URL {
		return t, errForged
	}
	if age := s.now().Sub(t.Time); age > s.valid || age < -s.valid {
		return t, errExpired
	}
	return t, nil
}

func decode(text string) ([]byte, error) {
	if text == "" || len(text) > ticketBytes {
		return nil, errForged
	}
	return base64.URLEncoding.DecodeString(text)
}

// returning reports whether the request says that it has been at the route's service.
func (x *exchange) returning() bool {
	return x.route.service != nil && x.header.Get(headerProxySignature) != ""
}

// throughService sends the request to the route's service, or lets it go on to the app when it comes from there. It
// reports true when the request has been answered.
func (x *exchange) throughService() (done bool) {
	s := x.rt.services
	if x.returning() {
		ticket, err := s.check(x.header, x.route.name.String())
		switch {
		case errors.Is(err, errExpired):
			x.refuse(http.StatusGatewayTimeout, "", "Failed to validate Route Service Signature: it has expired.")
			return true
		case err != nil:
			x.refuse(http.StatusBadRequest, "", "Failed to validate Route Service Signature.")
			return true
		case !x.admitReturned(ticket.Certificate):
			return true
		}
		for _, name := range []string{headerForwardedURL, headerProxySignature, headerProxyMetadata} {
			delete(x.header, name)
		}
		return false
	}
	if x.upgrade != "" {
		x.refuse(http.StatusServiceUnavailable, errRouteServiceUnsupported, "This route has a route service, which requests for other protocols cannot go through.")
		return true
	}
	if err := x.stamp(s); err != nil {
		x.access.Error = err
		x.refuse(http.StatusInternalServerError, "", "The request could not be signed.")
		return true
	}
	x.callService(s)
	return true
}

// stamp adds the headers for the route service in place of any that the client sent.
func (x *exchange) stamp(s *routeServices) error {
	scheme := "http"
	if x.r.TLS != nil || len(x.header[headerForwardedProto]) > 0 && x.header[headerForwardedProto][0] == "https" {
		scheme = "https"
	}
	address := scheme + "://" + x.r.Host + routePath(x.r)
	if x.r.URL.RawQuery != "" || x.r.URL.ForceQuery {
		address += "?" + x.r.URL.RawQuery
	}
	signature, metadata, err := s.sign(ticket{
		URL: address, Route: x.route.name.String(), Time: s.now(), Certificate: x.certificate(),
	})
	x.header[headerForwardedURL], x.header[headerProxySignature], x.header[headerProxyMetadata] = []string{address}, []string{signature}, []string{metadata}
	return err
}

func (x *exchange) callService(s *routeServices) {
	sent := time.Now()
	defer func() { x.access.Backend = time.Since(sent) }()
	to := x.route.service
	x.access.Attempts, x.access.Endpoint = 1, to.Host
	out := x.request(httptrace.WithClientTrace(x.r.Context(), &x.trace), &endpoint{Endpoint: Endpoint{Address: to.Host}})
	out.URL = &url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path, RawPath: to.RawPath, RawQuery: to.RawQuery}
	out.Host = to.Host
	res, err := s.transport.RoundTrip(out)
	x.stopInformational()
	if err != nil {
		x.serviceFailed(err)
		return
	}
	if x.body != nil {
		x.body.relax()
	}
	x.access.FirstByte = time.Since(x.access.Started)
	x.access.Status = res.StatusCode
	if res.StatusCode == http.StatusSwitchingProtocols {
		res.Body.Close()
		x.refuse(http.StatusBadGateway, errEndpointFailure, "The route service changed the protocol, which was not asked for.")
		return
	}
	x.respond(nil, res)
}

func (x *exchange) serviceFailed(err error) {
	x.access.Error = fmt.Errorf("route service %s: %w", x.route.service.Host, err)
	if x.body != nil && x.body.failure() != nil || x.r.Context().Err() != nil {
		x.refuseClient()
		return
	}
	x.rt.tally.endpointErrors.Add(1)
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		x.refuse(http.StatusGatewayTimeout, errEndpointFailure, "The route service did not answer in time.")
		return
	}
	x.refuse(http.StatusBadGateway, errEndpointFailure, "The route service could not be reached.")
}

// serviceURL reads Route.ServiceURL; nil for the empty string.
func serviceURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(u.Host, " \t\r\n") {
		return nil, fmt.Errorf("service URL must be a valid URL that begins with https://")
	}
	return u, nil
}
