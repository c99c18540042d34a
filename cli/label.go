package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// labelKinds are the kinds that carry labels, under the words of the command line.
var labelKinds = map[string]kind{"app": appKind, "buildpack": buildpackKind, "domain": domainKind, "org": orgKind, "route": {noun: "route", path: "/v3/routes", list: "routes"},
	"route-policy": {noun: "route policy", path: routePolicyPath, list: "route-policies"}, "space": spaceKind, "stack": stackKind, "service-broker": brokerKind, "service-instance": instanceKind, "service-offering": offeringKind,
	"service-plan": {noun: "service plan", path: "/v3/service_plans", list: "marketplace"}}

const labelKindArg = "app|buildpack|domain|org|route|route-policy|service-broker|service-instance|service-offering|service-plan|space|stack"

func (k *console) labelCommands() []*cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "stack", Aliases: []string{"s"}, Usage: "`STACK` of a buildpack, when there are several of the name"},
		&cli.StringFlag{Name: "lifecycle", Aliases: []string{"l"}, Usage: "`LIFECYCLE` of a buildpack, when there are several of the name"},
		&cli.StringFlag{Name: "broker", Aliases: []string{"b"}, Usage: "`SERVICE_BROKER` of a service offering or plan, when there are several of the name"},
		&cli.StringFlag{Name: "source", Usage: "`SOURCE` of a route policy, when the route has several, such as cf:any"},
		&cli.StringFlag{Name: "offering", Aliases: []string{"e"}, Usage: "`SERVICE_OFFERING` of a service plan, when there are several of the name"},
	}
	var read, write []string
	for _, one := range strings.Split(labelKindArg, "|") {
		read = append(read, "GET "+labelKinds[one].path)
		write = append(write, "PATCH "+labelKinds[one].path+"/:guid")
	}
	write = slices.Concat(read, write)
	return []*cli.Command{
		k.command(spec{name: "labels", category: labelCategory, summary: "show the labels of something", args: labelKindArg + " NAME", min: 2, max: 2,
			examples: []string{"cupola labels app my-app", "cupola labels route my-app.example.com/path"}, flags: flags, need: aLogin, run: labels, api: read}),
		k.command(spec{name: "set-label", category: labelCategory, summary: "set labels of something", args: labelKindArg + " NAME KEY=VALUE...", min: 3, max: -1,
			examples: []string{"cupola set-label app my-app env=prod team=billing"}, flags: flags, need: aLogin, run: setLabel, api: write}),
		k.command(spec{name: "unset-label", category: labelCategory, summary: "remove labels from something", args: labelKindArg + " NAME KEY...", min: 3, max: -1,
			flags: flags, need: aLogin, run: unsetLabel, api: write}),
	}
}

const labelCategory = "Labels"

// labelledResource is a resource with its labels.
type labelledResource struct {
	GUID     string        `json:"guid"`
	Metadata capi.Metadata `json:"metadata"`
}

// labelTarget finds what RESOURCE NAME names.
func (s *session) labelTarget(ctx context.Context, c *cli.Context) (path string, metadata capi.Metadata, err error) {
	word, name := c.Args().Get(0), c.Args().Get(1)
	k, known := labelKinds[word]
	if !known {
		return "", metadata, badUsage("%s has no labels: it is one of %s", quote(word), strings.ReplaceAll(labelKindArg, "|", ", "))
	}
	var one *labelledResource
	switch word {
	case "route":
		one, err = s.labelledRoute(ctx, name)
	case "route-policy":
		one, err = s.labelledPolicy(ctx, name, c.String("source"))
	default:
		var filter capi.Filter
		if filter, err = s.labelFilter(c, word); err == nil {
			one, err = find[labelledResource](ctx, s, k, name, filter)
		}
	}
	if err != nil {
		return "", metadata, err
	}
	return k.path + "/" + one.GUID, one.Metadata, nil
}

