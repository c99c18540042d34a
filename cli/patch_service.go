package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// patchedService is what became of a service instance; --json prints them.
type patchedService struct {
	turn

	plan string
}

// patchServices upgrades the platform's own data services whose plans have something newer, one after another.
func (s *session) patchServices(ctx context.Context, c *cli.Context, names []string) error {
	todo, err := s.upgradable(ctx, names, c.Bool("everywhere"))
	if err != nil {
		return err
	}
	if !c.Bool("plan") {
		err = inTurn(ctx, todo, c.Bool("keep-going"), "upgraded", func(n int, p *patchedService) error {
			s.ui.Notef("Upgrading %s (%d of %d), after a backup where it has some:", s.ui.Name(p.Name), n, len(todo))
			return s.upgradeOne(ctx, p)
		})
	}
	return errors.Join(list(s, c, todo, "All data services run the newest image.", []string{"name", "outcome", "seconds"}, func(p *patchedService) []string {
		return []string{s.ui.Name(p.Name), p.Outcome, fmt.Sprintf("%.1f", p.Seconds)}
	}), err)
}

// upgradable are the data services with an upgrade. With names it is those, all of which must exist.
func (s *session) upgradable(ctx context.Context, names []string, everywhere bool) ([]*patchedService, error) {
	f := capi.Filter{}.With("type", capi.ServiceManaged).With("order_by", "name").With("per_page", "5000")
	if !everywhere {
		f = f.With("space_guids", s.cfg.Space.GUID)
	}
	all, err := capi.All[capi.ServiceInstance](ctx, s.client, instanceKind.path, f)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(i capi.ServiceInstance) bool { return i.Name == name }) {
			return nil, instanceKind.missing(name)
		}
	}
	out := []*patchedService{}
	for _, i := range all {
		if i.Data != nil && i.UpgradeAvailable != nil && *i.UpgradeAvailable && (len(names) == 0 || slices.Contains(names, i.Name)) {
			out = append(out, &patchedService{turn: turn{GUID: i.GUID, Name: i.Name, Outcome: "planned"}, plan: i.Relationships.ServicePlan.GUID()})
		}
	}
	return out, nil
}

func (s *session) upgradeOne(ctx context.Context, p *patchedService) error {
	plan, err := capi.Get[servicePlan](ctx, s.client, "/v3/service_plans/"+p.plan)
	if err != nil {
		return err
	}
	return s.client.Act(ctx, http.MethodPatch, instanceKind.path+"/"+p.GUID, capi.ServiceInstanceUpdate{MaintenanceInfo: plan.MaintenanceInfo})
}
