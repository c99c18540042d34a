package capi

// List is one page of a collection.
type List[T any] struct {
	Pagination Pagination `json:"pagination"`
	Resources  Array[T]   `json:"resources"`
	Included   *Included  `json:"included,omitempty"`
}

// Pagination says where a page stands. TotalPages is at least 1; Next and Previous are nil at the ends.
type Pagination struct {
	TotalResults int   `json:"total_results"`
	TotalPages   int   `json:"total_pages"`
	First        Link  `json:"first"`
	Last         Link  `json:"last"`
	Next         *Link `json:"next"`
	Previous     *Link `json:"previous"`
}

// Included holds the related resources that a request asked for with include; each once.
type Included struct {
	Apps             []App             `json:"apps,omitempty"`
	Domains          []Domain          `json:"domains,omitempty"`
	Organizations    []Organization    `json:"organizations,omitempty"`
	Routes           []Route           `json:"routes,omitempty"`
	RoutePolicies    []RoutePolicy     `json:"route_policies,omitzero"`
	ServiceInstances []ServiceInstance `json:"service_instances,omitempty"`
	Spaces           []Space           `json:"spaces,omitempty"`
	Users            []User            `json:"users,omitempty"`
}

// Items is a list without pages, such as process stats.
type Items[T any] struct {
	Resources Array[T] `json:"resources"`
}
