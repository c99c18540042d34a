package capi

// User is a person or a client with roles. Username and Origin are null for a client.
type User struct {
	Resource
	Username         *string  `json:"username"`
	PresentationName string   `json:"presentation_name"`
	Origin           *string  `json:"origin"`
	Metadata         Metadata `json:"metadata"`
	Links            Links    `json:"links"`
}

// UserCreate is the body of POST /v3/users: the GUID of a user of UAA, or name and origin.
type UserCreate struct {
	GUID     string         `json:"guid,omitempty"`
	Username string         `json:"username,omitempty"`
	Origin   string         `json:"origin,omitempty"`
	Metadata *MetadataPatch `json:"metadata,omitempty"`
}
