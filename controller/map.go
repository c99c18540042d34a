package controller

import (
	"github.com/cupola-paas/cupola/controller/servicemap"
	"github.com/cupola-paas/cupola/node"
)

// openMap makes the loop that watches who calls whom.
func (s *Server) openMap() *servicemap.Loop {
	flows, _ := s.engine.(node.FlowCounter)
	return &servicemap.Loop{Router: s.feed, Elsewhere: s.feed.SetCallersAt, Engine: s.engine, Flows: flows, Log: s.log}
}
