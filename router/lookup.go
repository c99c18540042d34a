package router

import (
	"net/http"
	"strings"
)

// lookup is a Table made ready for serving. It is never changed after compile.
type lookup struct {
	exact  map[string]*site // by host
	wild   map[string]*site // by the name below which the host must lie: "*.example.com" is at "example.com"
	routes int
}

// site is all routes of one host.
type site struct {
	root  *route            // the route without a path, or nil
	paths map[string]*route // the others, by path
	// deepest and longest bound the work for one request, however long its path: no path of the map has
	// more segments or bytes.
	deepest, longest int
}

// route is a Route made ready for serving.
type route struct {
	path      string
	appGUID   string
	handler   http.Handler
	pool      pool
	allowHTTP bool
}

// match finds the route for host and path, which are as normalHost and routePath make them: the exact
// host before wildcards, the longest wildcard before shorter ones, and within a host the longest path. A
// host without a route for the path does not hide the wildcard above it.
func (l *lookup) match(host, path string) *route {
	if s := l.exact[host]; s != nil {
		if r := s.match(path); r != nil {
			return r
		}
	}
	if len(l.wild) == 0 {
		return nil
	}
	for i := 1; i < len(host); i++ { // from 1: a wildcard stands for at least one byte
		if host[i] != '.' {
			continue
		}
		if s := l.wild[host[i+1:]]; s != nil {
			if r := s.match(path); r != nil {
				return r
			}
		}
	}
	return nil
}

func (s *site) match(path string) *route {
	if s.deepest == 0 || path == "" || path[0] != '/' {
		return s.root
	}
	p := firstSegments(path, s.deepest)
	for p != "" {
		if len(p) <= s.longest {
			if r := s.paths[p]; r != nil {
				return r
			}
		}
		p = p[:strings.LastIndexByte(p, '/')]
	}
	return s.root
}

// firstSegments cuts path after its n-th segment.
func firstSegments(path string, n int) string {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if n--; n == 0 {
			return path[:i]
		}
	}
	return path
}

// add puts r where its host and path belong. It reports false if another route is there.
func (l *lookup) add(host string, r *route) bool {
	sites := l.exact
	if below, ok := strings.CutPrefix(host, "*."); ok {
		sites, host = l.wild, below
	}
	s := sites[host]
	if s == nil {
		s = &site{}
		sites[host] = s
	}
	return s.add(r)
}

func (s *site) add(r *route) bool {
	if r.path == "" {
		if s.root != nil {
			return false
		}
		s.root = r
		return true
	}
	if s.paths[r.path] != nil {
		return false
	}
	if s.paths == nil {
		s.paths = make(map[string]*route, 1)
	}
	s.paths[r.path] = r
	s.deepest = max(s.deepest, strings.Count(r.path, "/"))
	s.longest = max(s.longest, len(r.path))
	return true
}
