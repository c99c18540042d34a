package router

import (
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// The header names below are in the form net/http keeps them, so that maps can be indexed with them.
const (
	headerRouterError    = "X-Cf-Routererror"
	headerRequestID      = "X-Request-Id"
	headerVcapRequestID  = "X-Vcap-Request-Id"
	headerRequestStart   = "X-Request-Start"
	headerForwardedFor   = "X-Forwarded-For"
	headerForwardedHost  = "X-Forwarded-Host"
	headerForwardedProto = "X-Forwarded-Proto"
	headerAppID          = "X-Cf-Applicationid"
	headerInstanceID     = "X-Cf-Instanceid"
	headerInstanceIndex  = "X-Cf-Instanceindex"
	headerClientCert     = "X-Forwarded-Client-Cert"
)

// hopByHop are the fields that belong to one connection (RFC 9110 7.6.1), Connection last because the
// others may be named in it.
var hopByHop = []string{
	"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Connection",
}

// claims are fields by which a proxy vouches for something. Only trusted proxies may send them.
var claims = []string{
	"Forwarded", "X-Forwarded-Port", "X-Forwarded-Ssl", headerClientCert, "X-Real-Ip",
}

// reserved are the fields that the router sets or removes. Spelled with underscores they look the same to
// a CGI-like app, so that spelling is removed as well.
var reserved = func() map[string]bool {
	m := map[string]bool{
		headerForwardedFor: true, headerForwardedHost: true, headerForwardedProto: true, headerRequestStart: true,
		headerRequestID: true, headerVcapRequestID: true,
		headerAppID: true, headerInstanceID: true, headerInstanceIndex: true,
	}
	for _, name := range claims {
		m[name] = true
	}
	return m
}()

// removeHopByHop deletes what Connection names and the fields of a single connection.
func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// forwardHeader makes h say where the request came from, and gives it its ids. It returns the request id
// that responses and logs carry.
func (rt *Router) forwardHeader(h http.Header, r *http.Request, now time.Time) (requestID string) {
	dropDisguised(h)
	ip, trusted := rt.peer(r)
	if !trusted {
		for _, name := range claims {
			delete(h, name)
		}
	}
	if prior := h[headerForwardedFor]; len(prior) > 0 {
		h[headerForwardedFor] = []string{strings.Join(prior, ", ") + ", " + ip}
	} else {
		h[headerForwardedFor] = []string{ip}
	}
	if !trusted || h.Get(headerForwardedProto) == "" {
		h[headerForwardedProto] = protoValue(r)
	}
	if !trusted || h.Get(headerForwardedHost) == "" {
		h[headerForwardedHost] = []string{r.Host}
	}
	if !trusted || h.Get(headerRequestStart) == "" {
		h[headerRequestStart] = []string{strconv.FormatInt(now.UnixMilli(), 10)}
	}
	return setRequestIDs(h)
}

var (
	httpValue  = []string{"http"}
	httpsValue = []string{"https"}
)

func protoValue(r *http.Request) []string {
	if r.TLS != nil {
		return httpsValue
	}
	return httpValue
}

// peer returns the address of the other end of the connection and whether it is one of our proxies.
func (rt *Router) peer(r *http.Request) (ip string, trusted bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, false
	}
	if len(rt.opts.TrustedProxies) == 0 {
		return host, false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host, false
	}
	for _, p := range rt.opts.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			return host, true
		}
	}
	return host, false
}

func dropDisguised(h http.Header) {
	for name := range h {
		if strings.IndexByte(name, '_') < 0 {
			continue
		}
		if reserved[textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))] {
			delete(h, name)
		}
	}
}

// setRequestIDs keeps the ids that a client or a proxy before us gave, if they are harmless, and makes the
// missing ones. Both are the same unless both came from outside.
func setRequestIDs(h http.Header) (vcapRequestID string) {
	id, vcap := saneID(h[headerRequestID]), saneID(h[headerVcapRequestID])
	switch {
	case id == "" && vcap == "":
		id = newRequestID()
		vcap = id
	case id == "":
		id = vcap
	case vcap == "":
		vcap = id
	}
	values := []string{id, vcap}
	h[headerRequestID], h[headerVcapRequestID] = values[:1:1], values[1:2:2]
	return vcap
}

const maxRequestIDBytes = 128

// saneID returns the only value of a field if it can stand in logs and headers as it is.
func saneID(values []string) string {
	if len(values) != 1 || len(values[0]) > maxRequestIDBytes {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if !isAlphanumeric(c) && strings.IndexByte("-_.:/+=@", c) < 0 {
			return ""
		}
	}
	return values[0]
}

// newRequestID makes a random UUID (RFC 9562, version 4). It need not be secret.
func newRequestID() string {
	var raw [16]byte
	a, b := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		raw[i], raw[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[:], raw[:4])
	hex.Encode(s[9:], raw[4:6])
	hex.Encode(s[14:], raw[6:8])
	hex.Encode(s[19:], raw[8:10])
	hex.Encode(s[24:], raw[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// setEndpointHeader tells the app which of its instances it is.
func setEndpointHeader(h http.Header, ep *endpoint) {
	values := []string{ep.AppGUID, ep.InstanceID, ep.index}
	h[headerAppID] = values[0:1:1]
	h[headerInstanceID] = values[1:2:2]
	h[headerInstanceIndex] = values[2:3:3]
}

// upgradeType returns the protocol that h asks to change to, or nothing. Never h2c: an app that took it
// could be sent requests that nobody here sees.
func upgradeType(h http.Header) string {
	if !hasToken(h["Connection"], "upgrade") {
		return ""
	}
	up := h.Get("Upgrade")
	if up == "" || len(h["Upgrade"]) != 1 || strings.Contains(strings.ToLower(up), "h2c") {
		return ""
	}
	return up
}

func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(part), token) {
				return true
			}
		}
	}
	return false
}
