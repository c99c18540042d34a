// Package auth is the platform's authorization server: users, clients, passwords and tokens, with the part of
// UAA's interface that clients of Cloud Foundry use (login, token, SCIM users, keys).
//
// Access tokens are signed JWTs that last for half an hour; each use of one asks the store whether its user,
// session and password are still the same, so that a logout, a new password or a deleted user ends them at
// once. Refresh tokens are a session's name under a keyed hash: whoever reads the database can't make one.
// What somebody may do with a token is not decided here but where the API's resources are.
package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// Options say what an Auth stands on. DB and UAAURL are needed.
type Options struct {
	DB       *store.DB
	UAAURL   string // origin of the UAA, such as https://uaa.example.com; UAAURL + /oauth/token issues the tokens
	LoginURL string // origin of the login server; empty: UAAURL
	// DashboardURL is the origin of the dashboard, which signs its users in here; empty: there is none.
	DashboardURL string
	Clock        func() time.Time
	// ClientAddr tells the address that a request came from, for throttling. Nil: the last hop of
	// X-Forwarded-For for requests from loopback (our own router), the peer's address for others.
	ClientAddr func(*http.Request) string
	Providers  []Provider   // identity providers whose users may sign in, each under a name of its own
	Log        *slog.Logger // nil: slog.Default
}

// Auth issues and verifies tokens. It may be used by several goroutines at once.
type Auth struct {
	db       *store.DB
	uaaURL   string
	loginURL string

	dashboardURL string

	now        func() time.Time
	clientAddr func(*http.Request) string
	log        *slog.Logger

	keys     *keyring
	refresh  []byte // key of the hash in refresh tokens and of the password's mark in access tokens
	hasher   *hasher
	throttle *throttle

	codes, passcodes *codes
	approvals        *approvals
	crossOrigin      *http.CrossOriginProtection
	providers        []*provider
}

// DefaultOrigin is where the platform's own users come from.
const DefaultOrigin = "uaa"

// New opens the authorization server over a store: it makes the keys and the clients cf, ssh-proxy and admin
// where they are missing.
func New(o Options) (*Auth, error) {
	if o.DB == nil || o.UAAURL == "" {
		return nil, errors.New("open the authorization server: a store and the UAA's URL are needed")
	}
	a := &Auth{
		db:       o.DB,
		uaaURL:   strings.TrimRight(o.UAAURL, "/"),
		loginURL: strings.TrimRight(cmp.Or(o.LoginURL, o.UAAURL), "/"),
		now:      o.Clock,

		dashboardURL: strings.TrimRight(o.DashboardURL, "/"),
		clientAddr:   o.ClientAddr,
		log:          cmp.Or(o.Log, slog.Default()),
		hasher:       newHasher(),
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.clientAddr == nil {
		a.clientAddr = forwardedAddr
	}
	a.throttle, a.codes, a.passcodes = newThrottle(a.now), newCodes(a.now, codeLife), newCodes(a.now, passcodeLife)
	a.approvals, a.crossOrigin = newApprovals(), http.NewCrossOriginProtection()
	for _, p := range o.Providers {
		if err := p.Validate(); err != nil {
			return nil, fmt.Errorf("open the authorization server: %w", err)
		}
		a.providers = append(a.providers, newProvider(p, a.loginURL))
	}
	var err error
	if a.keys, err = openKeyring(o.DB, a.now); err != nil {
		return nil, fmt.Errorf("open the authorization server: %w", err)
	}
	if err := o.DB.Update(a.seed); err != nil {
		return nil, fmt.Errorf("open the authorization server: %w", err)
	}
	return a, nil
}

// Close ends what runs in the background.
func (a *Auth) Close() { a.hasher.close() }

// refreshKeySetting is the name under which the store keeps the key of refresh tokens.
const refreshKeySetting = "uaa.refresh_key"

func (a *Auth) seed(tx *store.Tx) error {
	key, err := store.Settings.Get(tx, refreshKeySetting)
	if errors.Is(err, store.ErrNotFound) {
		key = &store.Setting{Meta: store.Meta{GUID: refreshKeySetting}, Value: randomBytes(32)}
		err = store.Settings.Put(tx, key)
	}
	if err != nil {
		return err
	}
	a.refresh = key.Value
	if err := seedGroups(tx); err != nil {
		return err
	}
	for _, c := range a.ownClients() {
		if err := seedClient(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// seedClient makes one of our clients, or gives it what this version says, with the secret that it has.
func seedClient(tx *store.Tx, want store.Client) error {
	have, err := store.Clients.Get(tx, want.GUID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Clients.Put(tx, &want)
	}
	if err != nil || (slices.Equal(have.Scopes, want.Scopes) && slices.Equal(have.Authorities, want.Authorities) && slices.Equal(have.GrantTypes, want.GrantTypes) &&
		slices.Equal(have.RedirectURIs, want.RedirectURIs)) {
		return err
	}
	have.Scopes, have.Authorities, have.GrantTypes, have.RedirectURIs = want.Scopes, want.Authorities, want.GrantTypes, want.RedirectURIs
	return store.Clients.Put(tx, have)
}

// EnsureAdmin sees to it that there is an administrator of that name. A new one gets the password or, when it
// is empty, one that is generated and returned: it is the only time that it can be seen. One that exists gets
// the password unless it is empty.
func (a *Auth) EnsureAdmin(username, password string) (generated string, err error) {
	if err := validateUsername(username); err != nil {
		return "", err
	}
	user, err := a.findUser(DefaultOrigin, username)
	switch {
	case errors.Is(err, store.ErrNotFound):
		user = &store.User{Username: username, Origin: DefaultOrigin, Email: username}
		if password == "" {
			generated = randomString(24)
		}
	case err != nil:
		return "", err
	case password != "":
		same, err := a.hasher.verify(context.Background(), user.PasswordHash, password)
		if err != nil {
			return "", err
		}
		if same {
			password = ""
		}
	}
	user.Groups = union(user.Groups, adminGroups)
	if set := cmp.Or(generated, password); set != "" {
		if user.PasswordHash, err = a.hasher.hash(context.Background(), set); err != nil {
			return "", err
		}
	}
	err = a.db.Update(func(tx *store.Tx) error {
		if cmp.Or(generated, password) != "" {
			user.PasswordAt = tx.Now
			if err := deleteSessions(tx, user.GUID); err != nil {
				return err
			}
		}
		return store.Users.Put(tx, user)
	})
	if err != nil {
		return "", fmt.Errorf("make the administrator %s: %w", username, err)
	}
	return generated, nil
}

func (a *Auth) findUser(origin, username string) (user *store.User, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		user, err = store.Users.Find(tx, "origin_username", origin+"/"+username)
		return err
	})
	return user, err
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// randomString has six bits of chance in each letter.
func randomString(letters int) string {
	return base64.RawURLEncoding.EncodeToString(randomBytes(letters))[:letters]
}
