package capi

// ServiceMap is who called whom in the last minutes, as far as the caller may see the apps (Cupola's own, GET /v3/map).
// Edges name nodes by their IDs.
type ServiceMap struct {
	WindowSeconds float64        `json:"window_seconds"` // that figures cover: five minutes, less while the server is younger
	RecentSeconds float64        `json:"recent_seconds"` // that states are judged by
	Nodes         Array[MapNode] `json:"nodes"`
	Edges         Array[MapEdge] `json:"edges"` // failing ones first, then those with most calls
	LeftOut       int            `json:"edges_left_out"`
}

// Kinds of a MapNode.
const (
	MapApp       = "app"
	MapService   = "service_instance"
	MapSpace     = "space"        // all apps of it, where group_by asks for spaces
	MapOrg       = "organization" // all apps of it
	MapInternet  = "internet"     // whoever is no app of this platform
	MapElsewhere = "elsewhere"    // all apps that the caller may not see
)

// MapNode is an end of edges. What is nowhere has no space and org; a space and an org name themselves.
type MapNode struct {
	ID           string  `json:"id"` // the GUID; "internet" and "elsewhere" have none
	Kind         string  `json:"kind"`
	Name         string  `json:"name"`
	Space        *MapRef `json:"space,omitempty"`
	Organization *MapRef `json:"organization,omitempty"`
}

// MapRef is a space or an org by GUID and name.
type MapRef struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

// How an edge is known (MapEdge.Kind).
const (
	MapHTTP   = "http"   // requests through the router
	MapTCP    = "tcp"    // connections through the router
	MapDirect = "direct" // connections from container to container, or to a data service: counted, and nothing else is known
	MapBound  = "bound"  // an app is bound to a service instance that is not reached through anything that counts
)

// States of an edge (MapEdge.State).
const (
	MapFailing  = "failing"  // of the last minute's calls one in twenty or more failed, or callers wait and nobody is answered
	MapDegraded = "degraded" // some calls of the last minute failed
	MapOK       = "ok"
	MapActive   = "active"  // connections are made; how they fare is not known
	MapQuiet    = "quiet"   // nothing in the last minute
	MapUnknown  = "unknown" // nothing is counted
)

// MapEdge is who calls whom. What is not known of its kind is absent.
type MapEdge struct {
	From         string       `json:"from"`
	To           string       `json:"to"`
	Kind         string       `json:"kind"`
	State        string       `json:"state"`
	PerSecond    *float64     `json:"per_second,omitempty"` // calls: requests, or connections
	Calls        *uint64      `json:"calls,omitempty"`
	Failed       *uint64      `json:"failed,omitempty"`
	Outcomes     *MapOutcomes `json:"outcomes,omitempty"`
	LatencyMS    *MapLatency  `json:"latency_ms,omitempty"`
	Recent       *MapRecent   `json:"recent,omitempty"`
	InFlight     *int         `json:"in_flight,omitempty"`
	Waiting      *int         `json:"waiting,omitempty"` // of those in flight: without a first byte of an answer
	StuckSeconds *float64     `json:"stuck_seconds,omitempty"`
	LastUsed     *Time        `json:"last_used,omitempty"`
}

// MapOutcomes counts calls by how they ended.
type MapOutcomes struct {
	Answered   uint64 `json:"answered"`
	Refused    uint64 `json:"answered_4xx"`
	Failed     uint64 `json:"answered_5xx"`
	Unanswered uint64 `json:"unanswered"`  // not reached, broken off, or too slow for the router
	Unserved   uint64 `json:"no_instance"` // nothing was there to send them to
	GaveUp     uint64 `json:"gave_up"`     // the caller left after waiting a second or more
	Left       uint64 `json:"left"`        // the caller left sooner, which is no failure
}

// MapLatency is how long calls took: half of them, and 95 of 100, no longer.
type MapLatency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// MapRecent are the calls of the last minute.
type MapRecent struct {
	Calls  uint64 `json:"calls"`
	Failed uint64 `json:"failed"`
}
