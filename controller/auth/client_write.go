package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Bounds of what a client may be.
const (
	clientListMax = 200 // scopes, authorities or redirect URIs
	clientTTLMax  = 365 * 24 * time.Hour
)

var clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,254}$`)

// autoApprove is true, false or a list of scopes, of which a full one alone counts as true: approving some scopes
// and asking for others is not known here.
type autoApprove bool

// UnmarshalJSON takes true, "true" and ["true"] as true, the lists that UAA's clients send too.
func (a *autoApprove) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `[]" `)
	*a = autoApprove(text == "true")
	return nil
}

var clientGrants = []string{grantPassword, grantRefresh, grantClient, grantCode, grantAssertion}

// createClient is POST /oauth/clients.
func (a *Auth) createClient(w http.ResponseWriter, r *http.Request) error {
	by, err := a.withScope(r, scopeClientsWrite, scopeClientsAdmin)
	if err != nil {
		return err
	}
	var in oauthClient
	if err := readClient(r, &in); err != nil {
		return err
	}
	if !clientID.MatchString(in.ID) {
		return badClient("client_id has letters, digits and . _ @ - only")
	}
	client := &store.Client{Meta: store.Meta{GUID: in.ID}}
	if err := fillClient(client, in, by); err != nil {
		return err
	}
	if client.SecretHash, err = a.clientSecret(r, in); err != nil {
		return err
	}
	err = a.db.Update(func(tx *store.Tx) error {
		if _, err := store.Clients.Get(tx, in.ID); !errors.Is(err, store.ErrNotFound) {
			return firstOf(err, refuse(http.StatusConflict, "invalid_client", "Client already exists: "+in.ID))
		}
		return store.Clients.Put(tx, client)
	})
	if err == nil {
		writeJSON(w, http.StatusCreated, presentClient(client))
	}
	return err
}

// clientSecret is the hash of a new client's secret. A client that only sends users through a browser with a proof
// of its own (PKCE) may be public: its secret is the empty one, said in so many words.
func (a *Auth) clientSecret(r *http.Request, in oauthClient) (string, error) {
	secret := ""
	if in.Secret != nil {
		secret = *in.Secret
	}
	if secret != "" {
		hash, err := a.hasher.hash(r.Context(), secret)
		return hash, badPassword(err, func(err error) error { return badClient(err.Error()) })
	}
	public := !slices.Contains(in.GrantTypes, grantClient) && !slices.Contains(in.GrantTypes, grantPassword) && !slices.Contains(in.GrantTypes, grantAssertion)
	if in.Secret == nil || !public {
		return "", badClient("client_secret is needed; it may be the empty text only for a client of the grant types authorization_code and refresh_token")
	}
	return "", nil
}

func readClient(r *http.Request, in *oauthClient) error {
	raw, err := readBody(r)
	if err == nil && json.Unmarshal(raw, in) != nil {
		err = badClient("the body is not the JSON of a client")
	}
	return err
}

func badClient(why string) error { return refuse(http.StatusBadRequest, "invalid_client", why) }

// fillClient checks what a request says of a client and writes it into the record.
func fillClient(c *store.Client, in oauthClient, by *Identity) error {
	if len(in.GrantTypes) == 0 {
		return badClient("authorized_grant_types is empty: name at least one of " + strings.Join(clientGrants, ", "))
	}
	for _, g := range in.GrantTypes {
		if !slices.Contains(clientGrants, g) {
			return badClient(fmt.Sprintf("%.50q is not an allowed grant type: use one of %s", g, strings.Join(clientGrants, ", ")))
		}
	}
	for _, list := range []capi.Array[string]{in.Scope, in.Authorities, in.RedirectURIs} {
		if len(list) > clientListMax {
			return badClient(fmt.Sprintf("scope, authorities and redirect_uri may have %d entries each", clientListMax))
		}
	}
	if err := validateScopes(append(slices.Clone(in.Scope), in.Authorities...), by); err != nil {
		return err
	}
	for _, uri := range in.RedirectURIs {
		if err := validateRedirect(uri); err != nil {
			return err
		}
	}
	if slices.Contains(in.GrantTypes, grantCode) && len(in.RedirectURIs) == 0 {
		return badClient("the grant type authorization_code needs a redirect_uri")
	}
	var err error
	c.Name, c.GrantTypes, c.AutoApprove = in.Name, in.GrantTypes, bool(in.AutoApprove)
	c.Scopes, c.Authorities, c.RedirectURIs = without(in.Scope), without(in.Authorities), in.RedirectURIs
	if c.AccessTTL, err = clientTTL(in.AccessTTL, accessTTL); err != nil {
		return err
	}
	c.RefreshTTL, err = clientTTL(in.RefreshTTL, refreshTTL)
	return err
}

// without leaves UAA's words for nothing out.
func without(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == "uaa.none" || s == "none" })
}

// validateScopes lets who does not administer clients give only what they have themselves.
func validateScopes(scopes []string, by *Identity) error {
	everything := by.Has(scopeAdmin) || by.Has(scopeClientsAdmin) || by.IsAdmin()
	for _, s := range scopes {
		if !groupName.MatchString(s) {
			return badClient(fmt.Sprintf("%.50q is not a scope", s))
		}
		if !everything && !by.Has(s) && s != "uaa.none" {
			return refuse(http.StatusForbidden, "insufficient_scope", "You can't give a client the scope "+s+", which you don't have.")
		}
	}
	return nil
}

