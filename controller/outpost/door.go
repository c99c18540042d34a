package outpost

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/node"
)

const (
	callLimit = 30 * time.Second
	maxAnswer = 64 << 20
)

// newClient speaks to the door. A connection that has died is seen by its silence.
func newClient(config *tls.Config) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, Protocols: protocols,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}}
}

func (p *Outpost) url(path string, q url.Values) string {
	u := url.URL{Scheme: "https", Host: p.o.Door, Path: path, RawQuery: q.Encode()}
	return u.String()
}

// tell posts something and reads the answer into out, unless that is nil.
func (p *Outpost) tell(ctx context.Context, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url(path, nil), bytes.NewReader(text))
	if err != nil {
		return err
	}
	res, err := p.door.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := refused(res); err != nil || out == nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out)
}

func refused(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusSwitchingProtocols:
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 300))
	return errors.Join(fmt.Errorf("the controller answered with status %d: %s", res.StatusCode, bytes.TrimSpace(text)), err)
}

// connect opens a connection through the door.
func (p *Outpost) connect(ctx context.Context, to, client, address string) (net.Conn, error) {
	q := url.Values{"to": {to}, "client": {client}, "address": {address}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url(routerfeed.ConnectPath, q), http.NoBody)
	if err != nil {
		return nil, err
	}
	config := p.o.TLS.Clone()
	config.NextProtos = []string{"http/1.1"} // the connection is taken over, which HTTP/2 has no way for
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", p.o.Door)
	if err != nil {
		return nil, err
	}
	ahead, err := node.TakeOver(ctx, conn, req, routerfeed.Protocol, refused)
	if err != nil {
		return nil, err
	}
	return ahead, nil
}

// relay reaches an instance on the controller's machine.
func (p *Outpost) relay(ctx context.Context, address string) (net.Conn, error) {
	return p.connect(ctx, routerfeed.ToInstance, "", address)
}

// clientKey is where the address of a client is in the context of a request that is forwarded.
type clientKey struct{}

// forwarder passes requests for the platform's own names that come without TLS on to the controller's router, each on a
// connection of its own, which comes from the client.
func (p *Outpost) forwarder() http.Handler {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, _ := ctx.Value(clientKey{}).(string)
			return p.connect(ctx, routerfeed.ToHTTP, client, "")
		},
		DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: time.Minute,
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
			r.Out.Host = r.In.Host
			r.Out.Header = r.In.Header.Clone() // our router has put its own fields in; the controller's replaces them
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
				r.Out.Header.Del(name)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			p.log.Debug("a request is not forwarded", "host", r.Host, "error", err)
			http.Error(w, "This is a router of the platform, and the server that answers for this name is not reached. Try again later.", http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, r.RemoteAddr)))
	})
}

// challenge asks the controller, which has the order.
func (p *Outpost) challenge(w http.ResponseWriter, r *http.Request) bool {
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	q := url.Values{"host": {r.Host}, "path": {r.URL.Path}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(routerfeed.ChallengePath, q), nil)
	if err != nil {
		return false
	}
	res, err := p.door.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(text)
	return true
}
