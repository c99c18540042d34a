package controller

import (
	"context"
	"crypto/x509"
	"net/netip"

	"github.com/cupola-paas/cupola/controller/discovery"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/networking"
	"github.com/cupola-paas/cupola/router"
)

// networkPolicyURL is where GET / says that the network policy API is.
func (s *Server) networkPolicyURL() string { return s.url("api") + "/networking/v1/external" }

// identities makes the loop that gives workloads their certificates.
func (s *Server) identities() *identity.Loop {
	return &identity.Loop{DB: s.db, Issuer: s.issuer, Engine: s.engine, Log: s.log}
}

// clientIdentity tells the router who an instance is that shows its certificate.
func (s *Server) clientIdentity() router.ClientIdentity {
	return router.ClientIdentity{
		Roots: s.issuer.Roots,
		Identify: func(cert *x509.Certificate) (router.Identity, bool) {
			who, ok := identity.Of(cert)
			return router.Identity{App: who.AppGUID, Space: who.SpaceGUID, Org: who.OrgGUID}, ok
		},
	}
}

// networkLoops are what containers may reach, the names by which they find one another, and who they are.
// The rules of what they may reach are set before it returns, so before anything is started.
func (s *Server) networkLoops(ctx context.Context, who *identity.Loop) ([]func(context.Context) error, error) {
	reach := &networking.Loop{DB: s.db, Engine: s.engine, Log: s.log}
	if err := reach.Step(ctx); err != nil {
		return nil, err
	}
	s.names = &discovery.Server{
		DB: s.db, Address: netip.AddrPortFrom(s.local.Gateway(), 53), Clients: s.local.AppsSubnet(), Log: s.log,
		Router: s.routerInside, Routed: s.hosts.known, Reachable: s.reachable,
	}
	return []func(context.Context) error{reach.Run, s.names.Run, who.Run}, nil
}

// listenInside has the router listen where containers see this machine, when it does not listen everywhere.
func (s *Server) listenInside(ctx context.Context) {
	gateway := s.local.Gateway()
	if err := s.router.ListenAlso(ctx, gateway); err != nil {
		s.log.Warn("apps reach routes and the API only where DNS says that they are", "error", err)
		return
	}
	s.routerInside = gateway
}
