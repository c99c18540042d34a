package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) domainRoutes() []Route {
	const one = "/v3/domains/{guid}"
	return []Route{
		index("/v3/domains", signedIn(), s.listDomains, "names", "organization_guids"),
		post("/v3/domains", inBody(), s.createDomain),
		get(one, signedIn(), s.getDomain),
		patch(one, inBody(), s.updateDomain),
		del(one, inBody(), s.deleteDomain),
		get(one+"/relationships/shared_organizations", signedIn(), s.getSharedOrgs),
		post(one+"/relationships/shared_organizations", inBody(), s.shareDomain),
		del(one+"/relationships/shared_organizations/{org}", inBody(), s.unshareDomain),
	}
}

// domainFor presents a domain and names, of the orgs that it is shared with, those that the caller may see.
func (s *Server) domainFor(c *Ctx) func(*store.Tx, *store.Domain) (capi.Domain, error) {
	return func(tx *store.Tx, d *store.Domain) (capi.Domain, error) {
		shared, err := c.seenOf(tx, d.SharedOrgGUIDs)
		out := s.presentDomain(d)
		out.Relationships.SharedOrganizations = capi.Many(shared...)
		out.Links["shared_organizations"] = s.link("/v3/domains/" + d.GUID + "/relationships/shared_organizations")
		return out, err
	}
}

// seenOf is the part of orgs that the caller may see.
func (c *Ctx) seenOf(tx *store.Tx, orgs []string) ([]string, error) {
	if len(orgs) == 0 {
		return nil, nil
	}
	visible, all, err := c.visibleOrgs(tx)
	if err != nil || all {
		return orgs, err
	}
	return slices.DeleteFunc(slices.Clone(orgs), func(g string) bool { return !slices.Contains(visible, g) }), nil
}

// usableBy reports whether an org may have routes under a domain.
func usableBy(d *store.Domain, orgGUID string) bool {
	return d.OrgGUID == "" || d.OrgGUID == orgGUID || slices.Contains(d.SharedOrgGUIDs, orgGUID)
}

// domainFilter lets the domains pass that the caller may see; nil: all.
func (c *Ctx) domainFilter(tx *store.Tx) (func(*store.Domain) bool, error) {
	orgs, all, err := c.orgsFor(tx, SeeDomains)
	if err != nil || all {
		return nil, err
	}
	return func(d *store.Domain) bool {
		return d.OrgGUID == "" || slices.ContainsFunc(orgs, func(o string) bool { return usableBy(d, o) })
	}, nil
}

func (s *Server) domainsPage(c *Ctx, tx *store.Tx, match func(*store.Domain) bool) (*page, error) {
	return answerList(c, tx, Listing[store.Domain, capi.Domain]{
		Table: store.Domains, Meta: func(d *store.Domain) *store.Meta { return &d.Meta },
		Where: c.filterBy(nil, "names", "name", "organization_guids", "org"), Match: match, Present: s.domainFor(c),
	})
}

func (s *Server) listDomains(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		match, err := c.domainFilter(tx)
		if err != nil {
			return nil, err
		}
		return s.domainsPage(c, tx, match)
	})
}

func (s *Server) listOrgDomains(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		seen, err := c.domainFilter(tx)
		if err != nil {
			return nil, err
		}
		return s.domainsPage(c, tx, func(d *store.Domain) bool { return usableBy(d, c.Path("guid")) && (seen == nil || seen(d)) })
	})
}

// getDefaultDomain is the domain that an org's apps get routes under.
func (s *Server) getDefaultDomain(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		d, err := defaultDomain(tx, c.place)
		if errors.Is(err, capi.UnprocessableEntity) {
			err = capi.NotFound("Domain")
		}
		if err == nil {
			err = c.seesDomain(tx, d)
		}
		if err != nil {
			return nil, err
		}
		return s.domainFor(c)(tx, d)
	})
}

// seenDomain is the domain of the path; one that the caller may not see is not found.
func (c *Ctx) seenDomain(tx *store.Tx) (*store.Domain, error) {
	d, err := store.Domains.Get(tx, c.Path("guid"))
	if err != nil {
		return nil, notFound(err, "Domain")
	}
	match, err := c.domainFilter(tx)
	if err != nil || match != nil && !match(d) {
		return nil, firstOf(err, capi.NotFound("Domain"))
	}
	return d, nil
}

