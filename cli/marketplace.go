package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

var brokerFlag = &cli.StringFlag{Name: "b", Usage: "`SERVICE_BROKER`, when several have the offering"}

func (k *console) marketplaceCommands() []*cli.Command {
	brokers := "/v3/service_brokers"
	access := []cli.Flag{brokerFlag, &cli.StringFlag{Name: "p", Usage: "only this `PLAN`"}, &cli.StringFlag{Name: "o", Usage: "only for this `ORG`"}}
	visibility := []string{"GET /v3/service_plans", "GET /v3/organizations", "POST /v3/service_plans/:guid/visibility", "PATCH /v3/service_plans/:guid/visibility", "DELETE /v3/service_plans/:guid/visibility/:guid"}
	return []*cli.Command{
		k.command(spec{name: "marketplace", aliases: []string{"m"}, category: serviceCategory, summary: "list what service instances can be made of", need: theAPI, run: marketplace,
			flags: []cli.Flag{&cli.StringFlag{Name: "e", Usage: "only this `SERVICE_OFFERING`"}, brokerFlag, &cli.BoolFlag{Name: "no-plans", Usage: "offerings without their plans"},
				&cli.BoolFlag{Name: "show-unavailable", Usage: "plans too that can't be used now"}}, api: []string{"GET /v3/service_plans"}}),
		k.command(spec{name: "service-brokers", category: serviceCategory, summary: "list the service brokers", need: aLogin, flags: []cli.Flag{labelFlag}, run: serviceBrokers, api: []string{"GET " + brokers}}),
		k.command(spec{name: "create-service-broker", aliases: []string{"csb"}, category: serviceCategory, summary: "make a service broker known", args: "NEW_BROKER USERNAME [PASSWORD] URL", min: 3, max: 4,
			details: "Without PASSWORD it is taken from CUPOLA_BROKER_PASSWORD or asked for.",
			flags:   []cli.Flag{&cli.BoolFlag{Name: "space-scoped", Usage: "its plans are for the targeted space alone"}, &cli.BoolFlag{Name: "update-if-exists", Usage: "change the broker when it is there already"}},
			need:    aLogin, run: createBroker, api: []string{"GET " + brokers, "POST " + brokers, "PATCH " + brokers + "/:guid", "GET /v3/jobs/:guid"}}),
		k.command(spec{name: "update-service-broker", category: serviceCategory, summary: "change address and login of a service broker, and read its catalogue again", args: "SERVICE_BROKER USERNAME [PASSWORD] URL", min: 3, max: 4,
			need: aLogin, run: updateBroker, api: []string{"GET " + brokers, "PATCH " + brokers + "/:guid", "GET /v3/jobs/:guid"}}),
		k.command(spec{name: "rename-service-broker", category: serviceCategory, summary: "give a service broker another name", args: "SERVICE_BROKER NEW_NAME", min: 2, max: 2, need: aLogin,
			api: []string{"GET " + brokers, "PATCH " + brokers + "/:guid"}, run: func(ctx context.Context, s *session, c *cli.Context) error {
				return s.rename(ctx, brokerKind, nil, c.Args().Get(0), c.Args().Get(1))
			}}),
		k.command(spec{name: "delete-service-broker", category: serviceCategory, summary: "forget a service broker", args: "SERVICE_BROKER", min: 1, max: 1, flags: []cli.Flag{forceFlag}, need: aLogin,
			api: []string{"GET " + brokers, "DELETE " + brokers + "/:guid", "GET /v3/jobs/:guid"}, run: func(ctx context.Context, s *session, c *cli.Context) error {
				name := c.Args().First()
				return s.deleteNamed(ctx, c, brokerKind, name, nil, "Delete service broker "+quote(name)+" with its offerings?")
			}}),
		k.command(spec{name: "purge-service-offering", category: serviceCategory, summary: "forget an offering with all its service instances without asking the broker", args: "SERVICE_OFFERING", min: 1, max: 1,
			flags: []cli.Flag{forceFlag, brokerFlag}, need: aLogin, run: purgeOffering, api: []string{"GET /v3/service_offerings", "DELETE /v3/service_offerings/:guid?purge=true"}}),
		k.command(spec{name: "service-access", category: serviceCategory, summary: "list who may use which plans", need: aLogin, run: serviceAccess,
			flags: []cli.Flag{brokerFlag, &cli.StringFlag{Name: "e", Usage: "only this `SERVICE_OFFERING`"}, &cli.StringFlag{Name: "o", Usage: "what this `ORG` may use"}}, api: []string{"GET /v3/service_plans", "GET /v3/service_plans/:guid/visibility", "GET /v3/organizations"}}),
		k.command(spec{name: "enable-service-access", category: serviceCategory, summary: "let all orgs, or one, use an offering or a plan of it", args: "SERVICE_OFFERING", min: 1, max: 1, flags: access, need: aLogin, run: enableAccess, api: visibility}),
		k.command(spec{name: "disable-service-access", category: serviceCategory, summary: "no longer let all orgs, or one, use an offering or a plan of it", args: "SERVICE_OFFERING", min: 1, max: 1, flags: access, need: aLogin, run: disableAccess, api: visibility}),
	}
}

