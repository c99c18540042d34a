package capi

// Root is the answer of GET /: where everything is. A link that is nil is a service that isn't there.
type Root struct {
	Links map[string]*RootLink `json:"links"`
}

// RootLink is a link with what its users must know besides.
type RootLink struct {
	Href string    `json:"href"`
	Meta *LinkMeta `json:"meta,omitempty"`
}

// LinkMeta: Version for the API, the others for app_ssh.
type LinkMeta struct {
	Version            string `json:"version,omitempty"`
	HostKeyFingerprint string `json:"host_key_fingerprint,omitempty"`
	OAuthClient        string `json:"oauth_client,omitempty"`
}

// Href is the URL of a link, or the empty string.
func (r *Root) Href(name string) string {
	if r == nil || r.Links[name] == nil {
		return ""
	}
	return r.Links[name].Href
}

// V3Root is the answer of GET /v3.
type V3Root struct {
	Links Links `json:"links"`
}

// Info is the answer of GET /v3/info.
type Info struct {
	Build         string     `json:"build"`
	CLIVersion    CLIVersion `json:"cli_version"`
	Custom        Map[any]   `json:"custom"`
	Description   string     `json:"description"`
	Name          string     `json:"name"`
	Version       int        `json:"version"`
	OSBAPIVersion string     `json:"osbapi_version"`
	Links         Links      `json:"links"`
}

// CLIVersion of the client that the operator wants.
type CLIVersion struct {
	Minimum     string `json:"minimum"`
	Recommended string `json:"recommended"`
}
