package router

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"time"
)

// Admission keeps a route for apps that prove who they are with a client certificate, as Cloud Foundry's identity-aware
// domains do (RFC-0055): whoever Sources name, and of those only who is within Org and Space. No sources: nobody.
type Admission struct {
	Org     string   `json:"org,omitempty"`   // where the caller must be; empty: anywhere
	Space   string   `json:"space,omitempty"` // likewise
	Sources []Source `json:"sources,omitempty"`
}

// Source is an app, a space or an org whose apps may use a route.
type Source struct {
	Kind SourceKind `json:"kind"`
	GUID string     `json:"guid,omitempty"` // empty for AnyApp
}

// SourceKind says what the GUID of a Source is of.
type SourceKind int

// The kinds.
const (
	AnyApp SourceKind = iota + 1
	App
	Space
	Org
)

// Identity is who sends a request, according to the certificate of the connection.
type Identity struct {
	App, Space, Org string // GUIDs
}

// ClientIdentity says how callers prove who they are. Both functions are called by many goroutines at once and must be
// quick. The zero value knows nobody.
type ClientIdentity struct {
	// Roots vouch for the certificates of callers at this moment.
	Roots func() *x509.CertPool
	// Identify reads a certificate that Roots vouch for; ok is false for one that is of no app.
	Identify func(cert *x509.Certificate) (who Identity, ok bool)
}

// admission is an Admission made ready for serving. A nil one lets everybody in.
type admission struct {
	org, space string
	sources    map[Source]struct{}
}

func newAdmission(from *Admission) *admission {
	if from == nil {
		return nil
	}
	c := &admission{org: from.Org, space: from.Space, sources: make(map[Source]struct{}, len(from.Sources))}
	for _, s := range from.Sources {
		c.sources[s] = struct{}{}
	}
	return c
}

// allows reports whether who may use the route. The work is the same however many sources there are.
func (c *admission) allows(who Identity) bool {
	switch {
	case c == nil:
		return true
	case who == Identity{}, c.org != "" && c.org != who.Org, c.space != "" && c.space != who.Space:
		return false
	}
	for _, s := range [...]Source{{App, who.App}, {Space, who.Space}, {Org, who.Org}, {AnyApp, ""}} {
		if _, ok := c.sources[s]; ok {
			return true
		}
	}
	return false
}

// asksCaller reports whether a connection for that name is asked for a certificate: a route of the name, or of a wildcard
// above it, is for callers that prove who they are.
func (l *lookup) asksCaller(sni string) bool {
	if l.guarded == 0 {
		return false
	}
	host, ok := normalHost(sni)
	if !ok {
		return false
	}
	if s := l.exact.get(host); s != nil && s.guarded {
		return true
	}
	for i := 1; l.wilds > 0 && i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if s := l.wild.get(host[i+1:]); s != nil && s.guarded {
			return true
		}
	}
	return false
}

// askCaller makes of the listener's configuration the one for a connection whose client may show who it is. One that shows
// nothing is answered in HTTP; a certificate that is not good ends the handshake. A resumed session would skip that.
func (rt *Router) askCaller(base *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if rt.opts.Clients.Roots == nil || !rt.lookup.Load().asksCaller(hello.ServerName) {
			return nil, nil
		}
		c := base.Clone()
		c.GetConfigForClient = nil
		c.ClientAuth, c.ClientCAs, c.SessionTicketsDisabled = tls.VerifyClientCertIfGiven, rt.opts.Clients.Roots(), true
		return c, nil
	}
}

// identify returns the caller of a connection and its certificate; nil without one that is valid now.
func (rt *Router) identify(state *tls.ConnectionState, now time.Time) (who Identity, cert *x509.Certificate) {
	if state == nil || len(state.VerifiedChains) == 0 || rt.opts.Clients.Identify == nil {
		return Identity{}, nil
	}
	leaf := state.PeerCertificates[0]
	if now.After(leaf.NotAfter) { // the connection is older than it
		return Identity{}, nil
	}
	who, ok := rt.opts.Clients.Identify(leaf)
	if !ok {
		return Identity{}, nil
	}
	return who, leaf
}

// admit lets a request pass to a guarded route whose callers include the sender, and tells the app who that is. It reports
// false if it has refused the request.
//
// Plain HTTP is refused even where it is redirected otherwise: a caller with the wrong URL would go on working while
// each of its requests went over the wire in clear first.
func (x *exchange) admit() bool {
	who, cert := x.rt.identify(x.r.TLS, x.access.Started)
	x.who, x.access.Caller = who, who
	if cert != nil {
		x.header[headerClientCert] = []string{base64.StdEncoding.EncodeToString(cert.Raw)}
	} else {
		delete(x.header, headerClientCert) // whoever sent it: no proxy can vouch for a key that it does not have
	}
	switch {
	case x.returning():
		return true // throughService asks whose request it was
	case x.r.TLS == nil:
		x.refuse(http.StatusForbidden, errCallerDenied, "Requested route ('"+x.host+"') takes HTTPS with the certificate of an app's instance only.")
	case cert == nil:
		x.w.Header().Set("Connection", "close") // so that the next one is asked for a certificate
		if !x.rt.lookup.Load().asksCaller(x.r.TLS.ServerName) {
			x.refuse(http.StatusMisdirectedRequest, errMisdirected, "Requested route ('"+x.host+"') needs a connection that was made for its name.")
			break
		}
		x.refuse(http.StatusForbidden, errCallerDenied, "Requested route ('"+x.host+"') needs the certificate of an app's instance.")
	default:
		return x.allowed()
	}
	return false
}

// allowed reports whether the caller may use the route; otherwise it has refused the request.
func (x *exchange) allowed() bool {
	if x.route.admits.allows(x.who) {
		return true
	}
	x.refuse(http.StatusForbidden, errCallerDenied, "Requested route ('"+x.host+"') has no policy that allows app "+x.who.App+".")
	return false
}

// admitReturned does for a request that comes from a route service what admit did before it went there.
func (x *exchange) admitReturned(certificate string) bool {
	if x.route.admits == nil {
		return true
	}
	raw, err := base64.StdEncoding.DecodeString(certificate)
	if err == nil && x.rt.opts.Clients.Identify != nil {
		if cert, err := x509.ParseCertificate(raw); err == nil {
			x.who, _ = x.rt.opts.Clients.Identify(cert)
		}
	}
	x.access.Caller = x.who
	x.header[headerClientCert] = []string{certificate}
	return x.allowed()
}

// certificate is that of the caller as the app is told it; empty where the route is everybody's.
func (x *exchange) certificate() string {
	if x.route.admits == nil {
		return ""
	}
	return x.header.Get(headerClientCert)
}
