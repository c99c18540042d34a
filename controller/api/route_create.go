package api

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const pathBytes = 128

// hostGrammar is one label of RFC 1123 2.1, in lower case.
var hostGrammar = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validateHost returns the host in lower case; it is one DNS label, or * for all names below the domain.
func validateHost(host string) (string, error) {
	lower := strings.ToLower(host)
	if lower == "" || lower == "*" || hostGrammar.MatchString(lower) {
		return lower, nil
	}
	return "", errInvalid(fmt.Sprintf("Host '%s' is not valid: use 1 to 63 letters, digits and '-', beginning and ending with a letter or digit, or '*'", clip(host, 100)))
}

func validatePath(path string) error {
	switch {
	case path == "":
		return nil
	case path[0] != '/':
		return errInvalid("Path must begin with '/'")
	case path == "/":
		return errInvalid("Path must not be only '/'; leave it out instead")
	case len(path) > pathBytes:
		return errInvalid(fmt.Sprintf("Path must have %d characters at most", pathBytes))
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == '?' || r == '#' || r == 0x7f }):
		return errInvalid("Path must not have '?', '#', blanks or control characters")
	}
	return nil
}

func (s *Server) createRoute(c *Ctx) error {
	var in capi.RouteCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	spaceGUID, domainGUID := in.Relationships.Space.GUID(), in.Relationships.Domain.GUID()
	if spaceGUID == "" || domainGUID == "" {
		return errInvalid("Relationships Space and Domain can't be blank: name them as relationships.space.data.guid and relationships.domain.data.guid")
	}
	var shown capi.Route
	err := c.Update(func(tx *store.Tx) error {
		place, err := c.placeInBody(tx, spaceGUID, Operate)
		if err != nil {
			return err
		}
		domain, err := usableDomain(tx, place, domainGUID)
		if err != nil {
			return err
		}
		r := &store.Route{Host: in.Host, Path: in.Path, DomainGUID: domain.GUID, SpaceGUID: spaceGUID}
		if in.Port != nil {
			if r.Port = int(*in.Port); r.Port < 1 || r.Port > highestPort {
				return errInvalid("Port must be between 1 and 65535")
			}
		}
		if err := patchMetadata(&r.Meta, in.Metadata); err != nil {
			return err
		}
		options, err := mergeOptions(nil, in.Options)
		if err != nil {
			return err
		}
		if r.Options, err = c.checkOptions(tx, options); err != nil {
			return err
		}
		if err := s.addRoute(c, tx, place, domain, r); err != nil {
			return err
		}
		shown, err = s.routePresenter().present(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown)
}

// usableDomain returns a domain that routes of the place may use: a shared one, or one that its org has.
func usableDomain(tx *store.Tx, place Place, guid string) (*store.Domain, error) {
	d, err := store.Domains.Get(tx, guid)
	if err != nil {
		return nil, orElse(err, errInvalid("Invalid domain. Ensure that the domain exists and you have access to it."))
	}
	if d.OrgGUID == "" || d.OrgGUID == place.OrgGUID || slices.Contains(d.SharedOrgGUIDs, place.OrgGUID) {
		return d, nil
	}
	return nil, errInvalid("Invalid domain. Ensure that the domain exists and you have access to it.")
}

// addRoute checks a new route against its domain, the platform's own names, the quota and other routes, and writes it.
// Who gets all names below a shared domain gets the visitors of every host that is free, so only an administrator may make that route.
func (s *Server) addRoute(c *Ctx, tx *store.Tx, place Place, domain *store.Domain, r *store.Route) error {
	if err := c.needFlag(tx, "route_creation", true); err != nil {
		return err
	}
	if err := s.checkRouteName(domain, r); err != nil {
		return err
	}
	if r.Host == "*" && domain.OrgGUID == "" && !c.Admin() {
		return errInvalid("You do not have sufficient permissions to create a route with a wildcard host on a domain not scoped to an organization.")
	}
	tcp := domain.RouterGroupGUID != ""
	if err := s.checkFree(tx, domain, r); err != nil {
		return err
	}
	if err := checkRouteQuota(tx, place, tcp); err != nil {
		return err
	}
	if tcp {
		if err := choosePort(tx, domain, r); err != nil {
			return err
		}
	}
	if err := store.Routes.Put(tx, r); err != nil {
		if isConflict(err) {
			return routeExists(domain, r)
		}
		return err
	}
	return c.audit(tx, Event{Type: "audit.route.create", Target: routeTarget(tx, r), Place: place, Data: request(map[string]any{"host": r.Host, "path": r.Path, "port": r.Port, "domain": domain.Name})})
}

func (s *Server) checkRouteName(domain *store.Domain, r *store.Route) (err error) {
	if r.Host, err = validateHost(r.Host); err != nil {
		return err
	}
	if err := validatePath(r.Path); err != nil {
		return err
	}
	tcp := domain.RouterGroupGUID != ""
	switch {
	case !tcp && r.Port != 0:
		return errInvalid("Routes with protocol 'http' do not support ports.")
	case tcp && (r.Host != "" || r.Path != ""):
		return errInvalid("Routes with protocol 'tcp' do not support hosts or paths.")
	case !tcp && r.Host == "" && domain.OrgGUID == "":
		return errInvalid("Missing host. Routes in shared domains must have a host defined.")
	case domain.Internal && (r.Host == "*" || r.Path != ""):
		return errInvalid("Routes in internal domains cannot have wildcard hosts or paths.")
	}
	if name := strings.ToLower(appenv.RouteURL(&store.Route{Host: r.Host}, domain.Name)); s.system[name] {
		return errInvalid(fmt.Sprintf("Host '%s' on domain '%s' is reserved for the platform itself: choose another host", r.Host, domain.Name))
	}
	return nil
}

// checkFree says clearly when the route is there already, and whose it is as far as that may be told.
func (s *Server) checkFree(tx *store.Tx, domain *store.Domain, r *store.Route) error {
	old, err := findRoute(tx, domain, r)
	if err != nil || old == nil {
		return err
	}
	if old.SpaceGUID == r.SpaceGUID {
		return routeExists(domain, r)
	}
	return routeTaken(domain, r)
}

func routeTaken(domain *store.Domain, r *store.Route) error {
	return errInvalid(fmt.Sprintf("The route '%s' is taken by another space: choose another host or path", appenv.RouteURL(r, domain.Name)))
}

func findRoute(tx *store.Tx, domain *store.Domain, r *store.Route) (*store.Route, error) {
	key := strings.Join([]string{domain.GUID, strings.ToLower(r.Host), r.Path, strconv.Itoa(r.Port)}, "/")
	old, err := store.Routes.Find(tx, "key", key)
	if err != nil {
		return nil, orElse(err, nil)
	}
	return old, nil
}

// routeExists has the words that clients look for.
func routeExists(domain *store.Domain, r *store.Route) error {
	text := "Route already exists"
	switch {
	case r.Port != 0:
		text += fmt.Sprintf(" with port '%d'", r.Port)
	case r.Host != "" && r.Path != "":
		text += fmt.Sprintf(" with host '%s' and path '%s'", r.Host, r.Path)
	case r.Host != "":
		text += fmt.Sprintf(" with host '%s'", r.Host)
	case r.Path != "":
		text += fmt.Sprintf(" with path '%s'", r.Path)
	}
	return errInvalid(fmt.Sprintf("%s for domain '%s'.", text, domain.Name))
}

// getReservation says whether a route is taken, to anybody who is signed in: that is what it is for.
func (s *Server) getReservation(c *Ctx) error {
	q := c.R.URL.Query()
	var out capi.RouteReservation
	err := c.View(func(tx *store.Tx) error {
		domain, err := store.Domains.Get(tx, c.Path("guid"))
		if err != nil {
			return notFound(err, "Domain")
		}
		if err := c.seesDomain(tx, domain); err != nil {
			return err
		}
		r := &store.Route{Host: q.Get("host"), Path: q.Get("path")}
		r.Port, _ = strconv.Atoi(q.Get("port"))
		old, err := findRoute(tx, domain, r)
		out.MatchingRoute = old != nil
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// seesDomain lets everybody see a shared domain and those of an org see the org's.
func (c *Ctx) seesDomain(tx *store.Tx, d *store.Domain) error {
	if d.OrgGUID == "" {
		return nil
	}
	for _, org := range append([]string{d.OrgGUID}, d.SharedOrgGUIDs...) {
		if ok, err := c.Can(tx, Place{OrgGUID: org}, SeeDomains); ok || err != nil {
			return err
		}
	}
	return capi.NotFound("Domain")
}
