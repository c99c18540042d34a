package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// setRoutes maps what the manifest names. default-route and random-route do something only when the app has no route.
func (a *applier) setRoutes() error {
	if a.want.noRoute {
		if len(a.want.routes) > 0 {
			return errInvalid("Cannot use the combination of properties: no-route and routes")
		}
		return a.unmapAll()
	}
	for _, r := range a.want.routes {
		if err := a.mapURL(r); err != nil {
			return err
		}
	}
	if len(a.want.routes) > 0 || !a.want.random && !a.want.byDefault {
		return nil
	}
	n, err := store.Routes.Count(a.tx, store.By("app", a.app.GUID))
	if err != nil || n > 0 {
		return err
	}
	return a.mapOwnName()
}

func (a *applier) unmapAll() error {
	routes, _, err := store.Routes.List(a.tx, store.Query[store.Route]{Where: []store.Cond{store.By("app", a.app.GUID)}})
	if err != nil {
		return err
	}
	for _, r := range routes {
		for _, d := range r.Destinations {
			if d.AppGUID == a.app.GUID {
				if err := a.c.auditMapping(a.tx, r, d, "audit.app.unmap-route"); err != nil {
					return err
				}
			}
		}
	}
	if err := removeDestinations(a.tx, a.app.GUID); err != nil {
		return err
	}
	return each(a.tx, store.Processes, func(tx *store.Tx, p *store.Process) error { return syncPorts(tx, p.AppGUID, p.Type) }, store.By("app", a.app.GUID))
}

// mapURL finds or makes the route that the text names, and maps it.
func (a *applier) mapURL(want manifestRoute) error {
	domain, r, err := parseRouteURL(a.tx, a.place, want.url)
	if err != nil {
		return err
	}
	r.SpaceGUID = a.place.SpaceGUID
	if domain.RouterGroupGUID != "" && r.Port == 0 {
		return a.mapAnyPort(domain, r, want)
	}
	old, err := findRoute(a.tx, domain, r)
	if err != nil {
		return err
	}
	if old == nil {
		return a.makeRoute(domain, r, want)
	}
	if old.SpaceGUID != a.place.SpaceGUID && !slices.Contains(old.SharedSpaceGUIDs, a.place.SpaceGUID) {
		return routeTaken(domain, r)
	}
	return a.mapRoute(old, want)
}

// mapAnyPort maps a TCP route whose port the manifest leaves open: the app keeps the one that it has.
func (a *applier) mapAnyPort(domain *store.Domain, r *store.Route, want manifestRoute) error {
	have, _, err := store.Routes.List(a.tx, store.Query[store.Route]{
		Where: []store.Cond{store.By("app", a.app.GUID), store.By("domain", domain.GUID)}, Limit: 1,
	})
	switch {
	case err != nil:
		return err
	case len(have) > 0:
		return a.mapRoute(have[0], want)
	}
	return a.makeRoute(domain, r, want)
}

func (a *applier) makeRoute(domain *store.Domain, r *store.Route, want manifestRoute) error {
	if err := a.s.addRoute(a.c, a.tx, a.place, domain, r); err != nil {
		return err
	}
	return a.mapRoute(r, want)
}

func (a *applier) mapRoute(r *store.Route, want manifestRoute) error {
	before := len(r.Destinations)
	insert := capi.DestinationInsert{App: capi.DestinationInsertApp{GUID: a.app.GUID}, Protocol: want.protocol}
	if err := a.c.mapDestination(a.tx, r, insert); err != nil {
		return err
	}
	if want.options == nil && len(r.Destinations) == before {
		return nil
	}
	options, err := mergeOptions(r.Options, want.options)
	if err != nil {
		return err
	}
	if r.Options, err = a.c.checkOptions(a.tx, options); err != nil {
		return err
	}
	return firstOf(store.Routes.Put(a.tx, r), syncPortsOf(a.tx, r.Destinations...))
}

