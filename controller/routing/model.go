package routing

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// model is what the loop has made of the store so far.
type model struct {
	made     map[string]made          // by the GUID of the store's route
	owners   map[router.Name][]string // GUIDs of the routes that make a name, first the one that has it
	appOf    map[string]string        // of routable instances
	domains  map[string]domainFacts   // by GUID
	policies map[string]string        // of a route policy, the route
	sent     map[router.Name]string   // GUID of the route that the router has under a name
}

// made is a route as the router gets it. Two routes of the store can make one name: a host below a domain, and a domain
// of that name. The older one has it.
type made struct {
	router.Route
	created time.Time
}

// domainFacts is what a table needs to know of a domain.
type domainFacts struct {
	name     string
	internal bool
	scope    string // of the route policies that it enforces; empty: none
}

func newModel() *model {
	return &model{
		made: map[string]made{}, owners: map[router.Name][]string{}, appOf: map[string]string{},
		domains: map[string]domainFacts{}, policies: map[string]string{}, sent: map[router.Name]string{},
	}
}

// pass is one look at the store. It changes the model and remembers which names may have changed.
type pass struct {
	*model
	loop      *Loop
	taken     map[string]bool // names of the platform itself
	names     map[router.Name]bool
	altered   map[string]bool // routes that are not as they were
	instances map[processKey][]*store.Instance
	loaded    map[string]bool // apps whose instances are there; nil: all are
}

// processKey names the processes of one type of one app; during a deployment there are two of them.
type processKey struct{ app, processType string }

func (l *Loop) pass() *pass {
	p := &pass{
		model: l.model, loop: l, taken: map[string]bool{}, names: map[router.Name]bool{}, altered: map[string]bool{},
		instances: map[processKey][]*store.Instance{},
	}
	for _, r := range l.System {
		p.taken[r.Host] = true
	}
	return p
}

// all looks at every record.
func (p *pass) all(tx *store.Tx) error {
	clear(p.domains)
	clear(p.appOf)
	clear(p.policies)
	for d := range store.Domains.All(tx) {
		p.domains[d.GUID] = facts(d)
	}
	for policy := range store.RoutePolicies.All(tx) {
		p.policies[policy.GUID] = policy.RouteGUID
	}
	for i := range store.Instances.All(tx) {
		p.addInstance(i)
	}
	seen := make(map[string]bool, len(p.made))
	for r := range store.Routes.All(tx) {
		seen[r.GUID] = true
		if err := p.put(tx, r); err != nil {
			return err
		}
	}
	for guid := range p.made {
		if !seen[guid] {
			p.drop(guid)
		}
	}
	return nil
}

// some looks at what has changed and at the routes that it touches.
func (p *pass) some(tx *store.Tx, changes store.Changes) error {
	p.loaded = map[string]bool{}
	dirty := map[string]bool{}
	for guid := range changes.Of(store.Routes.Name()) {
		dirty[guid] = true
	}
	for guid := range changes.Of(store.Domains.Name()) {
		if err := p.domainChanged(tx, guid, dirty); err != nil {
			return err
		}
	}
	for guid := range changes.Of(store.RoutePolicies.Name()) {
		if err := p.policyChanged(tx, guid, dirty); err != nil {
			return err
		}
	}
	for guid := range changes.Of(store.Instances.Name()) {
		if err := p.instanceChanged(tx, guid, dirty); err != nil {
			return err
		}
	}
	for guid := range dirty {
		r, err := store.Routes.Get(tx, guid)
		switch {
		case errors.Is(err, store.ErrNotFound):
			p.drop(guid)
		case err != nil:
			return err
		default:
			if err := p.put(tx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// domainChanged marks the domain's routes when it matters to them.
func (p *pass) domainChanged(tx *store.Tx, guid string, dirty map[string]bool) error {
	d, err := store.Domains.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		delete(p.domains, guid)
		return nil // its routes went with it, and are among the changes
	}
	if err != nil {
		return err
	}
	if now := facts(d); p.domains[guid] != now {
		p.domains[guid] = now
		return p.mark(tx, "domain", guid, dirty)
	}
	return nil
}

// instanceChanged marks the routes of the instance's app, unless it could not be sent requests before and cannot now.
func (p *pass) instanceChanged(tx *store.Tx, guid string, dirty map[string]bool) error {
	before, was := p.appOf[guid]
	if was {
		if err := p.mark(tx, "app", before, dirty); err != nil {
			return err
		}
		delete(p.appOf, guid)
	}
	i, err := store.Instances.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) || err == nil && !routable(i) {
		return nil
	}
	if err != nil {
		return err
	}
	p.appOf[guid] = i.AppGUID
	return p.mark(tx, "app", i.AppGUID, dirty)
}

func (p *pass) mark(tx *store.Tx, index, value string, dirty map[string]bool) error {
	routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By(index, value)}})
	for _, r := range routes {
		dirty[r.GUID] = true
	}
	return err
}

// put makes what the router gets of r and notes whether it is another than before.
func (p *pass) put(tx *store.Tx, r *store.Route) error {
	next, ok, err := p.build(tx, r)
	if err != nil {
		return err
	}
	if !ok {
		p.drop(r.GUID)
		return nil
	}
	before, had := p.made[r.GUID]
	if had && same(&before.Route, &next) {
		return nil
	}
	if had && before.Name() != next.Name() {
		p.drop(r.GUID)
		had = false
	}
	p.made[r.GUID] = made{next, r.CreatedAt}
	p.names[next.Name()], p.altered[r.GUID] = true, true
	if !had {
		p.own(next.Name(), r.GUID)
	}
	return nil
}

func (p *pass) own(n router.Name, guid string) {
	owners := append(slices.Clone(p.owners[n]), guid)
	slices.SortFunc(owners, func(a, b string) int {
		return cmp.Or(p.made[a].created.Compare(p.made[b].created), cmp.Compare(a, b))
	})
	p.owners[n] = owners
}

func (p *pass) drop(guid string) {
	before, had := p.made[guid]
	if !had {
		return
	}
	n := before.Name()
	delete(p.made, guid)
	p.names[n] = true
	if p.owners[n] = slices.DeleteFunc(slices.Clone(p.owners[n]), func(g string) bool { return g == guid }); len(p.owners[n]) == 0 {
		delete(p.owners, n)
	}
}

// difference is what the router does not have yet, or still has. It takes it for sent.
func (p *pass) difference() (c router.Change) {
	for n := range p.names {
		owners, sent := p.owners[n], p.sent[n]
		switch {
		case len(owners) == 0 && sent != "":
			c.Remove = append(c.Remove, n)
			delete(p.sent, n)
		case len(owners) > 0 && (owners[0] != sent || p.altered[owners[0]]):
			c.Set = append(c.Set, p.made[owners[0]].Route)
			p.sent[n] = owners[0]
		}
	}
	return c
}

func facts(d *store.Domain) domainFacts {
	f := domainFacts{name: d.Name, internal: d.Internal}
	if d.EnforceRoutePolicies {
		f.scope = cmp.Or(d.RoutePoliciesScope, store.ScopeSpace)
	}
	return f
}

// same reports whether two routes of one origin are alike.
func same(a, b *router.Route) bool {
	return a.Name() == b.Name() && a.AppGUID == b.AppGUID && a.LoadBalancing == b.LoadBalancing &&
		a.ServiceURL == b.ServiceURL && a.HashHeader == b.HashHeader && a.HashBalance == b.HashBalance && slices.Equal(a.Endpoints, b.Endpoints) && sameAdmission(a.Admits, b.Admits)
}
