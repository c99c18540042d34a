package capi

// Route is a name that leads to apps.
type Route struct {
	Resource
	Protocol      string             `json:"protocol"` // http or tcp
	Host          string             `json:"host"`
	Path          string             `json:"path"`
	Port          *int               `json:"port"`
	URL           string             `json:"url"`
	Destinations  Array[Destination] `json:"destinations"`
	Options       Strings            `json:"options"`
	Relationships RouteRelationships `json:"relationships"`
	Metadata      Metadata           `json:"metadata"`
	Links         Links              `json:"links"`
}

// RouteRelationships of a Route.
type RouteRelationships struct {
	Space  ToOne `json:"space"`
	Domain ToOne `json:"domain"`
}

// Destination is one process of an app that a route leads to.
type Destination struct {
	GUID      string         `json:"guid"`
	CreatedAt Time           `json:"created_at"`
	UpdatedAt Time           `json:"updated_at"`
	App       DestinationApp `json:"app"`
	Weight    *int           `json:"weight"`
	Port      *int           `json:"port"`
	Protocol  *string        `json:"protocol"`
}

// DestinationApp names the app and its process type.
type DestinationApp struct {
	GUID    string              `json:"guid"`
	Process *DestinationProcess `json:"process,omitempty"`
}

// DestinationProcess is a process type.
type DestinationProcess struct {
	Type string `json:"type"`
}

// Destinations is the answer of the destination endpoints of a route.
type Destinations struct {
	Destinations Array[Destination] `json:"destinations"`
	Links        Links              `json:"links"`
}

// RouteCreate is the body of POST /v3/routes.
type RouteCreate struct {
	Host          string                   `json:"host,omitempty"`
	Path          string                   `json:"path,omitempty"`
	Port          *Int                     `json:"port,omitempty"`
	Options       map[string]any           `json:"options,omitempty"`
	Relationships RouteCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch           `json:"metadata,omitempty"`
}

// RouteCreateRelationships says where a new route belongs.
type RouteCreateRelationships struct {
	Space  *ToOne `json:"space"`
	Domain *ToOne `json:"domain"`
}

// RouteUpdate is the body of PATCH /v3/routes/:guid; a nil option is deleted.
type RouteUpdate struct {
	Options  map[string]any `json:"options,omitempty"`
	Metadata *MetadataPatch `json:"metadata,omitempty"`
}

// DestinationsInsert is the body of POST and PATCH /v3/routes/:guid/destinations.
type DestinationsInsert struct {
	Destinations []DestinationInsert `json:"destinations"`
}

// DestinationInsert is a destination of a request.
type DestinationInsert struct {
	GUID     string               `json:"guid,omitempty"`
	App      DestinationInsertApp `json:"app"`
	Port     *Int                 `json:"port,omitempty"`
	Protocol string               `json:"protocol,omitempty"`
	Weight   *Int                 `json:"weight,omitempty"`
}

// DestinationInsertApp names the app and its process type; other members of an app are passed over, since
// clients send the app that they were shown.
type DestinationInsertApp struct {
	Lenient
	GUID    string              `json:"guid"`
	Process *DestinationProcess `json:"process,omitempty"`
}

// DestinationUpdate is the body of PATCH /v3/routes/:guid/destinations/:guid.
type DestinationUpdate struct {
	Protocol Optional[string] `json:"protocol,omitzero"`
}

// RouteReservation is the answer of GET /v3/domains/:guid/route_reservations.
type RouteReservation struct {
	MatchingRoute bool `json:"matching_route"`
}
