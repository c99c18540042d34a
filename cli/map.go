package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const mapPath = "/v3/map"

func (k *console) mapCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "map", category: appCategory, summary: "show who called whom in the last five minutes: calls, failures, latency", args: "[APP_NAME]", max: 1,
			details: "Of the targeted space, or of one app in it; without a target, or with --all, of all that you may see. What fails comes first. " +
				"Direct connections between containers are counted, and how they fare is not known.",
			examples: []string{"cupola map", "cupola map my-app", "cupola map --all --json"},
			flags:    []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "all spaces that you may see"}},
			need:     aLogin, run: callMap, api: []string{"GET /v3/apps", "GET " + mapPath}}),
	}
}

func callMap(ctx context.Context, s *session, c *cli.Context) error {
	ask := url.Values{}
	switch name := c.Args().First(); {
	case name != "" && (c.Bool("all") || s.cfg.Space.GUID == ""):
		return badUsage("an app is looked for in the targeted space: target one, and leave --all out")
	case name != "":
		app, err := s.app(ctx, name)
		if err != nil {
			return err
		}
		ask.Set("app_guids", app.GUID)
	case !c.Bool("all") && s.cfg.Space.GUID != "":
		ask.Set("space_guids", s.cfg.Space.GUID)
	}
	m, err := capi.Get[capi.ServiceMap](ctx, s.client, mapPath+"?"+ask.Encode())
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(m)
	}
	names := map[string]string{}
	for _, n := range m.Nodes {
		names[n.ID] = n.Name
	}
	var rows [][]string
	for i := range m.Edges {
		rows = append(rows, mapRow(s, &m.Edges[i], names))
	}
	s.ui.Table("Nobody called anybody here within the last hour.", []string{"from", "to", "by", "state", "calls", "failed", "half within", "95 % within"}, rows)
	if m.LeftOut > 0 {
		s.ui.Notef("%d more are left out: target a space, or name an app.", m.LeftOut)
	}
	return nil
}

// mapRow is an edge; what is not known stays empty.
func mapRow(s *session, e *capi.MapEdge, names map[string]string) []string {
	row := []string{s.ui.Name(names[e.From]), s.ui.Name(names[e.To]), e.Kind, e.State, "", "", "", ""}
	if e.Calls != nil {
		row[4] = strconv.FormatUint(*e.Calls, 10)
	}
	if e.Failed != nil {
		row[5] = strconv.FormatUint(*e.Failed, 10)
	}
	if l := e.LatencyMS; l != nil {
		row[6], row[7] = fmt.Sprintf("%.1f ms", l.P50), fmt.Sprintf("%.1f ms", l.P95)
	}
	return row
}
