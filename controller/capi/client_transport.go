package capi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// newTransport has an end for every step but the answer's body, which may be a held read or a download.
func newTransport(o ClientOptions) (*http.Transport, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if len(o.CAPEM) > 0 && !pool.AppendCertsFromPEM(o.CAPEM) {
		return nil, errors.New("the CA certificate is not PEM: give a file that begins with -----BEGIN CERTIFICATE-----")
	}
	return &http.Transport{
		Proxy:                 exceptLocalhost(http.ProxyFromEnvironment),
		DialContext:           dialLocalhost,
		TLSClientConfig:       &tls.Config{RootCAs: pool, InsecureSkipVerify: o.SkipVerify, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 5 * time.Minute,
		ExpectContinueTimeout: time.Second,
	}, nil
}

var dialer = net.Dialer{Timeout: 6 * time.Second, KeepAlive: 30 * time.Second}

// dialLocalhost reaches every name under localhost on loopback (RFC 6761 6.3), which many resolvers don't.
func dialLocalhost(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !isLocalhost(host) {
		return dialer.DialContext(ctx, network, addr)
	}
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return conn, nil
	}
	if conn, err6 := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// ConnectError says that a server could not be reached; nothing is known of what it did.
type ConnectError struct {
	URL string // scheme and host
	Err error
}

// Error names the server, the cause and what to do.
func (e *ConnectError) Error() string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		dns     *net.DNSError
	)
	switch {
	case errors.As(e.Err, &unknown):
		return fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted here: trust that authority or use --skip-ssl-validation", e.URL)
	case errors.As(e.Err, &name), errors.As(e.Err, &invalid):
		return fmt.Sprintf("the certificate of %s is not valid: %v", e.URL, errors.Unwrap(e.Err))
	case errors.As(e.Err, &dns):
		return fmt.Sprintf("cannot reach %s: the name %s does not resolve; check the address of the API", e.URL, dns.Name)
	case errors.Is(e.Err, context.DeadlineExceeded):
		return fmt.Sprintf("%s did not answer in time: check that the server runs and can be reached", e.URL)
	}
	return fmt.Sprintf("cannot reach %s (%v): check that the server runs and that the address is right", e.URL, innermost(e.Err))
}

// Unwrap is the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// innermost drops the wrappers that repeat method and URL.
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