// ownedDomain is the domain of the path for who may change it: operators, and of a private domain the managers of
// its org.
func (c *Ctx) ownedDomain(tx *store.Tx) (*store.Domain, error) {
	d, err := c.seenDomain(tx)
	if err != nil {
		return nil, err
	}
	if d.OrgGUID == "" {
		return d, c.allowPlatform(tx, "Domain")
	}
	ok, err := c.Can(tx, Place{OrgGUID: d.OrgGUID}, ManageOrg)
	if err != nil || !ok {
		return nil, firstOf(err, capi.Forbidden())
	}
	return d, c.Allow(tx, Place{OrgGUID: d.OrgGUID}, "Domain", SeeOrg, ManageOrg)
}

func (s *Server) getDomain(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		d, err := c.seenDomain(tx)
		if err != nil {
			return nil, err
		}
		return s.domainFor(c)(tx, d)
	})
}

func (s *Server) createDomain(c *Ctx) error {
	var in capi.DomainCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	d := &store.Domain{Name: strings.ToLower(in.Name), Internal: in.Internal != nil && *in.Internal}
	var sharedWith []string
	if rel := in.Relationships; rel != nil {
		d.OrgGUID, sharedWith = rel.Organization.GUID(), rel.SharedOrganizations.GUIDs()
	}
	if in.RouterGroup != nil {
		d.RouterGroupGUID = in.RouterGroup.GUID
	}
	if in.EnforceRoutePolicies != nil {
		d.EnforceRoutePolicies = *in.EnforceRoutePolicies
	}
	if in.RoutePoliciesScope != nil {
		d.RoutePoliciesScope = *in.RoutePoliciesScope
	}
	if err := validateDomain(d, in, sharedWith); err != nil {
		return err
	}
	if s.system[d.Name] {
		return errInvalid(fmt.Sprintf("The domain name \"%s\" is reserved for the platform itself", d.Name))
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		if err := c.allowNewDomain(tx, d); err != nil {
			return nil, err
		}
		if err := firstOf(checkRouterGroup(tx, in.RouterGroup), checkDomainQuota(tx, d), checkDomainOverlap(tx, d), patchMetadata(&d.Meta, in.Metadata)); err != nil {
			return nil, err
		}
		if err := c.shareWith(tx, d, sharedWith); err != nil {
			return nil, err
		}
		err := store.Domains.Put(tx, d)
		if isConflict(err) {
			return nil, errInvalid(fmt.Sprintf("The domain name \"%s\" is already in use", d.Name))
		}
		if err != nil {
			return nil, err
		}
		return s.domainFor(c)(tx, d)
	})
}

func (c *Ctx) allowNewDomain(tx *store.Tx, d *store.Domain) error {
	if d.OrgGUID == "" {
		return c.allowPlatform(tx, "Domain")
	}
	if err := c.needFlag(tx, "private_domain_creation", flagDefault("private_domain_creation")); err != nil {
		return err
	}
	_, err := c.orgInBody(tx, d.OrgGUID, ManageOrg)
	return err
}

func checkRouterGroup(tx *store.Tx, asked *capi.GUID) error {
	if asked == nil {
		return nil
	}
	_, err := store.RouterGroups.Get(tx, asked.GUID)
	return orElse(err, errInvalid(fmt.Sprintf("Router group with guid '%s' not found.", clip(asked.GUID, 100))))
}

var domainGrammar = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validateDomain checks what needs no store (RFC 1035 2.3.4, RFC 1123 2.1).
func validateDomain(d *store.Domain, in capi.DomainCreate, sharedWith []string) error {
	switch {
	case d.Name == "":
		return errInvalid("Name can't be blank")
	case len(d.Name) > 253:
		return errInvalid("Name is too long (maximum is 253 characters)")
	case !domainGrammar.MatchString(d.Name):
		return errInvalid(fmt.Sprintf("Name '%s' is not a domain name: write at least two parts of letters, digits and '-', such as apps.example.com", clip(d.Name, 100)))
	case in.RouterGroup != nil && d.Internal:
		return errInvalid("Internal domains cannot be associated to a router group.")
	case in.RouterGroup != nil && d.OrgGUID != "":
		return errInvalid("Domains scoped to an organization cannot be associated to a router group.")
	case d.Internal && d.OrgGUID != "":
		return errInvalid("Cannot associate an internal domain with an organization")
	case len(sharedWith) > 0 && d.OrgGUID == "":
		return errInvalid("Cannot be shared with organizations, when the domain is shared with all")
	}
	return validateDomainPolicies(d, in)
}

