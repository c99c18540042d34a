package auth

import (
	"net/http"

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
func (a *Auth) SetClientSecret(id, secret string) error {
	hash, err := a.hasher.hash(secret)
	if err != nil {
		return err
	}
	return a.db.Update(func(tx *store.Tx) error {
		client, err := store.Clients.Get(tx, id)
		if err != nil {
			return err
		}
		client.SecretHash = hash
		return store.Clients.Put(tx, client)
	})
}

// getClient is GET /oauth/clients/:id, by which the CLI finds out whether there is such a client.
func (a *Auth) getClient(w http.ResponseWriter, r *http.Request) error {
	id, err := a.Authenticate(r)
	if err != nil {
		return err
	}
	if !id.Has("clients.read") && !id.IsAdmin() {
		return insufficientScope("clients.read")
	}
	client, err := a.clientByID(r.PathValue("id"))
	if err != nil && ignoreGone(err) == nil {
		return refuse(http.StatusNotFound, "not_found", "No client with requested id: "+r.PathValue("id"))
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		ID           string             `json:"client_id"`
		Scope        capi.Array[string] `json:"scope"`
		Authorities  capi.Array[string] `json:"authorities"`
		GrantTypes   capi.Array[string] `json:"authorized_grant_types"`
		RedirectURIs capi.Array[string] `json:"redirect_uri"`
		AutoApprove  bool               `json:"autoapprove"`
	}{client.GUID, client.Scopes, client.Authorities, client.GrantTypes, client.RedirectURIs, client.AutoApprove})
	return nil
}
