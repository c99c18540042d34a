package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) domainCommands() []*cli.Command {
	policies := []cli.Flag{
		&cli.BoolFlag{Name: "enforce-route-policies", Usage: "only apps that route policies name may use its routes (see add-route-policy)"},
		&cli.StringFlag{Name: "scope", Usage: "`SCOPE` that such apps must be in, whatever policies say: any, org or space (of the route)"},
	}
	share := "/v3/domains/:guid/relationships/shared_organizations"
	return []*cli.Command{
		k.command(spec{name: "domains", category: routeCategory, summary: "list the domains that routes can have",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: anOrg, run: domains, api: []string{"GET /v3/organizations/:guid/domains", "routing GET /v1/router_groups"}}),
		k.command(spec{name: "create-private-domain", aliases: []string{"create-domain"}, category: routeCategory, summary: "make a domain for one org", args: "ORG NEW_DOMAIN", min: 2, max: 2,
			flags: policies, need: aLogin, run: createPrivateDomain, api: []string{"GET /v3/organizations", "POST /v3/domains"}}),
		k.command(spec{name: "delete-private-domain", aliases: []string{"delete-domain"}, category: routeCategory, summary: "delete a domain of an org with its routes", args: "DOMAIN", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, run: deleteDomain(false), api: []string{"GET /v3/domains", "DELETE /v3/domains/:guid"}}),
		k.command(spec{name: "create-shared-domain", category: routeCategory, summary: "make a domain for all orgs", args: "NEW_DOMAIN", min: 1, max: 1,
			examples: []string{"cupola create-shared-domain example.com", "cupola create-shared-domain tcp.example.com --router-group default-tcp", "cupola create-shared-domain apps.internal --internal",
				"cupola create-shared-domain apps.identity --enforce-route-policies --scope org"},
			flags: append([]cli.Flag{&cli.StringFlag{Name: "router-group", Usage: "`NAME` of the router group for TCP routes"},
				&cli.BoolFlag{Name: "internal", Usage: "its routes lead from app to app, and not from outside"}}, policies...),
			need: aLogin, run: createSharedDomain, api: []string{"POST /v3/domains", "routing GET /v1/router_groups"}}),
		k.command(spec{name: "delete-shared-domain", category: routeCategory, summary: "delete a domain of all orgs with its routes", args: "DOMAIN", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, run: deleteDomain(true), api: []string{"GET /v3/domains", "DELETE /v3/domains/:guid"}}),
		k.command(spec{name: "share-private-domain", category: routeCategory, summary: "let another org use a private domain", args: "ORG DOMAIN", min: 2, max: 2,
			need: aLogin, run: shareDomain, api: []string{"GET /v3/organizations", "GET /v3/domains", "POST " + share}}),
		k.command(spec{name: "unshare-private-domain", category: routeCategory, summary: "no longer let another org use a private domain", args: "ORG DOMAIN", min: 2, max: 2,
			flags: []cli.Flag{forceFlag}, need: aLogin, run: unshareDomain, api: []string{"GET /v3/organizations", "GET /v3/domains", "DELETE " + share + "/:guid"}}),
		k.command(spec{name: "router-groups", category: routeCategory, summary: "list the router groups, which TCP domains belong to", need: aLogin, run: routerGroups,
			api: []string{"routing GET /v1/router_groups"}}),
	}
}

func domains(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.Domain](ctx, s.client, "/v3/organizations/"+s.cfg.Org.GUID+"/domains", labelled(c, nil))
	if err != nil {
		return err
	}
	groups, err := s.routerGroupNames(ctx, all)
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no domain yet.", []string{"name", "availability", "internal", "protocols", "router group", "route policies"}, func(d capi.Domain) []string {
		availability := "shared"
		if d.Relationships.Organization.GUID() != "" {
			availability = "private"
		}
		internal, group, policies := "", "", ""
		if d.EnforceRoutePolicies {
			policies = "enforced (" + d.RoutePoliciesScope + ")"
		}
		if d.Internal {
			internal = "true"
		}
		if d.RouterGroup != nil {
			group = groups[d.RouterGroup.GUID]
		}
		return []string{s.ui.Name(d.Name), availability, internal, strings.Join(d.SupportedProtocols, ","), group, policies}
	})
}

// routerGroupNames asks the routing service only when a domain has a router group.
func (s *session) routerGroupNames(ctx context.Context, all []capi.Domain) (map[string]string, error) {
	names := map[string]string{}
	for _, d := range all {
		if d.RouterGroup == nil {
			continue
		}
		groups, err := s.client.RouterGroups(ctx, "")
		for _, g := range groups {
			names[g.GUID] = g.Name
		}
		return names, err
	}
	return names, nil
}

