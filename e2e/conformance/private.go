package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
)

// privatePort is where the suites expect Cloud Controller inside the operator's own network.
const privatePort = "9024"

// servePrivate answers at an address of this machine, until ctx ends, as the platform's API does, with a
// certificate that nobody knows: an internal address, which only a security group opens to apps.
func servePrivate(ctx context.Context, address string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(address, privatePort))
	if err != nil {
		return fmt.Errorf("listen at the private address: %w", err)
	}
	api := &url.URL{Scheme: "https", Host: apiHost}
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(api) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // the fresh platform on loopback
	})
	server.Listener = l
	server.StartTLS()
	context.AfterFunc(ctx, server.Close)
	return nil
}