// plans are those that match, with the names of their offerings and brokers.
func (s *session) plans(ctx context.Context, f capi.Filter) ([]whole[servicePlan], map[string]planNames, error) {
	f = f.With("include", "service_offering").With("fields[service_offering.service_broker]", "name,guid").With("per_page", "5000")
	var all []whole[servicePlan]
	names := map[string]planNames{}
	for page, err := range capi.PagesWith[whole[servicePlan], includedPlans](ctx, s.client, "/v3/service_plans", f) {
		if err != nil {
			return nil, nil, err
		}
		all = append(all, page.Resources...)
		for _, p := range page.Resources {
			page.Included.Plans = append(page.Included.Plans, p.Of)
		}
		for guid, n := range page.Included.names() {
			names[guid] = n
		}
	}
	return all, names, nil
}

// planFilter is what -e, -b and -p narrow plans down to.
func planFilter(c *cli.Context, offering string) capi.Filter {
	f := capi.Filter{}
	for key, value := range map[string]string{"service_offering_names": offering, "service_broker_names": c.String("b"), "names": c.String("p")} {
		if value != "" {
			f = f.With(key, value)
		}
	}
	return f
}

func marketplace(ctx context.Context, s *session, c *cli.Context) error {
	f := planFilter(c, c.String("e"))
	if !c.Bool("show-unavailable") {
		f = f.With("available", "true")
	}
	if s.cfg.Space.GUID != "" {
		f = f.With("space_guids", s.cfg.Space.GUID)
	}
	all, names, err := s.plans(ctx, f)
	if err != nil {
		return err
	}
	empty := "There is nothing in the marketplace yet."
	if c.String("e") == "" && !s.ui.WantsJSON() {
		s.ui.Table(empty, []string{"offering", "plans", "broker"}, offeringRows(s, all, names, c.Bool("no-plans")))
		return nil
	}
	return list(s, c, all, empty, []string{"offering", "plan", "description", "costs", "broker"}, func(w whole[servicePlan]) []string {
		n := names[w.Of.GUID]
		return []string{s.ui.Name(n.offering), w.Of.Name, w.Of.Description, costs(w.Of), n.broker}
	})
}

// offeringRows are one row an offering.
func offeringRows(s *session, all []whole[servicePlan], names map[string]planNames, noPlans bool) [][]string {
	var rows [][]string
	at := map[[2]string]int{}
	for _, w := range all {
		n := names[w.Of.GUID]
		key := [2]string{n.offering, n.broker}
		i, seen := at[key]
		if !seen {
			i = len(rows)
			at[key] = i
			rows = append(rows, []string{s.ui.Name(n.offering), "", n.broker})
		}
		if !noPlans {
			rows[i][1] = strings.TrimPrefix(rows[i][1]+", "+w.Of.Name, ", ")
		}
	}
	return rows
}

func costs(p servicePlan) string {
	if p.Free || len(p.Costs) == 0 {
		return map[bool]string{true: "free", false: "paid"}[p.Free]
	}
	parts := make([]string, len(p.Costs))
	for i, cost := range p.Costs {
		parts[i] = fmt.Sprintf("%s %.2f/%s", cost.Currency, cost.Amount, cost.Unit)
	}
	return strings.Join(parts, ", ")
}
