package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (a *Auth) clientByID(id string) (client *store.Client, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		client, err = store.Clients.Get(tx, id)
		return err
	})
	return client, err
}

// SetClientSecret gives a client another secret, which ends the tokens that it has.
func (a *Auth) SetClientSecret(ctx context.Context, id, secret string) error {
	hash, err := a.hasher.hash(ctx, secret)
	if err != nil {
		return err
	}
	return a.db.Update(func(tx *store.Tx) error {
		client, err := store.Clients.Get(tx, id)
		if err != nil {
			return err
		}
		client.SecretHash = hash
		return errors.Join(store.Clients.Put(tx, client), deleteClientSessions(tx, id))
	})
}

// oauthClient is a client as UAA writes it; the secret is never in an answer.
type oauthClient struct {
	ID           string             `json:"client_id"`
	Name         string             `json:"name,omitempty"`
	Secret       *string            `json:"client_secret,omitempty"` // requests only
	Scope        capi.Array[string] `json:"scope"`
	Authorities  capi.Array[string] `json:"authorities"`
	GrantTypes   capi.Array[string] `json:"authorized_grant_types"`
	RedirectURIs capi.Array[string] `json:"redirect_uri"`
	ResourceIDs  capi.Array[string] `json:"resource_ids"`
	AutoApprove  autoApprove        `json:"autoapprove"`
	AccessTTL    *int64             `json:"access_token_validity,omitempty"`  // seconds
	RefreshTTL   *int64             `json:"refresh_token_validity,omitempty"` // seconds
	Modified     int64              `json:"lastModified,omitempty"`           // milliseconds since 1970
}

func presentClient(c *store.Client) oauthClient {
	out := oauthClient{ID: c.GUID, Name: c.Name, Scope: c.Scopes, Authorities: c.Authorities, GrantTypes: c.GrantTypes,
		RedirectURIs: c.RedirectURIs, ResourceIDs: []string{"none"}, AutoApprove: autoApprove(c.AutoApprove), Modified: c.UpdatedAt.UnixMilli()}
	if s := int64(c.AccessTTL / time.Second); s > 0 {
		out.AccessTTL = &s
	}
	if s := int64(c.RefreshTTL / time.Second); s > 0 {
		out.RefreshTTL = &s
	}
	return out
}

func clientAttribute(c *store.Client) func(string) []string {
	return func(attr string) []string {
		switch attr {
		case "client_id":
			return []string{c.GUID}
		case "name":
			return []string{c.Name}
		case "scope":
			return c.Scopes
		case "authorities":
			return c.Authorities
		case "authorized_grant_types":
			return c.GrantTypes
		}
		return nil
	}
}

func (a *Auth) listClients(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.withScope(r, scopeClientsRead, scopeClientsAdmin); err != nil {
		return err
	}
	q := r.URL.Query()
	f, err := parseFilter(q.Get("filter"), "client_id", "name", "scope", "authorities", "authorized_grant_types")
	if err != nil {
		return badFilter(err)
	}
	l := readList(q)
	clients, total, err := listRecords(a, l, store.Clients, store.Query[store.Client]{
		Where: f.conditions(map[string]string{"client_id": "guid"}),
		Match: func(c *store.Client) bool { return f.match(clientAttribute(c)) },
	})
	if err != nil {
		return err
	}
	var resources []any
	for _, c := range clients {
		resources = append(resources, presentClient(c))
	}
	return l.answer(w, resources, total)
}

// getClient is GET /oauth/clients/:id, by which the CLI finds out whether there is such a client. A client may see
// itself.
func (a *Auth) getClient(w http.ResponseWriter, r *http.Request) error {
	by, err := a.authenticate(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if self := by.Client && by.ClientID == id; !self {
		if _, err := a.withScope(r, scopeClientsRead, scopeClientsAdmin); err != nil {
			return err
		}
	}
	client, err := a.clientByID(id)
	if err != nil {
		return noClient(err, id)
	}
	writeJSON(w, http.StatusOK, presentClient(client))
	return nil
}

func noClient(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "not_found", "No client with requested id: "+id)
	}
	return err
}

// isOwnClient reports whether a client belongs to the platform.
func (a *Auth) isOwnClient(id string) bool {
	return slices.ContainsFunc(a.ownClients(), func(c store.Client) bool { return c.GUID == id })
}

func deleteClientSessions(tx *store.Tx, id string) error {
	have, _, err := store.RefreshTokens.List(tx, store.Query[store.RefreshToken]{Where: []store.Cond{store.By("client", id)}})
	for _, t := range have {
		err = errors.Join(err, store.RefreshTokens.Delete(tx, t.GUID))
	}
	return err
}
