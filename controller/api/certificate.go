package api

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// hostsMost is how many hosts one request may ask for.
const hostsMost = 200

// Certificates tells of what the router shows to browsers.
type Certificates interface {
	// Certificate is that of a host that the platform serves.
	Certificate(ctx context.Context, host string) capi.Certificate
	// Certificates are those that public authorities gave or refused, and the platform's own authorities.
	Certificates(ctx context.Context) ([]capi.Certificate, error)
}

// certificateRoutes are Cupola's own.
func (s *Server) certificateRoutes() []Route {
	return []Route{index("/v3/certificates", signedIn(), s.listCertificates, "hosts", "states")}
}

// listCertificates shows the certificates of the hosts to which the caller sees routes; who sees what operators see,
// the platform's own too. The ones that end first come first.
func (s *Server) listCertificates(c *Ctx) error {
	hosts, asked := c.Filter.List("hosts")
	if len(hosts) > hostsMost {
		return errQuery("ask for at most 200 hosts at once")
	}
	if s.certificates == nil {
		return c.answer(func(*store.Tx) (any, error) { return pageOf(c, []capi.Certificate{}), nil })
	}
	var all []capi.Certificate
	if asked {
		for _, h := range hosts {
			all = append(all, capi.Certificate{Host: strings.ToLower(h)})
		}
	} else {
		var err error
		if all, err = s.certificates.Certificates(c.Context()); err != nil {
			return err
		}
	}
	err := c.View(func(tx *store.Tx) error {
		var shown []capi.Certificate
		for _, one := range all {
			ok, err := c.seesHost(tx, one)
			if err != nil {
				return err
			}
			if ok {
				shown = append(shown, one)
			}
		}
		all = shown
		return nil
	})
	if err != nil {
		return err
	}
	if asked {
		for i, one := range all {
			all[i] = s.certificates.Certificate(c.Context(), one.Host)
		}
	}
	if states, asked := c.Filter.List("states"); asked {
		all = slices.DeleteFunc(all, func(one capi.Certificate) bool { return !slices.Contains(states, one.State) })
	}
	slices.SortStableFunc(all, func(a, b capi.Certificate) int {
		return cmp.Or(endOf(a).Compare(endOf(b)), cmp.Compare(a.Host, b.Host))
	})
	return c.answer(func(*store.Tx) (any, error) { return pageOf(c, all), nil })
}

// endOf is when a certificate ends; those that are missing come first.
func endOf(one capi.Certificate) time.Time {
	if one.NotAfter == nil {
		return time.Time{}
	}
	return *one.NotAfter
}

// seesHost reports whether the platform serves the host and the caller may know.
func (c *Ctx) seesHost(tx *store.Tx, one capi.Certificate) (bool, error) {
	all := c.everywhere(AdminRead)
	if one.Authority {
		return all, nil
	}
	if all && c.s.system[one.Host] {
		return true, nil
	}
	label, domain, ok := strings.Cut(one.Host, ".")
	if found, err := c.seesRoute(tx, "", one.Host); err != nil || found {
		return found, err
	}
	for ok {
		for _, host := range []string{label, "*"} {
			if found, err := c.seesRoute(tx, host, domain); err != nil || found {
				return found, err
			}
		}
		var next string
		next, domain, ok = strings.Cut(domain, ".")
		label += "." + next
	}
	return false, nil
}

// seesRoute reports whether the caller sees a route of that host in that domain.
func (c *Ctx) seesRoute(tx *store.Tx, host, domain string) (bool, error) {
	d, err := store.Domains.Find(tx, "name", domain)
	if err != nil || d.Internal {
		return false, orElse(err, nil)
	}
	routes, _, err := store.Routes.List(tx, store.Query[store.Route]{Where: []store.Cond{store.By("domain", d.GUID), store.By("host", host)}})
	if err != nil {
		return false, err
	}
	for _, r := range routes {
		for _, space := range append([]string{r.SpaceGUID}, r.SharedSpaceGUIDs...) {
			place, err := placeOf(tx, space)
			if err != nil {
				return false, err
			}
			if ok, err := c.Can(tx, place, SeeRoutes); err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}