// validateDomainPolicies checks what says whether only apps that route policies name may use the domain's routes.
func validateDomainPolicies(d *store.Domain, in capi.DomainCreate) error {
	scopes := []string{store.ScopeAny, store.ScopeOrg, store.ScopeSpace}
	switch {
	case in.RoutePoliciesScope != nil && !slices.Contains(scopes, d.RoutePoliciesScope):
		return errInvalid("Route policies scope must be one of 'any', 'org', 'space'")
	case !d.EnforceRoutePolicies:
		return nil
	case d.Internal:
		return errInvalid("Internal domains cannot have route policy enforcement. Internal routes bypass the router.")
	case in.RouterGroup != nil:
		return errInvalid("Domains with a router group cannot have route policy enforcement. TCP routes do not support mTLS policy enforcement.")
	case d.RoutePoliciesScope == "":
		return errInvalid("Route policies scope is required when enforce_route_policies is true")
	}
	return nil
}

// checkDomainOverlap refuses names below a private domain of somebody else, and private ones above another domain that is not the
// org's own: their routes would shadow those of the other. A name below a shared domain, also an internal one, is for all to take,
// as in Cloud Controller.
func checkDomainOverlap(tx *store.Tx, d *store.Domain) error {
	for other := range store.Domains.All(tx) {
		taken := ""
		switch {
		case other.Name == d.Name:
			return errInvalid(fmt.Sprintf("The domain name \"%s\" is already in use", d.Name))
		case strings.HasSuffix(d.Name, "."+other.Name) && other.OrgGUID != "" && other.OrgGUID != d.OrgGUID,
			strings.HasSuffix(other.Name, "."+d.Name) && d.OrgGUID != "" && other.OrgGUID != d.OrgGUID:
			taken = other.Name
		}
		if taken != "" {
			return errInvalid(fmt.Sprintf("The domain name \"%s\" cannot be created because \"%s\" is already reserved by another domain", d.Name, taken))
		}
	}
	return hostTaken(tx, d)
}

// hostTaken refuses a domain that is the name of a route of another org.
func hostTaken(tx *store.Tx, d *store.Domain) error {
	host, parent, _ := strings.Cut(d.Name, ".")
	above, err := store.Domains.Find(tx, "name", parent)
	if err != nil {
		return orElse(err, nil)
	}
	return each(tx, store.Routes, func(tx *store.Tx, r *store.Route) error {
		place, err := placeOf(tx, r.SpaceGUID)
		if err == nil && place.OrgGUID != d.OrgGUID {
			err = errInvalid(fmt.Sprintf("The domain name \"%s\" cannot be created because a route of that name exists already", d.Name))
		}
		return err
	}, store.By("domain", above.GUID), store.By("host", host))
}

func checkDomainQuota(tx *store.Tx, d *store.Domain) error {
	if d.OrgGUID == "" {
		return nil
	}
	org, err := store.Orgs.Get(tx, d.OrgGUID)
	if err != nil || org.QuotaGUID == "" {
		return err
	}
	quota, err := store.OrgQuotas.Get(tx, org.QuotaGUID)
	if err != nil || quota.Domains == store.Unlimited {
		return orElse(err, nil)
	}
	have, err := store.Domains.Count(tx, store.By("org", org.GUID))
	if err == nil && have >= quota.Domains {
		err = errInvalid(fmt.Sprintf("The number of private domains exceeds the quota '%s' for organization '%s', which is %d", quota.Name, org.Name, quota.Domains))
	}
	return err
}

func (s *Server) updateDomain(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.change(http.StatusOK, func(tx *store.Tx) (any, error) {
		d, err := c.ownedDomain(tx)
		if err != nil {
			return nil, err
		}
		if err := firstOf(patchMetadata(&d.Meta, in.Metadata), store.Domains.Put(tx, d)); err != nil {
			return nil, err
		}
		return s.domainFor(c)(tx, d)
	})
}

func (s *Server) deleteDomain(c *Ctx) error {
	return c.remove("domain.delete", "domain", func(tx *store.Tx) error {
		d, err := c.ownedDomain(tx)
		if err != nil {
			return err
		}
		if len(d.SharedOrgGUIDs) > 0 {
			return errInvalid("This domain is shared with other organizations. Unshare before deleting.")
		}
		return firstOf(
			each(tx, store.Routes, func(tx *store.Tx, r *store.Route) error {
				place, err := placeOf(tx, r.SpaceGUID)
				return firstOf(err, c.audit(tx, Event{Type: "audit.route.delete-request", Target: store.Actor{GUID: r.GUID, Type: "route", Name: r.Host}, Place: place}))
			}, store.By("domain", d.GUID)),
			c.removeDomain(tx, d))
	})
}
