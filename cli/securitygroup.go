package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const securityCategory = "Security groups and network policies"

func (k *console) securityGroupCommands() []*cli.Command {
	const path = "/v3/security_groups"
	rules := "The file has a JSON array of rules:\n" +
		`  [{"protocol": "tcp", "destination": "192.0.2.0/24", "ports": "443,8000-8100", "description": "partners"}]`
	lifecycle := &cli.StringFlag{Name: "lifecycle", Value: "running", Usage: "`PHASE` in which it counts: running or staging"}
	commands := []*cli.Command{
		k.command(spec{name: "security-groups", category: securityCategory, summary: "list the security groups and where they count", need: aLogin, run: securityGroups,
			api: []string{"GET " + path, "GET /v3/spaces"}}),
		k.command(spec{name: "security-group", category: securityCategory, summary: "show a security group with its rules", args: "SECURITY_GROUP", min: 1, max: 1, need: aLogin,
			run: securityGroup, api: []string{"GET " + path, "GET /v3/spaces"}}),
		k.command(spec{name: "create-security-group", category: securityCategory, summary: "make a security group: rules for connections that apps open", args: "NEW_SECURITY_GROUP FILE",
			min: 2, max: 2, details: rules, examples: []string{"cupola create-security-group partners rules.json"}, need: aLogin, run: createSecurityGroup, api: []string{"POST " + path}}),
		k.command(spec{name: "update-security-group", category: securityCategory, summary: "give a security group other rules", args: "SECURITY_GROUP FILE", min: 2, max: 2,
			details: rules, need: aLogin, run: updateSecurityGroup, api: []string{"GET " + path, "PATCH " + path + "/:guid"}}),
		k.command(spec{name: "delete-security-group", category: securityCategory, summary: "delete a security group", args: "SECURITY_GROUP", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, api: []string{"GET " + path, "DELETE " + path + "/:guid"},
			run: func(ctx context.Context, s *session, c *cli.Context) error {
				name := c.Args().First()
				return s.deleteNamed(ctx, c, securityGroupKind, name, nil, "Delete security group "+quote(name)+"?")
			}}),
		k.command(spec{name: "bind-security-group", category: securityCategory, summary: "have a security group count in a space, or in all spaces of an org", args: "SECURITY_GROUP ORG [SPACE]",
			min: 2, max: 3, examples: []string{"cupola bind-security-group partners engines --space dev"},
			flags: []cli.Flag{lifecycle, &cli.StringFlag{Name: "space", Usage: "`SPACE`; without it all that the org has now"}}, need: aLogin, run: bindSecurityGroup,
			api: []string{"GET " + path, "GET /v3/organizations", "GET /v3/spaces", "POST " + path + "/:guid/relationships/running_spaces", "POST " + path + "/:guid/relationships/staging_spaces"}}),
		k.command(spec{name: "unbind-security-group", category: securityCategory, summary: "have a security group count no longer in a space", args: "SECURITY_GROUP ORG SPACE", min: 3, max: 3,
			flags: []cli.Flag{lifecycle}, need: aLogin, run: unbindSecurityGroup,
			api: []string{"GET " + path, "GET /v3/organizations", "GET /v3/spaces", "DELETE " + path + "/:guid/relationships/running_spaces/:guid", "DELETE " + path + "/:guid/relationships/staging_spaces/:guid"}}),
	}
	for _, phase := range []string{"staging", "running"} {
		what := map[string]string{"staging": "staging of all apps", "running": "all running apps"}[phase]
		commands = append(commands,
			k.command(spec{name: phase + "-security-groups", category: securityCategory, summary: "list the security groups that count for the " + what, need: aLogin,
				run: globalSecurityGroups(phase), api: []string{"GET " + path}}),
			k.command(spec{name: "bind-" + phase + "-security-group", category: securityCategory, summary: "have a security group count for the " + what, args: "SECURITY_GROUP", min: 1, max: 1,
				need: aLogin, run: switchGlobal(phase, true), api: []string{"GET " + path, "PATCH " + path + "/:guid"}}),
			k.command(spec{name: "unbind-" + phase + "-security-group", category: securityCategory, summary: "have it count no longer for the " + what, args: "SECURITY_GROUP", min: 1, max: 1,
				need: aLogin, run: switchGlobal(phase, false), api: []string{"GET " + path, "PATCH " + path + "/:guid"}}))
	}
	return commands
}

// rulesOf reads a file of rules.
func rulesOf(file string) (*[]capi.SecurityGroupRule, error) {
	data, err := jsonArgument(file)
	if err != nil {
		return nil, err
	}
	rules := []capi.SecurityGroupRule{}
	if err := json.Unmarshal(data, &rules); err != nil {
		return nil, withHint(fmt.Errorf("%s holds no JSON array of rules: %w", quote(file), err), "see: cupola create-security-group --help")
	}
	return &rules, nil
}

