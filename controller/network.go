package controller

import (
	"context"
	"net/netip"

	"github.com/cupola-paas/cupola/controller/discovery"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/networking"
)

// networkPolicyURL is where GET / says that the network policy API is.
func (s *Server) networkPolicyURL() string { return s.url("api") + "/networking/v1/external" }

// identities makes the loop that gives workloads their certificates.
func (s *Server) identities() (*identity.Loop, error) {
	issuer, err := identity.New(s.db, s.certs.CAPEM)
	if err != nil {
		return nil, err
	}
	return &identity.Loop{DB: s.db, Issuer: issuer, Engine: s.engine, Log: s.log}, nil
}

// networkLoops are what containers may reach, the names by which they find one another, and who they are.
// The rules of what they may reach are set before it returns, so before anything is started.
func (s *Server) networkLoops(ctx context.Context, who *identity.Loop) ([]func(context.Context) error, error) {
	reach := &networking.Loop{DB: s.db, Engine: s.engine, Log: s.log}
	if err := reach.Step(ctx); err != nil {
		return nil, err
	}
	names := &discovery.Server{
		DB: s.db, Address: netip.AddrPortFrom(s.local.Gateway(), 53), Clients: s.local.AppsSubnet(), Log: s.log,
	}
	return []func(context.Context) error{reach.Run, names.Run, who.Run}, nil
}
