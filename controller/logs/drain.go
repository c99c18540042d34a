package logs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Drain is where the log of a source goes besides: to a syslog server, by a service binding.
type Drain struct {
	ID       string // of the binding; names the drain's position on disk
	SourceID string
	// URL is syslog://, syslog-tls://, https:// (a request for each message) or https-batch:// (several in one).
	// Its query may have drain-type (logs, metrics, traces or all), include-source-types and
	// exclude-source-types (lists of app, rtr, stg and so on) and disable-metadata.
	URL string
	// CA, Cert and Key are PEM, or empty: the CA that vouches for the server besides those that the system trusts,
	// and the client's certificate with its key.
	CA, Cert, Key string
}

// ErrBadDrain says that a drain can not work as it is given.
var ErrBadDrain = errors.New("the drain can't be used")

// target is a drain, checked and ready to be connected to.
type target struct {
	scheme   string
	address  string // host:port
	url      string // of requests
	tls      *tls.Config
	types    []Type
	include  []string // source types, upper case, the part before a slash; none: all
	exclude  []string
	bare     bool   // no structured data
	readable string // for people: without a password and query
}

// drainTypes are the values of drain-type.
var drainTypes = map[string][]Type{
	"":        {Log},
	"logs":    {Log},
	"metrics": {GaugeType, CounterType},
	"traces":  {TimerType},
	"all":     {Log, GaugeType, CounterType, TimerType, EventType},
}

// drainPorts are the ports where the URL names none.
var drainPorts = map[string]string{"syslog": "514", "syslog-tls": "6514", "https": "443", "https-batch": "443"}

// resolve checks a drain. Its error tells no secret.
func (d Drain) resolve() (*target, error) {
	u, err := url.Parse(d.URL)
	if err != nil || u.Hostname() == "" || drainPorts[u.Scheme] == "" {
		return nil, fmt.Errorf("%w: its address must be syslog://, syslog-tls:// or https:// with a host", ErrBadDrain)
	}
	port := u.Port()
	if port == "" {
		port = drainPorts[u.Scheme]
	}
	q := u.Query()
	kind := q.Get("drain-type")
	if kind == "" {
		kind = q.Get("drain-data")
	}
	t := &target{
		scheme: u.Scheme, address: net.JoinHostPort(u.Hostname(), port), types: drainTypes[kind],
		include: sourceTypes(q, "include"), exclude: sourceTypes(q, "exclude"), bare: q.Get("disable-metadata") == "true",
		readable: u.Scheme + "://" + u.Host,
	}
	if t.types == nil {
		return nil, fmt.Errorf("%w: drain-type must be logs, metrics, traces or all", ErrBadDrain)
	}
	if u.Scheme != "syslog" {
		if t.tls, err = d.tlsConfig(u.Hostname()); err != nil {
			return nil, err
		}
	}
	for _, ours := range []string{"drain-type", "drain-data", "disable-metadata", "include-source-types", "exclude-source-types", "include-log-source-types", "exclude-log-source-types"} {
		q.Del(ours)
	}
	u.Scheme, u.RawQuery = "https", q.Encode()
	t.url = u.String()
	return t, nil
}

// sourceTypes reads include-source-types, or as Cloud Foundry calls it include-log-source-types.
func sourceTypes(q url.Values, which string) []string {
	var out []string
	for _, name := range []string{which + "-source-types", which + "-log-source-types"} {
		for part := range strings.SplitSeq(q.Get(name), ",") {
			if part = strings.ToUpper(strings.TrimSpace(part)); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func (d Drain) tlsConfig(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if d.CA != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM([]byte(d.CA)) {
			return nil, fmt.Errorf("%w: its credential ca holds no certificate in PEM form", ErrBadDrain)
		}
		c.RootCAs = roots
	}
	if d.Cert == "" && d.Key == "" {
		return c, nil
	}
	pair, err := tls.X509KeyPair([]byte(d.Cert), []byte(d.Key))
	if err != nil {
		return nil, fmt.Errorf("%w: its credentials cert and key are no pair in PEM form", ErrBadDrain)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// wants reports whether an envelope of a type that the drain takes goes there.
func (t *target) wants(e *Envelope) bool {
	kind, _, _ := strings.Cut(strings.ToUpper(e.Tags["source_type"]), "/")
	if e.Type() != Log {
		return true
	}
	if len(t.include) > 0 && !slices.Contains(t.include, kind) {
		return false
	}
	return !slices.Contains(t.exclude, kind)
}
