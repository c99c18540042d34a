package capi

// Token is what UAA answers to a grant; ExpiresIn is in seconds.
type Token struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	TokenType    string `json:"token_type"` // always bearer
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
	JTI          string `json:"jti"`
}

// TokenError is what UAA answers when it refuses (RFC 6749 5.2).
type TokenError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Status      int    `json:"-"` // HTTP
}

// Error is the description, which is written for people.
func (e *TokenError) Error() string {
	if e.Description == "" {
		return e.Code
	}
	return e.Description
}

// LoginInfo is what the authorization server says of itself at /login. Each prompt is a pair of type (text or
// password) and label.
type LoginInfo struct {
	App       LoginApp             `json:"app"`
	Links     map[string]string    `json:"links"`
	ZoneName  string               `json:"zone_name"`
	EntityID  string               `json:"entityID"`
	CommitID  string               `json:"commit_id"`
	Timestamp string               `json:"timestamp"`
	Prompts   map[string][2]string `json:"prompts"`
	IDPs      map[string]string    `json:"idpDefinitions"`
}

// LoginApp is the version of the authorization server.
type LoginApp struct {
	Version string `json:"version"`
}
