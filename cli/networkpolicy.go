package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) networkPolicyCommands() []*cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "protocol", Usage: "`PROTOCOL`: tcp or udp (default: tcp)"},
		&cli.StringFlag{Name: "port", Usage: "`PORT`, or a range such as 8080-8090 (default: 8080)"},
		&cli.StringFlag{Name: "s", Usage: "`SPACE` of the destination, when it is not the targeted one"},
		&cli.StringFlag{Name: "o", Usage: "`ORG` of the destination, when it is not the targeted one"},
	}
	find := []string{"GET /v3/apps", "GET /v3/organizations", "GET /v3/spaces"}
	return []*cli.Command{
		k.command(spec{name: "network-policies", category: securityCategory, summary: "list which apps may open connections to which", need: aSpace, run: networkPolicies,
			flags: []cli.Flag{&cli.StringFlag{Name: "source", Usage: "those of this `APP_NAME`"}},
			api:   []string{"GET /v3/apps", "GET /v3/spaces", "network policy GET /policies"}}),
		k.command(spec{name: "add-network-policy", category: securityCategory, summary: "let an app open connections to another, without the router", args: "APP_NAME APP_NAME", min: 2, max: 2,
			details: "The first app is the source, the second the destination.", examples: []string{"cupola add-network-policy shop stock --protocol tcp --port 8080"},
			flags: flags, need: aSpace, run: addNetworkPolicy, api: append(slices.Clone(find), "network policy POST /policies")}),
		k.command(spec{name: "remove-network-policy", category: securityCategory, summary: "no longer let an app open connections to another", args: "APP_NAME APP_NAME", min: 2, max: 2,
			flags: flags, need: aSpace, run: removeNetworkPolicy, api: append(slices.Clone(find), "network policy GET /policies", "network policy POST /policies/delete")}),
	}
}

// policyOf reads the arguments and flags of a policy.
func (s *session) policyOf(ctx context.Context, c *cli.Context) (p capi.NetworkPolicy, err error) {
	p.Destination.Protocol = c.String("protocol")
	switch {
	case c.String("protocol") == "" && c.String("port") == "":
		p.Destination.Protocol, p.Destination.Ports = "tcp", capi.NetworkPolicyPorts{Start: 8080, End: 8080}
	case c.String("protocol") == "" || c.String("port") == "":
		return p, badUsage("--protocol and --port go together")
	default:
		if p.Destination.Ports, err = portRange(c.String("port")); err != nil {
			return p, err
		}
	}
	if p.Destination.Protocol != "tcp" && p.Destination.Protocol != "udp" {
		return p, badUsage("--protocol is tcp or udp, not %s", quote(p.Destination.Protocol))
	}
	source, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return p, err
	}
	to, err := s.otherSpace(ctx, c)
	if err != nil {
		return p, err
	}
	destination, err := s.appIn(ctx, to, c.Args().Get(1))
	if err != nil {
		return p, err
	}
	p.Source.ID, p.Destination.ID = source.GUID, destination.GUID
	return p, nil
}

func portRange(given string) (capi.NetworkPolicyPorts, error) {
	first, last, ranged := strings.Cut(given, "-")
	start, err := strconv.Atoi(first)
	end := start
	if err == nil && ranged {
		end, err = strconv.Atoi(last)
	}
	if err != nil || start < 1 || end < start || end > 65535 {
		return capi.NetworkPolicyPorts{}, badUsage("--port is a port such as 8080 or a range such as 8080-8090, not %s", quote(given))
	}
	return capi.NetworkPolicyPorts{Start: start, End: end}, nil
}

func portWords(p capi.NetworkPolicyPorts) string {
	if p.Start == p.End {
		return strconv.Itoa(p.Start)
	}
	return fmt.Sprintf("%d-%d", p.Start, p.End)
}