func createPrivateDomain(ctx context.Context, s *session, c *cli.Context) error {
	org, err := s.org(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	name := c.Args().Get(1)
	in := capi.DomainCreate{Name: name, Relationships: &capi.DomainCreateRelationships{Organization: capi.To(org.GUID)}}
	if err := enforcePolicies(c, &in); err != nil {
		return err
	}
	return s.create(ctx, domainKind, name, in)
}

// enforcePolicies brings the flags about route policies into a request.
func enforcePolicies(c *cli.Context, in *capi.DomainCreate) error {
	enforce, scope := c.Bool("enforce-route-policies"), c.String("scope")
	switch {
	case !enforce && scope == "":
		return nil
	case !enforce:
		return badUsage("--scope needs --enforce-route-policies beside it")
	case !slices.Contains([]string{"any", "org", "space"}, scope):
		return badUsage("--enforce-route-policies needs --scope any, org or space")
	}
	in.EnforceRoutePolicies, in.RoutePoliciesScope = &enforce, &scope
	return nil
}

func createSharedDomain(ctx context.Context, s *session, c *cli.Context) error {
	name, group := c.Args().First(), c.String("router-group")
	in := capi.DomainCreate{Name: name}
	if err := enforcePolicies(c, &in); err != nil {
		return err
	}
	switch {
	case c.Bool("internal") && group != "":
		return badUsage("--internal and --router-group exclude each other")
	case c.Bool("internal"):
		internal := true
		in.Internal = &internal
	case group != "":
		found, err := s.client.RouterGroups(ctx, group)
		if err != nil && !notFound(err) && !errors.Is(err, capi.UnknownRequest) {
			return err
		}
		if len(found) == 0 {
			return withHint(fmt.Errorf("there is no router group %s", quote(group)), "see: cupola router-groups")
		}
		in.RouterGroup = &capi.GUID{GUID: found[0].GUID}
	}
	return s.create(ctx, domainKind, name, in)
}

func deleteDomain(shared bool) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		name := c.Args().First()
		domain, err := s.client.DomainByName(ctx, name)
		if notFound(err) {
			s.ui.Notef("There is no domain %s.", quote(name))
			return nil
		}
		if err != nil {
			return err
		}
		question := "Delete domain " + quote(name) + " with its routes?"
		switch isShared := domain.Relationships.Organization.GUID() == ""; {
		case isShared && !shared:
			return withHint(fmt.Errorf("domain %s is for all orgs", quote(name)), "delete it with: cupola delete-shared-domain %s", name)
		case !isShared && shared:
			return withHint(fmt.Errorf("domain %s is an org's own", quote(name)), "delete it with: cupola delete-private-domain %s", name)
		case shared:
			question = "Delete domain " + quote(name) + ", which all orgs can use, with its routes?"
		}
		return s.deleteAt(ctx, c, domainKind, name, domainKind.path+"/"+domain.GUID, question)
	}
}

// orgAndDomain are the arguments ORG DOMAIN.
func (s *session) orgAndDomain(ctx context.Context, c *cli.Context) (*capi.Organization, *capi.Domain, error) {
	org, err := s.org(ctx, c.Args().Get(0))
	if err != nil {
		return nil, nil, err
	}
	domain, err := find[capi.Domain](ctx, s, domainKind, c.Args().Get(1), nil)
	return org, domain, err
}

func shareDomain(ctx context.Context, s *session, c *cli.Context) error {
	org, domain, err := s.orgAndDomain(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, domainKind.path+"/"+domain.GUID+"/relationships/shared_organizations", org.GUID); err != nil {
		return err
	}
	s.ui.Notef("Org %s may use domain %s.", s.ui.Name(org.Name), s.ui.Name(domain.Name))
	return nil
}

func unshareDomain(ctx context.Context, s *session, c *cli.Context) error {
	org, domain, err := s.orgAndDomain(ctx, c)
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Take domain %s from org %s?", quote(domain.Name), quote(org.Name)); !ok {
		return err
	}
	if err := s.client.Delete(ctx, domainKind.path+"/"+domain.GUID+"/relationships/shared_organizations/"+org.GUID); err != nil {
		return err
	}
	s.ui.Notef("Org %s may no longer use domain %s.", s.ui.Name(org.Name), s.ui.Name(domain.Name))
	return nil
}

func routerGroups(ctx context.Context, s *session, c *cli.Context) error {
	all, err := s.client.RouterGroups(ctx, "")
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no router group.", []string{"name", "type", "ports"}, func(g capi.RouterGroup) []string {
		return []string{s.ui.Name(g.Name), g.Type, g.ReservablePorts}
	})
}
