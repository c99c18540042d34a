package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Machines that joined answer their containers with the controller's names: they ask for them, with what they have, and are
// answered when there are others. What they heard last goes on to hold while the controller is away.

// Path is where the controller's door tells the names.
const Path = "/v1/names"

const (
	followWait = 30 * time.Second
	retryMin   = time.Second
	retryMax   = 30 * time.Second
	maxNames   = 64 << 20 // bytes of all names
)

// told are names on their way.
type told struct {
	Version string                   `json:"version"`
	Domains []string                 `json:"domains"`
	Routes  map[string][]toldBackend `json:"routes"`
}

type toldBackend struct {
	Index   int        `json:"index"`
	Address netip.Addr `json:"address"`
}

// tell puts names into words, once for all machines that ask; the same names have the same version.
func (n *names) tell() (version string, text []byte) {
	n.once.Do(func() {
		t := told{Domains: n.domains, Routes: map[string][]toldBackend{}}
		for name, all := range n.routes {
			t.Routes[name] = []toldBackend{}
			for _, b := range all {
				t.Routes[name] = append(t.Routes[name], toldBackend{b.index, b.address})
			}
		}
		text, _ := json.Marshal(t) // of strings and numbers; maps come sorted
		sum := sha256.Sum256(text)
		t.Version = hex.EncodeToString(sum[:8])
		n.version = t.Version
		n.text, _ = json.Marshal(t)
	})
	return n.version, n.text
}

func (t told) names() *names {
	n := &names{domains: t.Domains, routes: map[string][]backend{}}
	for name, all := range t.Routes {
		n.routes[name] = []backend{}
		for _, b := range all {
			n.routes[name] = append(n.routes[name], backend{b.Index, b.Address})
		}
	}
	return n
}

// Handler tells the names of apps, when they are others than ?seen or after a while. Its caller has seen who asks.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(followWait)
		defer timer.Stop()
		for waiting := true; ; {
			s.mu.Lock()
			news := s.newsLocked()
			s.mu.Unlock()
			n := s.current.Load()
			if n == nil {
				http.Error(w, "the names are not read yet", http.StatusServiceUnavailable)
				return
			}
			version, text := n.tell()
			if version != r.URL.Query().Get("seen") || !waiting {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(text) // who has left needs no answer
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-timer.C:
				waiting = false
			case <-news:
			}
		}
	})
}

func (s *Server) newsLocked() <-chan struct{} {
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return s.news
}

// take makes names those of this moment.
func (s *Server) take(n *names) {
	s.current.Store(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// Source tells names that are others than those of the version seen, or the same after a while.
type Source func(ctx context.Context, seen string) (*told, error)

// Follow asks the handler at an URL.
func Follow(client *http.Client, at string) Source {
	return func(ctx context.Context, seen string) (*told, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*followWait)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"?seen="+url.QueryEscape(seen), nil)
		if err != nil {
			return nil, err
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the controller answered with status %d", res.StatusCode)
		}
		t := &told{}
		return t, json.NewDecoder(io.LimitReader(res.Body, maxNames)).Decode(t)
	}
}

// follow takes names from the source until ctx ends.
func (s *Server) follow(ctx context.Context) {
	seen, pause, warned := "", retryMin, false
	for ctx.Err() == nil {
		t, err := s.Source(ctx, seen)
		if err == nil {
			if t.Version != seen {
				s.take(t.names())
			}
			seen, pause, warned = t.Version, retryMin, false
			continue
		}
		if !warned && ctx.Err() == nil {
			s.Log.Warn("the names of apps are not heard; those that were heard last hold", "error", err)
			warned = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMax)
	}
}