// validateRedirect takes whole URIs only: they are compared letter by letter (RFC 9700 2.1).
func validateRedirect(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "" || len(uri) > 2000 || strings.Contains(uri, "*"):
		return badClient(fmt.Sprintf("redirect_uri %.100q is not a whole URI such as https://app.example.com/callback, without *", uri))
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return badClient(fmt.Sprintf("redirect_uri %.100q has a fragment", uri))
	case u.Scheme == "javascript" || u.Scheme == "data" || u.Scheme == "vbscript" || u.Scheme == "file":
		return badClient(fmt.Sprintf("redirect_uri %.100q: a browser is not sent there", uri))
	case (u.Scheme == "http" || u.Scheme == "https") && (u.Host == "" || u.User != nil):
		return badClient(fmt.Sprintf("redirect_uri %.100q has no host, or a user in it", uri))
	}
	return nil
}

func clientTTL(seconds *int64, otherwise time.Duration) (time.Duration, error) {
	if seconds == nil || *seconds == 0 {
		return otherwise, nil
	}
	if *seconds < 0 || *seconds > int64(clientTTLMax/time.Second) {
		return 0, badClient(fmt.Sprintf("a token may be valid for 1 to %d seconds", int64(clientTTLMax/time.Second)))
	}
	return time.Duration(*seconds) * time.Second, nil
}

// replaceClient is PUT /oauth/clients/:id; the secret stays.
func (a *Auth) replaceClient(w http.ResponseWriter, r *http.Request) error {
	by, err := a.withScope(r, scopeClientsWrite, scopeClientsAdmin)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	var in oauthClient
	if err := readClient(r, &in); err != nil {
		return err
	}
	if in.ID != "" && in.ID != id {
		return badClient("the client_id can't be changed")
	}
	if a.isOwnClient(id) {
		return badClient("the client " + id + " is the platform's own and can't be changed")
	}
	var client *store.Client
	err = a.db.Update(func(tx *store.Tx) error {
		if client, err = store.Clients.Get(tx, id); err != nil {
			return noClient(err, id)
		}
		if err := mayTouch(client, by); err != nil {
			return err
		}
		if err := fillClient(client, in, by); err != nil {
			return err
		}
		return store.Clients.Put(tx, client)
	})
	if err == nil {
		writeJSON(w, http.StatusOK, presentClient(client))
	}
	return err
}

// mayTouch keeps who does not administer clients from taking over a client that may do more than they.
func mayTouch(c *store.Client, by *Identity) error {
	return validateScopes(slices.Concat(c.Scopes, c.Authorities), by)
}

// deleteClient ends the client's tokens too; it answers with what was deleted.
func (a *Auth) deleteClient(w http.ResponseWriter, r *http.Request) error {
	by, err := a.withScope(r, scopeClientsWrite, scopeClientsAdmin)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if a.isOwnClient(id) {
		return badClient("the client " + id + " is the platform's own and can't be deleted")
	}
	var client *store.Client
	err = a.db.Update(func(tx *store.Tx) error {
		if client, err = store.Clients.Get(tx, id); err != nil {
			return noClient(err, id)
		}
		if err := mayTouch(client, by); err != nil {
			return err
		}
		return errors.Join(store.Clients.Delete(tx, id), deleteClientSessions(tx, id))
	})
	if err == nil {
		writeJSON(w, http.StatusOK, presentClient(client))
	}
	return err
}

// changeSecret is PUT /oauth/clients/:id/secret: by the client itself with the old secret, or by who administers
// clients. It ends all of the client's tokens.
func (a *Auth) changeSecret(w http.ResponseWriter, r *http.Request) error {
	by, err := a.authenticate(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	manager := by.Has(scopeAdmin) || by.Has(scopeClientsAdmin) || by.IsAdmin()
	self := by.Client && by.ClientID == id
	if !manager && !(self && by.Has(scopeClientsSecret)) {
		return insufficientScope(scopeClientsSecret)
	}
	var in struct {
		Old  string `json:"oldSecret"`
		New  string `json:"secret"`
		Mode string `json:"changeMode"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	client, err := a.clientByID(id)
	switch {
	case err != nil:
		return noClient(err, id)
	case in.Mode != "" && in.Mode != "UPDATE":
		return badClient("a client has one secret here: leave changeMode out")
	case id == "cf" || id == "ssh-proxy":
		return badClient("the client " + id + " has no secret")
	}
	if !manager {
		right, err := a.checkHash(r.Context(), clientLimits(id, a.clientAddr(r)), client.SecretHash, in.Old)
		if err != nil {
			return err
		}
		if !right {
			return refuse(http.StatusBadRequest, "invalid_client", "The old secret is not right.")
		}
	}
	if err := a.SetClientSecret(r.Context(), id, in.New); err != nil {
		return badPassword(noClient(err, id), func(err error) error { return badClient(err.Error()) })
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "message": "Secret is updated"})
	return nil
}
