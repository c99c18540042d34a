package controller

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/controller/services"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// openServices makes the loop that drives service brokers.
func (s *Server) openServices() (*services.Loop, error) {
	roots, err := s.brokerRoots()
	if err != nil {
		return nil, err
	}
	client := func(guard *logs.Guard) *osb.Client {
		return &osb.Client{HTTP: s.brokerHTTP(roots, guard), APIInfo: strings.TrimPrefix(s.url("api"), "https://") + "/", Timeout: s.config.BrokerTimeout}
	}
	guard := s.peopleGuard()
	anywhere, guarded := client(nil), client(&guard)
	return &services.Loop{
		DB: s.db, Log: s.log, Polling: s.config.BrokerPolling, BuiltIn: s.builtIn, Dashboards: s.auth,
		For: func(b *store.ServiceBroker) services.Client {
			if b.SpaceGUID != "" { // anybody may have registered it
				return guarded
			}
			return anywhere
		},
	}, nil
}

// peopleGuard keeps connections to addresses that people give away from what only this machine can reach.
func (s *Server) peopleGuard() logs.Guard {
	guard := logs.Guard{OwnPort: s.openPort}
	if s.local != nil {
		guard.Inside = s.local.Subnets()
	}
	return guard
}

// routeServices says how the router sends requests through route services, whose addresses people give.
func (s *Server) routeServices() (router.RouteServices, error) {
	key, err := setting(s.db, routeServiceSetting, func() []byte {
		key := make([]byte, 32)
		rand.Read(key) // never fails
		return key
	})
	if err != nil {
		return router.RouteServices{}, err
	}
	roots, err := s.brokerRoots()
	if err != nil {
		return router.RouteServices{}, err
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: s.peopleGuard().Control}
		return dialer.DialContext(ctx, network, address)
	}
	s.serviceKey = []byte(key)
	if s.serviceRoots, err = s.brokerCAs(); err != nil {
		return router.RouteServices{}, err
	}
	return router.RouteServices{Key: s.serviceKey, Roots: roots, Dial: dial}, nil
}

// brokerRoots are the CAs that brokers' certificates may chain to: the machine's, the platform's own, and those of
// --broker-ca.
func (s *Server) brokerRoots() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	own, err := s.brokerCAs()
	roots.AppendCertsFromPEM(own)
	return roots, err
}

// brokerCAs are those of brokerRoots that are not the machine's, as PEM.
func (s *Server) brokerCAs() ([]byte, error) {
	own := s.certs.CAPEM()
	if s.config.BrokerCA == "" {
		return own, nil
	}
	more, err := os.ReadFile(s.config.BrokerCA)
	if err != nil {
		return nil, fmt.Errorf("--broker-ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(more) {
		return nil, fmt.Errorf("--broker-ca: %s holds no certificate in PEM form", s.config.BrokerCA)
	}
	return append(append(own, '\n'), more...), nil
}

// brokerHTTP is how brokers are talked to. A name that this platform routes is found at our own router, whatever DNS
// says of it: a broker may be an app. A guard keeps the others away from what only this machine can reach.
func (s *Server) brokerHTTP(roots *x509.CertPool, guard *logs.Guard) *http.Client {
	hosts := &knownHosts{db: s.db, system: s.systemNames()}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if guard != nil {
		dialer.Control = guard.Control
	}
	own := &net.Dialer{Timeout: 10 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if at := s.ownAddress(hosts, address); at != "" {
			return own.DialContext(ctx, network, at)
		}
		conn, err := dialer.DialContext(ctx, network, address)
		if errors.Is(err, logs.ErrForbiddenAddress) {
			err = osb.Refuse("brokers of a space may not be at an address that is the platform's own or link-local")
		}
		return conn, err
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ownAddress is where our router takes requests for a name that it routes, or empty for other names and ports.
func (s *Server) ownAddress(hosts *knownHosts, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !hosts.known(strings.ToLower(host)) {
		return ""
	}
	for _, at := range []struct{ usual, listening string }{{"443", s.router.HTTPSAddr()}, {"80", s.router.HTTPAddr()}} {
		ip, own, err := net.SplitHostPort(at.listening)
		if err != nil || port != at.usual && port != own {
			continue
		}
		if addr := net.ParseIP(ip); addr == nil || addr.IsUnspecified() {
			ip = "127.0.0.1"
		}
		return net.JoinHostPort(ip, own)
	}
	return ""
}
