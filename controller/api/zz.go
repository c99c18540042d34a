package api

func (s *Server) appRoutes() []Route        { return nil }
func (s *Server) processRoutes() []Route    { return nil }
func (s *Server) packageRoutes() []Route    { return nil }
func (s *Server) buildRoutes() []Route      { return nil }
func (s *Server) dropletRoutes() []Route    { return nil }
func (s *Server) deploymentRoutes() []Route { return nil }
func (s *Server) taskRoutes() []Route       { return nil }
func (s *Server) routeRoutes() []Route      { return nil }
func (s *Server) jobRoutes() []Route        { return nil }
func (s *Server) manifestRoutes() []Route   { return nil }
