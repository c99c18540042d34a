package capi

// Resource is what every resource has.
type Resource struct {
	GUID      string `json:"guid"`
	CreatedAt Time   `json:"created_at"`
	UpdatedAt Time   `json:"updated_at"`
}

// Link is an absolute URL; Method is empty for GET.
type Link struct {
	Href   string `json:"href"`
	Method string `json:"method,omitempty"`
}

// Links of a resource by name; never null.
type Links = Map[Link]
