package auth

import (
	"context"
	"errors"

	"github.com/cupola-paas/cupola/store"
)

// A dashboard client is the OAuth2 client of a service broker's dashboard, which signs users in here and asks what they
// may do with a service instance (OSB Profile, Dashboard Client Object).

// DashboardHash is the hash of a dashboard client's secret: the one that it has, if the secret has not changed.
func (a *Auth) DashboardHash(ctx context.Context, id, secret string) (string, error) {
	client, err := a.clientByID(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return a.hasher.hash(ctx, secret)
	case err != nil:
		return "", err
	}
	if same, err := a.hasher.verify(ctx, client.SecretHash, secret); err != nil || same {
		return client.SecretHash, err
	}
	return a.hasher.hash(ctx, secret)
}

// PutDashboard makes or changes a dashboard client.
func (a *Auth) PutDashboard(tx *store.Tx, id, name, hash, redirect string) error {
	client, err := store.Clients.Get(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		client, err = &store.Client{Meta: store.Meta{GUID: id}}, nil
	}
	if err != nil {
		return err
	}
	client.Name, client.SecretHash, client.RedirectURIs = name, hash, nil
	if redirect != "" {
		client.RedirectURIs = []string{redirect}
	}
	client.GrantTypes = []string{"authorization_code"}
	client.Scopes = []string{"openid", "cloud_controller_service_permissions.read"}
	client.Authorities = []string{"uaa.resource"}
	return store.Clients.Put(tx, client)
}

// DeleteDashboard deletes a dashboard client with the sessions that it has.
func (a *Auth) DeleteDashboard(tx *store.Tx, id string) error {
	err := store.Clients.Delete(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // an operator has deleted it
	}
	return errors.Join(err, deleteClientSessions(tx, id))
}
