package cli

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) domainCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "domains", category: routeCategory, summary: "list the domains that routes can have",
			flags: []cli.Flag{jsonFlag, labelFlag}, need: anOrg, run: domains}),
	}
}

func domains(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.Domain](ctx, s.client, "/v3/organizations/"+s.cfg.Org.GUID+"/domains", labelled(c, nil))
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no domain yet.", []string{"name", "availability", "internal", "protocols"}, func(d capi.Domain) []string {
		availability := "shared"
		if d.Relationships.Organization.GUID() != "" {
			availability = "private"
		}
		internal := ""
		if d.Internal {
			internal = "true"
		}
		return []string{s.ui.Name(d.Name), availability, internal, strings.Join(d.SupportedProtocols, ",")}
	})
}
