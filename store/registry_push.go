package store

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
)

// PushUser is the registry's user that writes into one repository for as long as a build takes.
const PushUser = "cupola-push"

// pushTokens are its passwords, each for one repository. They are kept in memory alone: a restart ends them all.
type pushTokens struct {
	mu     sync.Mutex
	tokens map[string]string // repository by password
}

// PushToken makes a password with which PushUser reads images, and writes those of one repository, until revoke is called.
func (r *Registry) PushToken(repository string) (token string, revoke func()) {
	token = rand.Text()
	p := &r.pushes
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == nil {
		p.tokens = map[string]string{}
	}
	p.tokens[token] = repository
	return token, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.tokens, token)
	}
}

// allows reports whether the password is good for a request. All are compared, so that the time tells nothing.
func (p *pushTokens) allows(password string, req *http.Request) bool {
	repository, known := "", 0
	p.mu.Lock()
	for token, repo := range p.tokens {
		if subtle.ConstantTimeCompare([]byte(token), []byte(password)) == 1 {
			repository, known = repo, 1
		}
	}
	p.mu.Unlock()
	if known == 0 {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodDelete: // of an upload that is given up; images are not deleted
		return strings.HasPrefix(req.URL.Path, "/v2/"+repository+"/blobs/uploads/")
	}
	rest, inside := strings.CutPrefix(req.URL.Path, "/v2/"+repository+"/")
	return inside && (strings.HasPrefix(rest, "blobs/uploads/") || strings.HasPrefix(rest, "manifests/")) && !strings.Contains(rest, "..")
}
