package capi

// RouterGroupUpdate is the body of PUT /v1/router_groups/:guid.
type RouterGroupUpdate struct {
	ReservablePorts string `json:"reservable_ports"`
	Name            string `json:"name,omitempty"` // may be repeated, not changed
	Type            string `json:"type,omitempty"`
	GUID            string `json:"guid,omitempty"`
}

// RoutingError is how the routing API tells of an error.
type RoutingError struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// RequestStats is what the router has seen of an app's requests in the last minute, and in all since the app came into
// the router's table (Cupola's own, GET /v3/request_stats).
type RequestStats struct {
	App               GUID               `json:"app"`
	WindowSeconds     float64            `json:"window_seconds"`
	Requests          uint64             `json:"requests"` // in the window, as are the next three
	RequestsPerSecond float64            `json:"requests_per_second"`
	Status            map[string]uint64  `json:"status"`     // "1xx" to "5xx", and "none" where the client left first
	LatencyMS         map[string]float64 `json:"latency_ms"` // mean, p50, p90, p95, p99
	InFlight          int                `json:"in_flight"`  // now, upgraded and TCP connections included
	TotalRequests     uint64             `json:"total_requests"`
	TotalStatus       map[string]uint64  `json:"total_status"`
	Connections       uint64             `json:"tcp_connections"` // in all
}

// RequestStatsList is the answer of GET /v3/request_stats.
type RequestStatsList struct {
	Resources Array[RequestStats] `json:"resources"`
}