// parseRouteURL splits host.domain/path or domain:port by the longest domain that there is.
func parseRouteURL(tx *store.Tx, place Place, text string) (*store.Domain, *store.Route, error) {
	rest := text
	for _, scheme := range []string{"http://", "https://", "tcp://"} {
		rest = strings.TrimPrefix(rest, scheme)
	}
	r := &store.Route{}
	name, path, hasPath := strings.Cut(rest, "/")
	if hasPath && path != "" {
		r.Path = "/" + path
	}
	name, port, hasPort := strings.Cut(name, ":")
	if hasPort {
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, nil, errInvalid(fmt.Sprintf("The route '%s' is not a properly formed URL", clip(text, 200)))
		}
		r.Port = n
	}
	for host, domain := "", strings.ToLower(name); ; {
		d, err := store.Domains.Find(tx, "name", domain)
		if err == nil {
			r.Host, r.DomainGUID = host, d.GUID
			d, err = usableDomain(tx, place, d.GUID)
			return d, r, err
		}
		if orElse(err, nil) != nil {
			return nil, nil, err
		}
		label, tail, more := strings.Cut(domain, ".")
		if !more {
			return nil, nil, errInvalid(fmt.Sprintf("The route '%s' did not match any existing domains.", clip(text, 200)))
		}
		host, domain = strings.TrimPrefix(host+"."+label, "."), tail
	}
}

// mapOwnName gives the app a route made of its name, and for random-route two words, below the default domain.
func (a *applier) mapOwnName() error {
	domain, err := defaultDomain(a.tx, a.place)
	if err != nil {
		return err
	}
	host, err := hostOf(a.want.name)
	if err != nil {
		return err
	}
	r := &store.Route{Host: host, DomainGUID: domain.GUID, SpaceGUID: a.place.SpaceGUID}
	for try := 0; a.want.random && try < 10; try++ {
		r.Host = randomHost(host)
		if taken, err := findRoute(a.tx, domain, r); err != nil || taken == nil {
			return firstOf(err, a.makeRoute(domain, r, manifestRoute{}))
		}
	}
	old, err := findRoute(a.tx, domain, r)
	switch {
	case err != nil:
		return err
	case old == nil:
		return a.makeRoute(domain, r, manifestRoute{})
	case old.SpaceGUID != a.place.SpaceGUID:
		return errInvalid(fmt.Sprintf("%v; or set 'random-route: true', or name a route of your own", routeTaken(domain, r)))
	}
	return a.mapRoute(old, manifestRoute{})
}

// defaultDomain is the first shared domain, else the org's first own.
func defaultDomain(tx *store.Tx, place Place) (*store.Domain, error) {
	for _, org := range []string{"", place.OrgGUID} {
		found, _, err := store.Domains.List(tx, store.Query[store.Domain]{
			Where: []store.Cond{store.By("org", org)},
			Match: func(d *store.Domain) bool { return !d.Internal && d.RouterGroupGUID == "" },
			Limit: 1,
		})
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return nil, errInvalid("There is no domain for a default route: an administrator can make one with create-shared-domain")
}

// hostOf makes a host of an app's name: letters and digits stay, what is between them becomes '-'.
func hostOf(name string) (string, error) {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	host := strings.Join(words, "-")
	if !hostGrammar.MatchString(host) {
		return "", errInvalid(fmt.Sprintf("The name '%s' makes no host name (1 to 63 letters, digits and '-'): give the app a route, or 'no-route: true'", clip(name, 100)))
	}
	return host, nil
}

var (
	hostAdjectives = []string{"brave", "bright", "calm", "clever", "eager", "fancy", "gentle", "happy", "jolly", "keen", "kind", "lively", "lucky", "mellow", "noble", "proud", "quick", "quiet", "shiny", "smart", "sunny", "swift", "warm", "wise"}
	hostNouns      = []string{"badger", "bear", "beaver", "crane", "deer", "dove", "eagle", "falcon", "finch", "fox", "hare", "hawk", "heron", "ibex", "lark", "lynx", "marten", "otter", "owl", "raven", "seal", "stork", "swan", "wolf"}
)

func randomHost(host string) string {
	tail := "-" + hostAdjectives[rand.IntN(len(hostAdjectives))] + "-" + hostNouns[rand.IntN(len(hostNouns))] + "-" + strconv.FormatUint(uint64(rand.Uint32()%1296), 36)
	return strings.TrimRight(host[:min(len(host), 63-len(tail))], "-") + tail
}