func createSecurityGroup(ctx context.Context, s *session, c *cli.Context) error {
	rules, err := rulesOf(c.Args().Get(1))
	if err != nil {
		return err
	}
	name := c.Args().First()
	return s.create(ctx, securityGroupKind, name, capi.SecurityGroupUpdate{Name: &name, Rules: rules})
}

func updateSecurityGroup(ctx context.Context, s *session, c *cli.Context) error {
	rules, err := rulesOf(c.Args().Get(1))
	if err != nil {
		return err
	}
	name := c.Args().First()
	guid, err := s.guidOf(ctx, securityGroupKind, name, nil)
	if err != nil {
		return err
	}
	return s.update(ctx, securityGroupKind.path+"/"+guid, capi.SecurityGroupUpdate{Rules: rules}, "Security group %s has %d rules now.", s.ui.Name(name), len(*rules))
}

func securityGroups(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.SecurityGroup](ctx, s.client, securityGroupKind.path, nil)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(capi.Array[capi.SecurityGroup](all))
	}
	spaces, err := s.spacePlaces(ctx, all)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, g := range all {
		places := groupPlaces(g, spaces)
		if len(places) == 0 {
			places = [][]string{{"", "", ""}}
		}
		for _, place := range places {
			rows = append(rows, slices.Concat([]string{s.ui.Name(g.Name)}, place))
		}
	}
	s.ui.Table("There is no security group.", []string{"name", "org", "space", "lifecycle"}, rows)
	return nil
}

// place is a space with its org, by name.
type place struct{ org, space string }

// spacePlaces are the names of the spaces that groups are bound to, by GUID.
func (s *session) spacePlaces(ctx context.Context, groups []capi.SecurityGroup) (map[string]place, error) {
	places := map[string]place{}
	var guids []string
	for _, g := range groups {
		guids = slices.Concat(guids, g.Relationships.RunningSpaces.GUIDs(), g.Relationships.StagingSpaces.GUIDs())
	}
	slices.Sort(guids)
	for some := range slices.Chunk(slices.Compact(guids), guidBatch) {
		orgs := map[string]string{}
		for page, err := range capi.Pages[capi.Space](ctx, s.client, spaceKind.path, capi.Filter{"guids": some, "include": {"organization"}, "per_page": {"5000"}}) {
			if err != nil {
				return nil, err
			}
			if page.Included != nil {
				for _, o := range page.Included.Organizations {
					orgs[o.GUID] = o.Name
				}
			}
			for _, sp := range page.Resources {
				places[sp.GUID] = place{orgs[sp.Relationships.Organization.GUID()], sp.Name}
			}
		}
	}
	return places, nil
}

// guidBatch is how many GUIDs a filter has at most, so that URLs stay below 8 KB.
const guidBatch = 200

// groupPlaces are rows of org, space and lifecycle. What may not be seen is left out.
func groupPlaces(g capi.SecurityGroup, spaces map[string]place) [][]string {
	var rows [][]string
	if g.GloballyEnabled.Running {
		rows = append(rows, []string{"<all>", "<all>", "running"})
	}
	if g.GloballyEnabled.Staging {
		rows = append(rows, []string{"<all>", "<all>", "staging"})
	}
	add := func(guids []string, phase string) {
		for _, guid := range guids {
			if at, known := spaces[guid]; known {
				rows = append(rows, []string{at.org, at.space, phase})
			}
		}
	}
	add(g.Relationships.RunningSpaces.GUIDs(), "running")
	add(g.Relationships.StagingSpaces.GUIDs(), "staging")
	return rows
}

func securityGroup(ctx context.Context, s *session, c *cli.Context) error {
	g, err := find[capi.SecurityGroup](ctx, s, securityGroupKind, c.Args().First(), nil)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(g)
	}
	var rules []capi.SecurityGroupRule
	if err := json.Unmarshal(g.Rules, &rules); err != nil {
		return fmt.Errorf("the rules of %s can't be read: %w", quote(g.Name), err)
	}
	spaces, err := s.spacePlaces(ctx, []capi.SecurityGroup{*g})
	if err != nil {
		return err
	}
	s.fields([][2]string{{"name", s.ui.Name(g.Name)}})
	s.ui.Println()
	rows := make([][]string, len(rules))
	for i, rule := range rules {
		rows[i] = ruleRow(rule)
	}
	s.ui.Table("It has no rule.", []string{"protocol", "destination", "ports", "description"}, rows)
	s.ui.Println()
	s.ui.Table("It counts nowhere: bind it with cupola bind-security-group.", []string{"org", "space", "lifecycle"}, groupPlaces(*g, spaces))
	return nil
}
