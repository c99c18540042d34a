package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// networkPolicyPath is where the network policy API v1 begins; GET / names it (contract, 3.8).
const networkPolicyPath = "/networking/v1/external"

const (
	// policiesMax is how many policies one app may be the source of, unless an operator adds them.
	policiesMax = 150
	// policiesBody is how many one request may carry.
	policiesBody = 2000
)

// badPolicy is how the network policy API tells of a request that is wrong.
var badPolicy = capi.Kind{Code: 10008, Title: "CF-InvalidNetworkPolicy", Status: http.StatusBadRequest}

var errPolicyAccess = capi.Kind{Code: 10003, Title: "CF-NotAuthorized", Status: http.StatusForbidden}.Errorf(
	"one or more applications cannot be found or accessed")

func (s *Server) networkPolicyRoutes() []Route {
	const all = networkPolicyPath + "/policies"
	scopes := []string{"network.write", "network.admin"}
	list := get(all, signedIn().alsoBy(scopes...), s.listPolicies)
	list.Query = []string{"id", "source_id", "dest_id"}
	return []Route{
		list,
		post(all, inBody().alsoBy(scopes...), s.createPolicies),
		post(all+"/delete", inBody().alsoBy(scopes...), s.deletePolicies),
	}
}

// policyError is the shape of this API's errors.
type policyError struct {
	Error string `json:"error"`
}

// isPolicyRequest says that errors have that shape.
func isPolicyRequest(r *http.Request) bool {
	return strings.HasPrefix(cleanPath(r.URL.Path), networkPolicyPath+"/")
}

// policyList is the answer to GET.
type policyList struct {
	Total    int                            `json:"total_policies"`
	Policies capi.Array[capi.NetworkPolicy] `json:"policies"`
}

// listPolicies shows the policies whose both apps the caller may see.
func (s *Server) listPolicies(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		seen := map[string]bool{}
		sees := func(app string) (bool, error) {
			if known, asked := seen[app]; asked {
				return known, nil
			}
			ok, err := c.maySeeApp(tx, app)
			seen[app] = ok
			return ok, err
		}
		out := policyList{Policies: capi.Array[capi.NetworkPolicy]{}}
		for p := range store.NetworkPolicies.All(tx) {
			if !c.wantsPolicy(p) {
				continue
			}
			from, err := sees(p.SourceAppGUID)
			if err != nil {
				return nil, err
			}
			to, err := sees(p.DestinationAppGUID)
			if err != nil {
				return nil, err
			}
			if from && to {
				out.Policies = append(out.Policies, presentPolicy(p))
			}
		}
		out.Total = len(out.Policies)
		return out, nil
	})
}