// labelFilter narrows a name down: to what is targeted, and by the flags.
func (s *session) labelFilter(c *cli.Context, word string) (capi.Filter, error) {
	f := capi.Filter{}
	switch word {
	case "app", "service-instance":
		if s.cfg.Space.GUID == "" {
			return nil, withHint(fmt.Errorf("no space is targeted"), "next: cupola target -o ORG -s SPACE")
		}
		f = s.inSpace()
	case "space":
		if s.cfg.Org.GUID == "" {
			return nil, withHint(fmt.Errorf("no org is targeted"), "next: cupola target -o ORG")
		}
		f = s.inOrg()
	}
	for flag, key := range map[string]string{"stack": "stacks", "lifecycle": "lifecycle", "broker": "service_broker_names", "offering": "service_offering_names"} {
		if value := c.String(flag); value != "" {
			f = f.With(key, value)
		}
	}
	return f, nil
}

// labelledRoute finds a route by its URL, such as shop.example.com/cart: the longest domain wins.
func (s *session) labelledRoute(ctx context.Context, name string) (*labelledResource, error) {
	host, path, _ := strings.Cut(name, "/")
	if path != "" {
		path = "/" + path
	}
	host, port, _ := strings.Cut(host, ":")
	for prefix, domain := "", host; domain != ""; {
		found, err := s.client.DomainByName(ctx, domain)
		if err == nil {
			f := capi.Filter{"domain_guids": {found.GUID}, "hosts": {prefix}, "paths": {path}}
			if port != "" {
				f = f.With("ports", port)
			}
			route, err := capi.First[labelledResource](ctx, s.client, "/v3/routes", f, "Route")
			if notFound(err) {
				return nil, withHint(fmt.Errorf("there is no route %s", quote(name)), "see: cupola routes")
			}
			return route, err
		}
		if !notFound(err) {
			return nil, err
		}
		first, rest, _ := strings.Cut(domain, ".")
		prefix, domain = strings.TrimPrefix(prefix+"."+first, "."), rest
	}
	return nil, withHint(fmt.Errorf("the route %s has no domain that is known", quote(name)), "see: cupola domains")
}

// labelledPolicy is the policy of a route with that source, or its only one.
func (s *session) labelledPolicy(ctx context.Context, routeURL, source string) (*labelledResource, error) {
	route, err := s.labelledRoute(ctx, routeURL)
	if err != nil {
		return nil, err
	}
	filter := capi.Filter{"route_guids": {route.GUID}}
	if source != "" {
		filter = filter.With("sources", source)
	}
	found, err := capi.All[labelledResource](ctx, s.client, routePolicyPath, filter)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, withHint(fmt.Errorf("route %s has no such policy", quote(routeURL)), "see: cupola route-policies")
	case len(found) > 1:
		return nil, withHint(fmt.Errorf("route %s has %d policies", quote(routeURL), len(found)), "say which one with --source")
	}
	return &found[0], nil
}

func labels(ctx context.Context, s *session, c *cli.Context) error {
	_, metadata, err := s.labelTarget(ctx, c)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(metadata.Labels)
	}
	var rows [][]string
	for key, value := range metadata.Labels {
		rows = append(rows, []string{s.ui.Name(key), value})
	}
	slices.SortFunc(rows, slices.Compare)
	s.ui.Table("It has no label.", []string{"key", "value"}, rows)
	return nil
}

func setLabel(ctx context.Context, s *session, c *cli.Context) error {
	changed := map[string]*string{}
	for _, given := range c.Args().Slice()[2:] {
		key, value, ok := strings.Cut(given, "=")
		if !ok || key == "" {
			return badUsage("%s is no label: write it as KEY=VALUE", quote(given))
		}
		changed[key] = &value
	}
	return s.patchLabels(ctx, c, changed, "set")
}

func unsetLabel(ctx context.Context, s *session, c *cli.Context) error {
	changed := map[string]*string{}
	for _, key := range c.Args().Slice()[2:] {
		changed[key] = nil
	}
	return s.patchLabels(ctx, c, changed, "removed")
}

func (s *session) patchLabels(ctx context.Context, c *cli.Context, changed map[string]*string, verb string) error {
	path, _, err := s.labelTarget(ctx, c)
	if err != nil {
		return err
	}
	out, err := capi.Change[labelledResource](ctx, s.client, http.MethodPatch, path, capi.MetadataUpdate{Metadata: &capi.MetadataPatch{Labels: changed}})
	if err != nil {
		return err
	}
	s.ui.Notef("Labels of %s %s are %s.", c.Args().Get(0), s.ui.Name(c.Args().Get(1)), verb)
	return s.answer(out.Metadata.Labels)
}
