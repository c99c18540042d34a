package osb

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestConnectionsAreRetriedAndRefusalsTold(t *testing.T) {
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(202)
		w.Write([]byte(`{"operation":"o"}`))
	}))
	defer broker.Close()
	var dials atomic.Int32
	client := func(fail func(n int32) error) *Client {
		dials.Store(0)
		return &Client{Pause: time.Millisecond, HTTP: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := fail(dials.Add(1)); err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}}}
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	b := Broker{URL: broker.URL}
	r, err := client(func(n int32) error {
		if n < 3 {
			return refused
		}
		return nil
	}).Provision(t.Context(), b, "i", Provision{}, Identity{})
	if err != nil || !r.Async || r.Operation != "o" || r.RetryAfter != 7*time.Second {
		t.Errorf("after two refused connections: %+v, %v", r, err)
	}
	var known *Error
	_, err = client(func(int32) error { return refused }).Provision(t.Context(), b, "i", Provision{}, Identity{})
	if !errors.As(err, &known) || known.Kind != Unreachable || known.Orphan || dials.Load() != connectTries {
		t.Errorf("%d connections: %+v", dials.Load(), err)
	}
	_, err = client(func(int32) error { return Refuse("not to this address") }).Provision(t.Context(), b, "i", Provision{}, Identity{})
	if !errors.As(err, &known) || !strings.Contains(err.Error(), "not to this address") || known.Orphan || dials.Load() != 1 {
		t.Errorf("%d connections: %v", dials.Load(), err)
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	broker := httptest.NewTLSServer(http.NotFoundHandler())
	defer broker.Close()
	_, err := (&Client{}).Catalog(t.Context(), Broker{URL: broker.URL})
	var known *Error
	if !errors.As(err, &known) || known.Kind != Unreachable || !strings.Contains(err.Error(), "its certificate cannot be verified") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}

// TestSchemeMismatch: who registers a broker with https:// that speaks HTTP learns that.
func TestSchemeMismatch(t *testing.T) {
	broker := httptest.NewServer(http.NotFoundHandler())
	defer broker.Close()
	_, err := (&Client{}).Catalog(t.Context(), Broker{URL: strings.Replace(broker.URL, "http://", "https://", 1)})
	var known *Error
	if !errors.As(err, &known) || known.Kind != Unreachable || known.Orphan || !strings.Contains(err.Error(), "register it with http://") {
		t.Errorf("HTTP where HTTPS was said: %v", err)
	}
}

// TestSchemeMismatchInOtherWords: servers that take HTTP for TLS, or TLS for HTTP, say so each in their way, and some not at all.
func TestSchemeMismatchInOtherWords(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for name, test := range map[string]struct {
		url, want string
		orphan    bool
	}{
		"a page":        {strings.Replace(secure.URL, "https://", "http://", 1), "its server speaks TLS: register it with https://", false},
		"an alert":      {"http://" + listen(t, func(c net.Conn) { tls.Server(c, secure.TLS).Handshake() }), "its server speaks TLS: register it with https://", true},
		"HTTP/0.9":      {"https://" + listen(t, func(c net.Conn) { c.Write([]byte("<!DOCTYPE HTML><html>Bad request version")) }), "register it with http://", false},
		"just hangs up": {"http://" + listen(t, func(net.Conn) {}), "ended the connection before it had answered", true},
	} {
		_, err := (&Client{}).Catalog(t.Context(), Broker{URL: test.url, Username: "u", Password: "p"})
		var known *Error
		if !errors.As(err, &known) || known.Orphan != test.orphan || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v (%+v), want %q", name, err, known, test.want)
		}
	}
}

// listen serves connections one after another, each of which ends with serve.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestValidateURL(t *testing.T) {
	for text, good := range map[string]bool{
		"https://b.example.com": true, "http://127.0.0.1:80/path/": true, "ftp://b": false, "https://": false, "b.example.com": false,
		"https://u:p@b.example.com": false, "https://b.example.com/?x=1": false, "https://b.example.com/#f": false, "http://[::1": false,
	} {
		if err := ValidateURL(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
