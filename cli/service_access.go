package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// planVisibility says who may use a plan.
type planVisibility struct {
	Type          string  `json:"type"` // public, admin, organization or space
	Organizations []named `json:"organizations"`
}

func serviceAccess(ctx context.Context, s *session, c *cli.Context) error {
	all, names, err := s.plans(ctx, planFilter(c, c.String("e")))
	if err != nil {
		return err
	}
	var rows [][]string
	for _, w := range all {
		orgs := ""
		if w.Of.VisibilityType == "organization" {
			v, err := capi.Get[planVisibility](ctx, s.client, "/v3/service_plans/"+w.Of.GUID+"/visibility")
			if err != nil {
				return err
			}
			orgs = joinNames(v.Organizations, func(o named) string { return o.Name })
			if org := c.String("o"); org != "" && !slices.ContainsFunc(v.Organizations, func(o named) bool { return o.Name == org }) {
				continue
			}
		} else if c.String("o") != "" && w.Of.VisibilityType != "public" {
			continue
		}
		n := names[w.Of.GUID]
		rows = append(rows, []string{n.broker, s.ui.Name(n.offering), w.Of.Name, accessWords(w.Of.VisibilityType), orgs})
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(capi.Array[whole[servicePlan]](all))
	}
	s.ui.Table("There is no service plan.", []string{"broker", "offering", "plan", "access", "orgs"}, rows)
	return nil
}

func accessWords(visibility string) string {
	return map[string]string{"public": "all", "admin": "none", "organization": "limited", "space": "limited"}[visibility]
}

// accessPlans are the plans that the arguments name, and the org of -o.
func (s *session) accessPlans(ctx context.Context, c *cli.Context) (plans []whole[servicePlan], org *capi.Organization, err error) {
	plans, _, err = s.plans(ctx, planFilter(c, c.Args().First()))
	if err != nil {
		return nil, nil, err
	}
	if len(plans) == 0 {
		return nil, nil, offeringKind.missing(c.Args().First())
	}
	if name := c.String("o"); name != "" {
		org, err = s.org(ctx, name)
	}
	return plans, org, err
}

func enableAccess(ctx context.Context, s *session, c *cli.Context) error {
	plans, org, err := s.accessPlans(ctx, c)
	if err != nil {
		return err
	}
	for _, p := range plans {
		path := "/v3/service_plans/" + p.Of.GUID + "/visibility"
		switch {
		case org == nil:
			err = s.client.Act(ctx, http.MethodPatch, path, map[string]any{"type": "public"})
		case p.Of.VisibilityType != "public":
			err = s.client.Act(ctx, http.MethodPost, path, map[string]any{"type": "organization", "organizations": []capi.GUID{{GUID: org.GUID}}})
		}
		if err != nil {
			return err
		}
	}
	s.ui.Notef("%s may use %d plans of %s.", whoWords(org), len(plans), s.ui.Name(c.Args().First()))
	return nil
}

func disableAccess(ctx context.Context, s *session, c *cli.Context) error {
	plans, org, err := s.accessPlans(ctx, c)
	if err != nil {
		return err
	}
	for _, p := range plans {
		path := "/v3/service_plans/" + p.Of.GUID + "/visibility"
		switch {
		case org == nil:
			err = s.client.Act(ctx, http.MethodPatch, path, map[string]any{"type": "admin"})
		case p.Of.VisibilityType == "public":
			return fmt.Errorf("plan %s is for all orgs: it can't be taken from one", quote(p.Of.Name))
		default:
			err = s.client.Delete(ctx, path+"/"+org.GUID)
		}
		if err != nil && !notFound(err) {
			return err
		}
	}
	s.ui.Notef("%s may no longer use %d plans of %s.", whoWords(org), len(plans), s.ui.Name(c.Args().First()))
	return nil
}

func whoWords(org *capi.Organization) string {
	if org == nil {
		return "Everybody"
	}
	return "Org " + quote(org.Name)
}
