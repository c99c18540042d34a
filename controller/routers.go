package controller

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/node/nomad"
)

// openFeed makes the feed of tables, which the router of this server gets and all those elsewhere.
func (s *Server) openFeed() {
	s.feed = routerfeed.New(routerfeed.Options{
		Local: s.router, Certificates: s.certs, Settings: s.routerSettings, Access: s.keepAccess, Log: s.log,
		Routes: func(node string) bool { return s.door != nil && s.door.Routes(node) },
	})
}

// routerSettings are what the router of a node needs to know besides routes.
func (s *Server) routerSettings(node string) routerfeed.Settings {
	tracing, _ := s.config.tracing() // it is valid
	out := routerfeed.Settings{
		Platform: slices.Sorted(maps.Keys(s.systemNames())), ServiceKey: s.serviceKey, ServiceRoots: s.serviceRoots,
		InstanceCAs: s.issuer.CAPEM(), Tracing: tracing, Challenges: s.certs.Challenges(),
	}
	if network, err := netip.ParsePrefix(s.config.NodeNetwork); err == nil {
		out.Inside = append(out.Inside, network)
	}
	if e, ok := s.engine.(*nomad.Nomad); ok {
		out.Zone = e.Zone(node)
	}
	return out
}
