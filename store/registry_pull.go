package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// pullLife is how long a pull token is good: longer than any workload waits for its image, and much longer than who
// has one waits for the next.
const pullLife = 48 * time.Hour

// pullTokens are passwords of PullUser that end by themselves. Nothing is kept of them: each says when it ends, and
// is signed. The key is a new one in each process, so that a restart ends them all.
type pullTokens struct{ key []byte }

func newPullTokens() pullTokens {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return pullTokens{key}
}

func (p pullTokens) make(now time.Time) string {
	end := strconv.FormatInt(now.Add(pullLife).Unix(), 10)
	return end + "." + p.sign(end)
}

func (p pullTokens) sign(end string) string {
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(end))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (p pullTokens) good(token string, now time.Time) bool {
	end, signature, _ := strings.Cut(token, ".")
	if !hmac.Equal([]byte(signature), []byte(p.sign(end))) {
		return false
	}
	at, err := strconv.ParseInt(end, 10, 64)
	return err == nil && now.Unix() < at
}

// PullToken makes a password with which PullUser reads images for two days, as long as this registry is open.
func (r *Registry) PullToken() string { return r.pulls.make(time.Now()) }
