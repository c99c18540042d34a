package osb

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// schemeTimeout ends the look whether a server speaks TLS.
const schemeTimeout = 5 * time.Second

// notHTTP reports whether an answer may be that of a server that took HTTP for a broken TLS handshake: some say so with a
// status of 400 and a page in words of their own, others with a TLS alert, and others just hang up.
func notHTTP(a *answer, err error) bool {
	if err != nil {
		return failure(err).Kind == Broken
	}
	return a.status == http.StatusBadRequest && a.object(new(map[string]any)) != nil
}

// speaksTLS reports whether the server of a broker whose address begins with http:// speaks TLS. It sends no credentials.
func (c *Client) speaksTLS(ctx context.Context, b Broker) bool {
	u, err := url.Parse(b.URL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	if u.Port() == "" { // that of https is another one
		u.Host = net.JoinHostPort(strings.Trim(u.Host, "[]"), "80")
	}
	ctx, cancel := context.WithTimeout(ctx, schemeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+u.Host, nil)
	if err != nil {
		return false
	}
	res, err := c.http().Do(req)
	if err == nil {
		res.Body.Close()
		return true
	}
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &alert)
}

// isPlain reports whether a server did not speak TLS where it was to.
func isPlain(err error) bool {
	var record tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record)
}
