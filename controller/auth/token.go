package auth

import (
	"cmp"
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

// apiAudiences are those of which the API wants to find one in a token: what the scopes that it asks for are about.
var apiAudiences = []string{"cloud_controller", "cloud_controller_service_permissions", "doppler", "logs", "network", "routing.router_groups"}

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

// issuance says for whom and why a token is made.
type issuance struct {
	client  *store.Client
	grant   string
	scopes  []string
	session string    // the refresh token's name; empty: none
	refresh bool      // give the session's refresh token too
	nonce   string    // of the authorization request, for the ID token
	until   time.Time // the token ends then at the latest; zero: by the client's rule
}

// issueUser gives a user a token for a client, and an ID token when openid is among the scopes and the client sent
// the user here by a browser.
func (a *Auth) issueUser(user *store.User, i issuance) (*capi.Token, error) {
	c := a.newClaims(i)
	c.Subject, c.UserID, c.UserName, c.Origin, c.Email = user.GUID, user.GUID, user.Username, user.Origin, user.Email
	c.AuthTime = c.IssuedAt.Unix()
	c.RevSig, c.Session, c.Revocable = a.userMark(user, i.client), i.session, i.session != ""
	token, err := a.sign(c)
	if err != nil {
		return nil, err
	}
	if i.refresh {
		token.RefreshToken = a.sealSession(i.session)
	}
	if i.grant == grantCode && slices.Contains(i.scopes, "openid") {
		token.IDToken, err = a.idToken(user, i, c)
	}
	return token, err
}

// issueClient gives a client a token of its own.
func (a *Auth) issueClient(client *store.Client, scopes []string) (*capi.Token, error) {
	c := a.newClaims(issuance{client: client, grant: grantClient, scopes: scopes})
	c.Subject = client.GUID
	c.RevSig = a.clientMark(client)
	c.Revocable = true
	return a.sign(c)
}

func (a *Auth) newClaims(i issuance) *claims {
	now := a.now().UTC()
	ends := now.Add(cmp.Or(i.client.AccessTTL, accessTTL))
	if !i.until.IsZero() && i.until.Before(ends) {
		ends = i.until
	}
	id := i.client.GUID
	return &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID: hex.EncodeToString(randomBytes(16)), Issuer: a.issuer(), Audience: audience(i.scopes, id),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(ends),
		},
		Scope: i.scopes, ClientID: id, CID: id, AZP: id, GrantType: i.grant, ZoneID: "uaa",
	}
}

// audience is who may take a token: those whom its scopes are about (what stands before the last dot), and the
// client, as UAA has it.
func audience(scopes []string, client string) jwt.ClaimStrings {
	all := []string{client}
	for _, s := range scopes {
		if dot := strings.LastIndexByte(s, '.'); dot > 0 {
			s = s[:dot]
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (a *Auth) sign(c *claims) (*capi.Token, error) {
	signed, err := a.signJWT(c)
	return &capi.Token{
		AccessToken: signed, TokenType: "bearer", Scope: strings.Join(c.Scope, " "), JTI: c.ID,
		ExpiresIn: int(c.ExpiresAt.Sub(c.IssuedAt.Time) / time.Second),
	}, err
}

func (a *Auth) signJWT(c jwt.Claims) (string, error) {
	key, err := a.keys.signer()
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, c)
	t.Header["kid"] = key.ID
	signed, err := t.SignedString(key.key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// idToken tells the client who signed in (OpenID Connect Core 1.0, 2). Only the client is its audience, and no
// scope stands in it, so that it opens nothing here.
func (a *Auth) idToken(user *store.User, i issuance, access *claims) (string, error) {
	c := jwt.MapClaims{
		"iss": access.Issuer, "sub": user.GUID, "aud": []string{i.client.GUID}, "azp": i.client.GUID, "exp": access.ExpiresAt.Unix(), "iat": access.IssuedAt.Unix(),
		"auth_time": access.AuthTime, "jti": hex.EncodeToString(randomBytes(16)), "user_id": user.GUID, "user_name": user.Username, "preferred_username": user.Username,
		"origin": user.Origin, "email": cmp.Or(user.Email, user.Username), "zid": "uaa",
	}
	if user.GivenName != "" || user.FamilyName != "" {
		c["given_name"], c["family_name"], c["name"] = user.GivenName, user.FamilyName, fullName(user)
	}
	if i.nonce != "" {
		c["nonce"] = i.nonce
	}
	if slices.Contains(i.scopes, scopeRoles) {
		c["roles"] = heldScopes(user)
	}
	return a.signJWT(c)
}

// parse verifies a token's signature, issuer and end. Only RS256 is accepted. An ID token is none of ours to take.
func (a *Auth) parse(token string) (*claims, error) {
	if len(token) > tokenMax {
		return nil, errors.New("the token is too long")
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithIssuer(a.issuer()),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(a.now), jwt.WithLeeway(time.Second))
	var c claims
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key := a.keys.public(kid); key != nil {
			return key, nil
		}
		return nil, errors.New("the token is signed by an unknown key")
	})
	if err == nil && (c.ClientID == "" || c.RevSig == "") {
		err = errors.New("the token is not an access token")
	}
	return &c, err
}

// userMark changes when the user's password or the client's secret does, or when their tokens are revoked, and
// does not tell it.
func (a *Auth) userMark(user *store.User, client *store.Client) string {
	return a.mark(user.GUID, user.PasswordHash, user.TokenSalt, a.clientMark(client))
}

func (a *Auth) clientMark(c *store.Client) string { return a.mark(c.GUID, c.SecretHash, c.TokenSalt) }

func (a *Auth) mark(parts ...string) string {
	return hex.EncodeToString(a.mac(append([]string{"mark"}, parts...)...)[:8])
}

// sealSession makes the refresh token of a session.
func (a *Auth) sealSession(session string) string { return a.seal("refresh", session) }

// openSession is the session of a refresh token, or the empty string.
func (a *Auth) openSession(token string) string { return a.unseal("refresh", token) }

// seal puts a keyed hash behind a text, so that nobody else can make it; unseal returns the text, or nothing.
func (a *Auth) seal(purpose, text string) string {
	return text + "." + base64.RawURLEncoding.EncodeToString(a.mac(purpose, text))
}

func (a *Auth) unseal(purpose, sealed string) string {
	dot := strings.LastIndexByte(sealed, '.')
	if dot < 0 || len(sealed) > tokenMax || !hmac.Equal([]byte(sealed), []byte(a.seal(purpose, sealed[:dot]))) {
		return ""
	}
	return sealed[:dot]
}

func (a *Auth) mac(parts ...string) []byte {
	m := hmac.New(sha256.New, a.refresh)
	m.Write([]byte(strings.Join(parts, "\x00")))
	return m.Sum(nil)
}

// startSession makes room for a session of a user and makes it. Without a client it is a browser's.
func (a *Auth) startSession(user *store.User, clientID string, lasts time.Duration, scopes []string) (session string, err error) {
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
		rec := &store.RefreshToken{UserGUID: user.GUID, ClientID: clientID, Scopes: scopes, ExpiresAt: a.now().Add(lasts)}
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
	have := heldScopes(user)
	wanted := splitScopes(asked)
	return slices.DeleteFunc(have, func(s string) bool {
		return !slices.Contains(client.Scopes, s) || (len(wanted) > 0 && !slices.Contains(wanted, s))
	})
}
