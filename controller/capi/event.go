package capi

// AuditEvent says who did what to what.
type AuditEvent struct {
	Resource
	Type         string   `json:"type"`
	Actor        Actor    `json:"actor"`
	Target       Actor    `json:"target"`
	Data         Map[any] `json:"data"`
	Space        Ref      `json:"space"`
	Organization Ref      `json:"organization"`
	Links        Links    `json:"links"`
}

// Actor is who did something, or what it was done to.
type Actor struct {
	GUID string `json:"guid"`
	Type string `json:"type"`
	Name string `json:"name"`
}
