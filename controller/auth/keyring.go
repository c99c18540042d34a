package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/store"
)

const (
	keysSetting = "uaa.signing_keys"
	keyBits     = 2048
	keyLife     = 180 * 24 * time.Hour // then a successor signs
	keyKept     = 48 * time.Hour       // after the successor came: longer than any access token lasts
)

// keyring holds the keys that access tokens are signed with: the last one signs, the others still verify.
type keyring struct {
	db  *store.DB
	now func() time.Time

	mu   sync.Mutex // guards keys; held while a successor is made
	keys []signingKey
}

type signingKey struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	PKCS8     []byte    `json:"pkcs8"`

	key *rsa.PrivateKey
}

func openKeyring(db *store.DB, now func() time.Time) (*keyring, error) {
	k := &keyring{db: db, now: now}
	err := db.View(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, keysSetting)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return k.decode(s.Value)
	})
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	_, err = k.signer()
	return k, err
}

func (k *keyring) decode(raw []byte) error {
	if err := json.Unmarshal(raw, &k.keys); err != nil {
		return err
	}
	for i := range k.keys {
		parsed, err := x509.ParsePKCS8PrivateKey(k.keys[i].PKCS8)
		if err != nil {
			return err
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return fmt.Errorf("key %s is not an RSA key", k.keys[i].ID)
		}
		k.keys[i].key = key
	}
	return nil
}

// signer is the key that signs now; it makes one when there is none or it has served its time.
func (k *keyring) signer() (signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if n := len(k.keys); n > 0 && now.Sub(k.keys[n-1].CreatedAt) < keyLife {
		return k.keys[n-1], nil
	}
	next, err := newSigningKey(now)
	if err != nil {
		return next, fmt.Errorf("make a signing key: %w", err)
	}
	keys := append(k.usableLocked(now), next)
	raw, err := json.Marshal(keys)
	if err != nil {
		return next, err
	}
	err = k.db.Update(func(tx *store.Tx) error {
		return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: keysSetting}, Value: raw})
	})
	if err != nil {
		return next, fmt.Errorf("keep the signing key: %w", err)
	}
	k.keys = keys
	return next, nil
}

// usableLocked are the keys whose tokens may still be about.
func (k *keyring) usableLocked(now time.Time) []signingKey {
	var usable []signingKey
	for i, key := range k.keys {
		if i == len(k.keys)-1 || now.Sub(k.keys[i+1].CreatedAt) < keyKept {
			usable = append(usable, key)
		}
	}
	return usable
}

// public is the key of that id, or nil.
func (k *keyring) public(id string) *rsa.PublicKey {
	for _, key := range k.all() {
		if key.ID == id {
			return &key.key.PublicKey
		}
	}
	return nil
}

func (k *keyring) all() []signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.usableLocked(k.now())
}

func newSigningKey(now time.Time) (signingKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return signingKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return signingKey{ID: "cupola-" + randomString(8), CreatedAt: now, PKCS8: der, key: key}, err
}

func publicPEM(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
