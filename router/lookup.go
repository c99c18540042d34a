package router

import (
	"hash/maphash"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// lookup is a Table made ready for serving. It is never changed once it is published; an edit makes the next one.
type lookup struct {
	exact  hosts          // by host
	wild   hosts          // by the name below which the host must lie: "*.example.com" is at "example.com"
	tcp    map[int]*route // by port
	wilds  int            // hosts in wild
	routes int
	// guarded is how many routes are for callers that prove who they are.
	guarded int
}

// hostParts is how many maps share the hosts between them, so that a change copies one small map, not all.
const hostParts = 512

// hosts finds the site of a host.
type hosts [hostParts]map[string]*site

var hostSeed = maphash.MakeSeed()

func hostPart(name string) uint64 { return maphash.String(hostSeed, name) % hostParts }

func (h *hosts) get(name string) *site { return h[hostPart(name)][name] }

// site is all routes of one host.
type site struct {
	all   []*route          // in the order of their coming
	root  *route            // the route without a path, or nil
	paths map[string]*route // the others, by path
	// deepest and longest bound the work for one request, however long its path: no path of the map has
	// more segments or bytes.
	deepest, longest int
	guarded          bool // a route of it has callers
}

// route is a Route made ready for serving.
type route struct {
	name      Name
	path      string // Name.Path without slashes at its end
	appGUID   string
	app       *appRecord // of appGUID
	handler   http.Handler
	pool      pool
	allowHTTP bool
	service   *url.URL   // that requests go through; nil: none
	admits    *admission // who may use it; nil: everybody
}

// match finds the route for host and path, which are as normalHost and routePath make them: the exact
// host before wildcards, the longest wildcard before shorter ones, and within a host the longest path. A
// host without a route for the path does not hide the wildcard above it.
func (l *lookup) match(host, path string) *route {
	if s := l.exact.get(host); s != nil {
		if r := s.match(path); r != nil {
			return r
		}
	}
	if l.wilds == 0 {
		return nil
	}
	for i := 1; i < len(host); i++ { // from 1: a wildcard stands for at least one byte
		if host[i] != '.' {
			continue
		}
		if s := l.wild.get(host[i+1:]); s != nil {
			if r := s.match(path); r != nil {
				return r
			}
		}
	}
	return nil
}

// Routed reports whether the table has a route of the host, or of a wildcard above it. It is quick.
func (rt *Router) Routed(host string) bool {
	name, ok := serverName(host)
	if !ok {
		return false
	}
	l := rt.lookup.Load()
	if l.exact.get(name) != nil {
		return true
	}
	for i := 1; l.wilds > 0 && i < len(name); i++ {
		if name[i] == '.' && l.wild.get(name[i+1:]) != nil {
			return true
		}
	}
	return false
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

// every yields all routes.
func (l *lookup) every() iter.Seq[*route] {
	return func(yield func(*route) bool) {
		for _, h := range []*hosts{&l.exact, &l.wild} {
			for _, part := range h {
				for _, s := range part {
					for _, r := range s.all {
						if !yield(r) {
							return
						}
					}
				}
			}
		}
		for _, r := range l.tcp {
			if !yield(r) {
				return
			}
		}
	}
}

// edit makes the next lookup from one that is in use: what it changes is copied before, once.
type edit struct {
	next  *lookup
	parts map[*map[string]*site]bool // of next, that are its own
	sites map[*site]bool             // of next, that are its own
	tcp   bool                       // next.tcp is its own
}

func newEdit(from *lookup) *edit {
	next := *from
	return &edit{next: &next, parts: map[*map[string]*site]bool{}, sites: map[*site]bool{}}
}

// site returns the site of a host for changing, and where it is kept; nil if there is none and none is to be made.
func (e *edit) site(host string, create bool) *site {
	in := &e.next.exact
	below, wild := strings.CutPrefix(host, "*.")
	if wild {
		in, host = &e.next.wild, below
	}
	part := &in[hostPart(host)]
	old := (*part)[host]
	if old == nil && !create || old != nil && e.sites[old] {
		return old
	}
	if !e.parts[part] {
		if *part = maps.Clone(*part); *part == nil {
			*part = map[string]*site{}
		}
		e.parts[part] = true
	}
	s := &site{}
	if old != nil {
		s.all = slices.Clone(old.all)
	} else if wild {
		e.next.wilds++
	}
	(*part)[host] = s
	e.sites[s] = true
	return s
}

// remove takes a route out and returns it, or nil if there is none of that name.
func (e *edit) remove(n Name) *route {
	if n.Port != 0 {
		old := e.next.tcp[n.Port]
		if old != nil {
			delete(e.ports(), n.Port)
			e.next.routes--
		}
		return old
	}
	s := e.site(n.Host, false)
	if s == nil {
		return nil
	}
	at := slices.IndexFunc(s.all, func(r *route) bool { return r.name == n })
	if at < 0 {
		return nil
	}
	old := s.all[at]
	s.all = slices.Delete(s.all, at, at+1)
	e.next.routes--
	if old.admits != nil {
		e.next.guarded--
	}
	return old
}

// add puts a route in; there is none of its name.
func (e *edit) add(r *route) {
	e.next.routes++
	if r.name.Port != 0 {
		e.ports()[r.name.Port] = r
		return
	}
	if r.admits != nil {
		e.next.guarded++
	}
	s := e.site(r.name.Host, true)
	s.all = append(s.all, r)
}

func (e *edit) ports() map[int]*route {
	if !e.tcp {
		if e.next.tcp = maps.Clone(e.next.tcp); e.next.tcp == nil {
			e.next.tcp = map[int]*route{}
		}
		e.tcp = true
	}
	return e.next.tcp
}

// done makes the changed sites ready and returns the lookup.
func (e *edit) done() *lookup {
	for part := range e.parts {
		for host, s := range *part {
			if !e.sites[s] {
				continue
			}
			if len(s.all) > 0 {
				s.index()
				continue
			}
			delete(*part, host)
			if e.isWild(part) {
				e.next.wilds--
			}
		}
	}
	return e.next
}

func (e *edit) isWild(part *map[string]*site) bool {
	for i := range e.next.wild {
		if part == &e.next.wild[i] {
			return true
		}
	}
	return false
}

// index sorts the routes of a site by path. A slash at the end means nothing, but "/x" goes before "/x/" and "/x//": an
// owner of the one must not be able to take the other's place.
func (s *site) index() {
	s.root, s.paths, s.deepest, s.longest = nil, nil, 0, 0
	s.guarded = slices.ContainsFunc(s.all, func(r *route) bool { return r.admits != nil })
	for _, r := range s.all {
		if r.path == r.name.Path {
			s.put(r)
		}
	}
	for _, r := range s.all {
		if r.path != r.name.Path {
			s.put(r)
		}
	}
}

// put puts r where its path belongs, unless another is there.
func (s *site) put(r *route) {
	if r.path == "" {
		if s.root == nil {
			s.root = r
		}
		return
	}
	if s.paths[r.path] != nil {
		return
	}
	if s.paths == nil {
		s.paths = make(map[string]*route, 1)
	}
	s.paths[r.path] = r
	s.deepest = max(s.deepest, strings.Count(r.path, "/"))
	s.longest = max(s.longest, len(r.path))
}
