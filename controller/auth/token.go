package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// audience is who an access token is for; the API accepts only tokens that name it.
const audience = "cloud_controller"

// tokenMax bounds what is looked at as a token.
const tokenMax = 16 << 10

// sessionsPerUser bounds the refresh tokens of one user; the oldest go first.
const sessionsPerUser = 500

// claims of an access token, named as UAA names them. Session is the refresh token's name (empty: none), and
// RevSig marks the password or secret that it was given for.
type claims struct {
	jwt.RegisteredClaims
	Scope     []string `json:"scope"`
	ClientID  string   `json:"client_id"`
	CID       string   `json:"cid"`
	AZP       string   `json:"azp"`
	GrantType string   `json:"grant_type"`
	UserID    string   `json:"user_id,omitempty"`
	UserName  string   `json:"user_name,omitempty"`
	Origin    string   `json:"origin,omitempty"`
	Email     string   `json:"email,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	RevSig    string   `json:"rev_sig"`
	ZoneID    string   `json:"zid"`
	Revocable bool     `json:"revocable"`
	Session   string   `json:"sid,omitempty"`
}

func (a *Auth) issuer() string { return a.uaaURL + "/oauth/token" }

// issueUser gives a user a token for a client. session is empty for clients without refresh tokens.
func (a *Auth) issueUser(user *store.User, client *store.Client, grant, session string, scopes []string) (*capi.Token, error) {
	c := a.newClaims(client, grant, scopes)
	c.Subject, c.UserID, c.UserName, c.Origin, c.Email = user.GUID, user.GUID, user.Username, user.Origin, user.Email
	c.AuthTime = c.IssuedAt.Unix()
	c.RevSig, c.Session, c.Revocable = a.mark(user.GUID, user.PasswordHash), session, session != ""
	token, err := a.sign(c)
	if err == nil && session != "" {
		token.RefreshToken = a.sealSession(session)
	}
	return token, err
}

// issueClient gives a client a token of its own.
func (a *Auth) issueClient(client *store.Client, scopes []string) (*capi.Token, error) {
	c := a.newClaims(client, grantClient, scopes)
	c.Subject = client.GUID
	c.RevSig = a.mark(client.GUID, client.SecretHash)
	return a.sign(c)
}

func (a *Auth) newClaims(client *store.Client, grant string, scopes []string) *claims {
	ttl := client.AccessTTL
	if ttl == 0 {
		ttl = accessTTL
	}
	now := a.now().UTC()
	return &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID: hex.EncodeToString(randomBytes(16)), Issuer: a.issuer(), Audience: jwt.ClaimStrings{audience, "uaa", "openid", client.GUID},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Scope: scopes, ClientID: client.GUID, CID: client.GUID, AZP: client.GUID, GrantType: grant, ZoneID: "uaa",
	}
}

func (a *Auth) sign(c *claims) (*capi.Token, error) {
	key, err := a.keys.signer()
	if err != nil {
		return nil, err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	t.Header["kid"] = key.ID
	signed, err := t.SignedString(key.key)
	if err != nil {
		return nil, fmt.Errorf("sign a token: %w", err)
	}
	return &capi.Token{
		AccessToken: signed, TokenType: "bearer", Scope: strings.Join(c.Scope, " "), JTI: c.ID,
		ExpiresIn: int(c.ExpiresAt.Sub(c.IssuedAt.Time) / time.Second),
	}, nil
}

// parse verifies a token's signature, issuer, audience and end. Only RS256 is accepted.
func (a *Auth) parse(token string) (*claims, error) {
	if len(token) > tokenMax {
		return nil, errors.New("the token is too long")
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithIssuer(a.issuer()),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(a.now), jwt.WithLeeway(time.Second))
	var c claims
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key := a.keys.public(kid); key != nil {
			return key, nil
		}
		return nil, errors.New("the token is signed by an unknown key")
	})
	return &c, err
}

// mark changes when a password or a secret does, and does not tell it.
func (a *Auth) mark(guid, hash string) string {
	return hex.EncodeToString(a.mac("mark", guid, hash)[:8])
}

// sealSession makes the refresh token of a session.
func (a *Auth) sealSession(session string) string {
	return session + "." + base64.RawURLEncoding.EncodeToString(a.mac("refresh", session))
}

// openSession is the session of a refresh token, or the empty string.
func (a *Auth) openSession(token string) string {
	session, _, ok := strings.Cut(token, ".")
	if !ok || len(token) > tokenMax || !hmac.Equal([]byte(token), []byte(a.sealSession(session))) {
		return ""
	}
	return session
}

func (a *Auth) mac(parts ...string) []byte {
	m := hmac.New(sha256.New, a.refresh)
	m.Write([]byte(strings.Join(parts, "\x00")))
	return m.Sum(nil)
}

// startSession makes room for a session of a user and makes it.
func (a *Auth) startSession(user *store.User, client *store.Client, scopes []string) (session string, err error) {
	err = a.db.Update(func(tx *store.Tx) error {
		have, _, err := store.RefreshTokens.List(tx, store.Query[store.RefreshToken]{Where: []store.Cond{store.By("user", user.GUID)}})
		if err != nil {
			return err
		}
		over := len(have) - sessionsPerUser + 1
		for i, t := range have {
			if i < over || t.ExpiresAt.Before(a.now()) {
				if err := store.RefreshTokens.Delete(tx, t.GUID); err != nil {
					return err
				}
			}
		}
		rec := &store.RefreshToken{UserGUID: user.GUID, ClientID: client.GUID, Scopes: scopes, ExpiresAt: a.now().Add(client.RefreshTTL)}
		err = store.RefreshTokens.Put(tx, rec)
		session = rec.GUID
		return err
	})
	return session, err
}

func deleteSessions(tx *store.Tx, userGUID string) error {
	if userGUID == "" {
		return nil
	}
	have, _, err := store.RefreshTokens.List(tx, store.Query[store.RefreshToken]{Where: []store.Cond{store.By("user", userGUID)}})
	for _, t := range have {
		err = errors.Join(err, store.RefreshTokens.Delete(tx, t.GUID))
	}
	return err
}

// scopesFor is what a token of a user carries: what the user has, the client may carry and the request, when it
// names any, asks for.
func scopesFor(user *store.User, client *store.Client, asked string) []string {
	have := union(userGroups, user.Groups)
	wanted := strings.Fields(asked)
	return slices.DeleteFunc(have, func(s string) bool {
		return !slices.Contains(client.Scopes, s) || (len(wanted) > 0 && !slices.Contains(wanted, s))
	})
}
