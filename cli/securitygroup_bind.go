package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func globalSecurityGroups(phase string) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		all, err := capi.All[capi.SecurityGroup](ctx, s.client, securityGroupKind.path, capi.Filter{"globally_enabled_" + phase: {"true"}})
		if err != nil {
			return err
		}
		return list(s, c, all, "No security group counts for all apps while "+phase+".", []string{"name"}, func(g capi.SecurityGroup) []string { return []string{s.ui.Name(g.Name)} })
	}
}

func switchGlobal(phase string, on bool) func(context.Context, *session, *cli.Context) error {
	return func(ctx context.Context, s *session, c *cli.Context) error {
		name := c.Args().First()
		guid, err := s.guidOf(ctx, securityGroupKind, name, nil)
		if err != nil {
			return err
		}
		in := capi.SecurityGroupUpdate{GloballyEnabled: &capi.GloballyEnabledUpdate{Running: &on}}
		if phase == "staging" {
			in.GloballyEnabled = &capi.GloballyEnabledUpdate{Staging: &on}
		}
		words := "counts for all apps while " + phase
		if !on {
			words = "no longer " + words
		}
		return s.update(ctx, securityGroupKind.path+"/"+guid, in, "Security group %s %s.", s.ui.Name(name), words)
	}
}

// groupSpaces is the path of the spaces that a group is bound to in the phase of --lifecycle.
func (s *session) groupSpaces(ctx context.Context, c *cli.Context) (string, error) {
	phase := c.String("lifecycle")
	if phase != "running" && phase != "staging" {
		return "", badUsage("--lifecycle is running or staging, not %s", quote(phase))
	}
	guid, err := s.guidOf(ctx, securityGroupKind, c.Args().First(), nil)
	return securityGroupKind.path + "/" + guid + "/relationships/" + phase + "_spaces", err
}

func bindSecurityGroup(ctx context.Context, s *session, c *cli.Context) error {
	name := cmp.Or(c.String("space"), c.Args().Get(2))
	path, err := s.groupSpaces(ctx, c)
	if err != nil {
		return err
	}
	org, err := s.org(ctx, c.Args().Get(1))
	if err != nil {
		return err
	}
	filter := capi.Filter{"organization_guids": {org.GUID}}
	if name != "" {
		filter = filter.With("names", name)
	}
	spaces, err := s.client.Spaces(ctx, filter)
	if err != nil {
		return err
	}
	if len(spaces) == 0 && name != "" {
		return withHint(fmt.Errorf("there is no space %s in org %s", quote(name), quote(org.Name)), "see: cupola spaces")
	}
	if len(spaces) == 0 {
		s.ui.Notef("Org %s has no space yet; nothing is changed.", s.ui.Name(org.Name))
		return nil
	}
	guids := make([]string, len(spaces))
	for i, sp := range spaces {
		guids[i] = sp.GUID
	}
	if err := s.client.Relate(ctx, path, guids...); err != nil {
		return err
	}
	s.ui.Notef("Security group %s counts in %s of org %s while %s.", s.ui.Name(c.Args().First()),
		joinNames(spaces, func(sp capi.Space) string { return sp.Name }), s.ui.Name(org.Name), c.String("lifecycle"))
	return nil
}

func unbindSecurityGroup(ctx context.Context, s *session, c *cli.Context) error {
	path, err := s.groupSpaces(ctx, c)
	if err != nil {
		return err
	}
	org, space, err := s.orgAndSpace(ctx, c.Args().Get(1), c.Args().Get(2))
	if err != nil {
		return err
	}
	err = s.client.Delete(ctx, path+"/"+space.GUID)
	if err != nil && !strings.Contains(err.Error(), "Ensure the space is bound to this security group") {
		return err
	}
	s.ui.Notef("Security group %s counts no longer in space %s of org %s while %s.", s.ui.Name(c.Args().First()), s.ui.Name(space.Name), s.ui.Name(org.Name), c.String("lifecycle"))
	return nil
}
