package osb

import (
	"context"
	"errors"
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