// maySeeApp reports whether the caller sees the app's space, or makes policies for everybody.
func (c *Ctx) maySeeApp(tx *store.Tx, app string) (bool, error) {
	place, err := placeOfApp(tx, app)
	if err != nil {
		return false, orElse(err, nil)
	}
	for _, a := range []Action{SeeSpace, Connect} {
		if ok, err := c.Can(tx, place, a); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// wantsPolicy compares with the filters: id is either end.
func (c *Ctx) wantsPolicy(p *store.NetworkPolicy) bool {
	for name, ends := range map[string][]string{
		"id": {p.SourceAppGUID, p.DestinationAppGUID}, "source_id": {p.SourceAppGUID}, "dest_id": {p.DestinationAppGUID},
	} {
		wanted, given := c.Filter.List(name)
		if given && !slices.ContainsFunc(ends, func(e string) bool { return slices.Contains(wanted, e) }) {
			return false
		}
	}
	return true
}

func presentPolicy(p *store.NetworkPolicy) capi.NetworkPolicy {
	return capi.NetworkPolicy{
		Source: capi.NetworkPolicySource{ID: p.SourceAppGUID},
		Destination: capi.NetworkPolicyDestination{
			ID: p.DestinationAppGUID, Protocol: p.Protocol, Ports: capi.NetworkPolicyPorts{Start: p.FirstPort, End: p.LastPort},
		},
	}
}

// severalMachines reports whether instances may run on more than one.
func (s *Server) severalMachines(ctx context.Context) (bool, error) {
	if s.nodes == nil {
		return false, nil
	}
	all, err := s.nodes.List(ctx)
	return len(all) > 1, err
}

// createPolicies adds what is not there yet. Datagrams are not carried between machines, so a policy that would hold for some
// instances alone, and for others after the next restart, is refused.
func (s *Server) createPolicies(c *Ctx) error {
	several, err := s.severalMachines(c.Context())
	if err != nil {
		return err
	}
	return c.changePolicies(func(tx *store.Tx, p *store.NetworkPolicy) error {
		if _, err := store.NetworkPolicies.Find(tx, "key", store.NetworkPolicyKey(p)); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if p.Protocol == "udp" && several {
			return badPolicy.Errorf("policies of UDP hold within one machine, and this platform has several: let the apps speak TCP, or run the destination beside the source as a sidecar")
		}
		n, err := store.NetworkPolicies.Count(tx, store.By("source", p.SourceAppGUID))
		if err != nil {
			return err
		}
		if n >= policiesMax && !c.everywhere(Connect) {
			return badPolicy.Errorf("policy quota exceeded: an app may be the source of %d policies", policiesMax)
		}
		return store.NetworkPolicies.Put(tx, p)
	})
}

// deletePolicies removes what is there.
func (s *Server) deletePolicies(c *Ctx) error {
	return c.changePolicies(func(tx *store.Tx, p *store.NetworkPolicy) error {
		have, err := store.NetworkPolicies.Find(tx, "key", store.NetworkPolicyKey(p))
		if err != nil {
			return orElse(err, nil)
		}
		return store.NetworkPolicies.Delete(tx, have.GUID)
	})
}

// changePolicies does one thing with each policy of the body, or nothing at all.
func (c *Ctx) changePolicies(do func(*store.Tx, *store.NetworkPolicy) error) error {
	wanted, err := c.decodePolicies()
	if err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		asked := map[string]bool{}
		for _, p := range wanted {
			for _, app := range []string{p.SourceAppGUID, p.DestinationAppGUID} {
				if asked[app] {
					continue
				}
				asked[app] = true
				place, err := placeOfApp(tx, app)
				if err != nil {
					return nil, orElse(err, errPolicyAccess)
				}
				if err := c.Allow(tx, place, "App", Connect, Connect); err != nil {
					return nil, policyAccess(err)
				}
			}
			if err := do(tx, p); err != nil {
				return nil, err
			}
		}
		return struct{}{}, nil
	})
}

// policyAccess does not tell an app that may not be seen from one that is not there.
func policyAccess(err error) error {
	var known *capi.Error
	if errors.As(err, &known) && known.Status == http.StatusNotFound {
		return errPolicyAccess
	}
	return err
}

func (c *Ctx) decodePolicies() ([]*store.NetworkPolicy, error) {
	var in capi.NetworkPolicies
	if err := c.decode(&in); err != nil {
		return nil, asBadPolicy(err)
	}
	switch {
	case len(in.Policies) == 0:
		return nil, badPolicy.Errorf("validate policies: missing policies")
	case len(in.Policies) > policiesBody:
		return nil, badPolicy.Errorf("validate policies: %d policies at most", policiesBody)
	}
	var out []*store.NetworkPolicy
	for _, p := range in.Policies {
		if problem := checkPolicy(p); problem != "" {
			return nil, badPolicy.Errorf("validate policies: %s", problem)
		}
		out = append(out, &store.NetworkPolicy{
			SourceAppGUID: p.Source.ID, DestinationAppGUID: p.Destination.ID, Protocol: p.Destination.Protocol,
			FirstPort: p.Destination.Ports.Start, LastPort: p.Destination.Ports.End,
		})
	}
	return out, nil
}

// asBadPolicy is 400 for what the other API would answer with 422.
func asBadPolicy(err error) error {
	var known *capi.Error
	if errors.As(err, &known) && known.Status == http.StatusUnprocessableEntity {
		return badPolicy.Errorf("validate policies: %s", known.Detail)
	}
	return err
}

func checkPolicy(p capi.NetworkPolicy) string {
	from, to := p.Destination.Ports.Start, p.Destination.Ports.End
	switch {
	case p.Source.ID == "":
		return "missing source id"
	case p.Destination.ID == "":
		return "missing destination id"
	case p.Destination.Protocol != "tcp" && p.Destination.Protocol != "udp":
		return "invalid destination protocol, specify either udp or tcp"
	case from < 1 || to > 65535 || from > to:
		return fmt.Sprintf("invalid destination port range %d-%d, must be 1-65535 and in order", from, to)
	}
	return ""
}
