package auth

import (
	"context"
	"errors"
	"net/http"

	"github.com/cupola-paas/cupola/store"
)

// changePassword takes the old password from users themselves, and none from who manages users. All sessions of
// the user end.
func (a *Auth) changePassword(w http.ResponseWriter, r *http.Request) error {
	id, err := a.authenticate(r)
	if err != nil {
		return err
	}
	guid := r.PathValue("id")
	own := id.UserGUID == guid && !id.Client
	manager := id.Has(scopeScimWrite) || id.Has(scopeAdmin)
	if !manager && !(own && id.Has(scopePassword)) {
		return insufficientScope(scopePassword)
	}
	var in struct {
		Old string `json:"oldPassword"`
		New string `json:"password"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	user, err := a.scimUser(guid)
	if err != nil {
		return err
	}
	if user.Origin != DefaultOrigin {
		return refuse(http.StatusBadRequest, "invalid_password", "This user's password is kept by "+user.Origin+": change it there.")
	}
	if own {
		if err := a.checkOld(r, user, in.Old); err != nil {
			return err
		}
	}
	hash, err := a.hasher.hash(r.Context(), in.New)
	if err != nil {
		return badPassword(err, func(err error) error {
			return refuse(http.StatusUnprocessableEntity, "invalid_password", err.Error())
		})
	}
	if err := a.setPassword(guid, hash); err != nil {
		return noUser(err, guid)
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "message": "password updated"})
	return nil
}

func (a *Auth) checkOld(r *http.Request, user *store.User, old string) error {
	right, err := a.checkHash(r.Context(), userLimits(user.Username, a.clientAddr(r)), user.PasswordHash, old)
	if err == nil && !right {
		err = refuse(http.StatusUnauthorized, "unauthorized", "The old password is not right.")
	}
	return err
}

// checkHash compares a password with a hash, unless too many wrong ones came before.
func (a *Auth) checkHash(ctx context.Context, limits []limit, hash, password string) (bool, error) {
	attempt, err := a.throttle.begin(ctx, limits)
	if err != nil {
		return false, err
	}
	right, err := a.hasher.verify(ctx, hash, password)
	switch {
	case err != nil:
		attempt.void()
	case right:
		attempt.right()
	default:
		attempt.wrong()
	}
	return right, err
}

func (a *Auth) setPassword(guid, hash string) error {
	return a.db.Update(func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, guid)
		if err != nil {
			return err
		}
		user.PasswordHash, user.PasswordAt = hash, tx.Now
		user.Version++
		return errors.Join(deleteSessions(tx, guid), store.Users.Put(tx, user))
	})
}