func addNetworkPolicy(ctx context.Context, s *session, c *cli.Context) error {
	p, err := s.policyOf(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.AddNetworkPolicy(ctx, p); err != nil {
		return err
	}
	s.ui.Notef("App %s may open connections to %s, port %s (%s).", s.ui.Name(c.Args().Get(0)), s.ui.Name(c.Args().Get(1)), portWords(p.Destination.Ports), p.Destination.Protocol)
	return s.answer(p)
}

func removeNetworkPolicy(ctx context.Context, s *session, c *cli.Context) error {
	if c.String("protocol") == "" || c.String("port") == "" {
		return badUsage("remove-network-policy needs --protocol and --port").withHint("see: cupola network-policies")
	}
	p, err := s.policyOf(ctx, c)
	if err != nil {
		return err
	}
	there, err := s.client.NetworkPolicies(ctx, p.Source.ID)
	if err != nil {
		return err
	}
	if !slices.Contains(there, p) {
		s.ui.Notef("There is no such policy from %s to %s.", quote(c.Args().Get(0)), quote(c.Args().Get(1)))
		return nil
	}
	if err := s.client.RemoveNetworkPolicy(ctx, p); err != nil {
		return err
	}
	s.ui.Notef("App %s may no longer open connections to %s, port %s (%s).", s.ui.Name(c.Args().Get(0)), s.ui.Name(c.Args().Get(1)), portWords(p.Destination.Ports), p.Destination.Protocol)
	return nil
}

func networkPolicies(ctx context.Context, s *session, c *cli.Context) error {
	sources := map[string]string{}
	if name := c.String("source"); name != "" {
		app, err := s.app(ctx, name)
		if err != nil {
			return err
		}
		sources[app.GUID] = app.Name
	} else {
		apps, err := s.client.Apps(ctx, s.inSpace().With("per_page", "5000"))
		if err != nil {
			return err
		}
		for _, a := range apps {
			sources[a.GUID] = a.Name
		}
	}
	if len(sources) == 0 {
		return list(s, c, []capi.NetworkPolicy(nil), "The space has no app.", nil, nil)
	}
	policies, err := s.policiesOf(ctx, sources)
	if err != nil {
		return err
	}
	apps, err := s.policyApps(ctx, policies)
	if err != nil {
		return err
	}
	return list(s, c, policies, "No app of the space may open connections to another.",
		[]string{"source", "destination", "protocol", "ports", "destination space", "destination org"}, func(p capi.NetworkPolicy) []string {
			to := apps[p.Destination.ID]
			return []string{s.ui.Name(sources[p.Source.ID]), s.ui.Name(cmp.Or(to.app, p.Destination.ID)), p.Destination.Protocol, portWords(p.Destination.Ports), to.space, to.org}
		})
}

// policiesOf are the policies whose source is one of the apps.
func (s *session) policiesOf(ctx context.Context, sources map[string]string) ([]capi.NetworkPolicy, error) {
	guids := make([]string, 0, len(sources))
	for guid := range sources {
		guids = append(guids, guid)
	}
	slices.Sort(guids)
	var all []capi.NetworkPolicy
	for some := range slices.Chunk(guids, guidBatch) {
		found, err := s.client.NetworkPolicies(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if _, ours := sources[p.Source.ID]; ours && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// appPlace is an app with its space and org, by name.
type appPlace struct{ app, space, org string }

// policyApps are the destinations of policies by GUID, as far as they may be seen.
func (s *session) policyApps(ctx context.Context, policies []capi.NetworkPolicy) (map[string]appPlace, error) {
	guids := make([]string, len(policies))
	for i, p := range policies {
		guids[i] = p.Destination.ID
	}
	slices.Sort(guids)
	places := map[string]appPlace{}
	for some := range slices.Chunk(slices.Compact(guids), guidBatch) {
		spaces, orgs := map[string]capi.Space{}, map[string]string{}
		for page, err := range capi.Pages[capi.App](ctx, s.client, "/v3/apps", capi.Filter{"guids": some, "include": {"space.organization"}, "per_page": {"5000"}}) {
			if err != nil {
				return nil, err
			}
			if page.Included != nil {
				for _, o := range page.Included.Organizations {
					orgs[o.GUID] = o.Name
				}
				for _, sp := range page.Included.Spaces {
					spaces[sp.GUID] = sp
				}
			}
			for _, a := range page.Resources {
				sp := spaces[a.Relationships.Space.GUID()]
				places[a.GUID] = appPlace{a.Name, sp.Name, orgs[sp.Relationships.Organization.GUID()]}
			}
		}
	}
	return places, nil
}
