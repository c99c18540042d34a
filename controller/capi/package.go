package capi

import "encoding/json"

// Package types.
const (
	PackageBits   = "bits"
	PackageDocker = "docker"
)

// Package is the uploaded source of an app, or an image reference.
type Package struct {
	Resource
	Type          string               `json:"type"`
	Data          PackageData          `json:"data"`
	State         string               `json:"state"`
	Relationships PackageRelationships `json:"relationships"`
	Metadata      Metadata             `json:"metadata"`
	Links         Links                `json:"links"`
}

// PackageRelationships of a Package.
type PackageRelationships struct {
	App ToOne `json:"app"`
}

// PackageData has Error and Checksum for bits, and Image, Username and Password (shown as ***) for Docker.
type PackageData struct {
	Error    *string   `json:"error,omitempty"`
	Checksum *Checksum `json:"checksum,omitempty"`
	Image    string    `json:"image,omitempty"`
	Username string    `json:"username,omitempty"`
	Password string    `json:"password,omitempty"`
}

// Checksum of bits; Value is null until they are there.
type Checksum struct {
	Type  string  `json:"type"`
	Value *string `json:"value"`
}

// SHA256 is the checksum of that value; the empty string is null.
func SHA256(value string) *Checksum { return &Checksum{Type: "sha256", Value: nullable(value)} }

// MarshalJSON writes the form of bits or of an image.
func (d PackageData) MarshalJSON() ([]byte, error) {
	if d.Image == "" {
		if d.Checksum == nil {
			d.Checksum = SHA256("")
		}
		return json.Marshal(struct {
			Error    *string   `json:"error"`
			Checksum *Checksum `json:"checksum"`
		}{d.Error, d.Checksum})
	}
	return json.Marshal(struct {
		Image    string  `json:"image"`
		Username *string `json:"username"`
		Password *string `json:"password"`
	}{d.Image, nullable(d.Username), nullable(d.Password)})
}

// PackageCreate is the body of POST /v3/packages.
type PackageCreate struct {
	Type          string                     `json:"type,omitempty"` // empty for a copy
	Data          *PackageCreateData         `json:"data,omitempty"`
	Relationships PackageCreateRelationships `json:"relationships"`
	Metadata      *MetadataPatch             `json:"metadata,omitempty"`
}

// PackageCreateData is for the type docker.
type PackageCreateData struct {
	Image    string `json:"image,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// PackageCreateRelationships says whose package it is.
type PackageCreateRelationships struct {
	App *ToOne `json:"app"`
}

// ResourceMatches is body and answer of POST /v3/resource_matches: files that a client has, and the
// subset that the server has too.
type ResourceMatches struct {
	Resources Array[ResourceMatch] `json:"resources"`
}

// ResourceMatch is one file: its path in the package, octal mode, SHA-1 and size.
type ResourceMatch struct {
	Checksum    ResourceChecksum `json:"checksum"`
	SizeInBytes int64            `json:"size_in_bytes"`
	Path        string           `json:"path,omitempty"`
	Mode        string           `json:"mode,omitempty"`
}

// ResourceChecksum is a SHA-1 in hex.
type ResourceChecksum struct {
	Value string `json:"value"`
}
