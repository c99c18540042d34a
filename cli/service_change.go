package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// servicePlan is what is read of a plan.
type servicePlan struct {
	GUID            string          `json:"guid"`
	Name            string          `json:"name"`
	Description     string          `json:"description"`
	Free            bool            `json:"free"`
	Available       bool            `json:"available"`
	VisibilityType  string          `json:"visibility_type"`
	MaintenanceInfo json.RawMessage `json:"maintenance_info"`
	Costs           []struct {
		Amount   float64 `json:"amount"`
		Currency string  `json:"currency"`
		Unit     string  `json:"unit"`
	} `json:"costs"`
	Relationships struct {
		Offering capi.ToOne `json:"service_offering"`
	} `json:"relationships"`
}

// serviceOffering is what is read of an offering.
type serviceOffering struct {
	GUID          string `json:"guid"`
	Name          string `json:"name"`
	Description   string `json:"description"`
	Relationships struct {
		Broker capi.ToOne `json:"service_broker"`
	} `json:"relationships"`
}

// serviceAct sends a change of a service instance or binding. The API makes a job of it when a broker is asked;
// then --wait waits until the broker is done, and otherwise the command ends when the broker has begun.
func (s *session) serviceAct(ctx context.Context, c *cli.Context, method, path string, in any) (done bool, err error) {
	if c.Bool("wait") {
		return true, s.client.Act(ctx, method, path, in)
	}
	return s.client.Begin(ctx, method, path, in)
}

// planOf is the plan of an offering by name.
func (s *session) planOf(ctx context.Context, offering, plan, broker string) (string, error) {
	f := capi.Filter{"names": {plan}, "service_offering_names": {offering}, "space_guids": {s.cfg.Space.GUID}, "available": {"true"}}
	if broker != "" {
		f = f.With("service_broker_names", broker)
	}
	found, err := capi.All[servicePlan](ctx, s.client, "/v3/service_plans", f)
	if err != nil && !errors.Is(err, capi.UnknownRequest) {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", withHint(fmt.Errorf("there is no plan %s of an offering %s here", quote(plan), quote(offering)), "see: cupola marketplace")
	case 1:
		return found[0].GUID, nil
	}
	return "", withHint(fmt.Errorf("several brokers have a plan %s of an offering %s", quote(plan), quote(offering)), "say which with -b SERVICE_BROKER")
}

func createService(ctx context.Context, s *session, c *cli.Context) error {
	offering, plan, name := c.Args().Get(0), c.Args().Get(1), c.Args().Get(2)
	params, err := paramsOf(c)
	if err != nil {
		return err
	}
	guid, err := s.planOf(ctx, offering, plan, c.String("b"))
	if err != nil {
		return err
	}
	in := capi.ServiceInstanceCreate{Type: capi.ServiceManaged, Name: name, Tags: tagsOf(c), Parameters: params,
		Relationships: capi.ServiceInstanceRelatesTo{Space: capi.To(s.cfg.Space.GUID), ServicePlan: capi.To(guid)}}
	done, err := s.serviceAct(ctx, c, http.MethodPost, instanceKind.path, in)
	if err != nil && strings.Contains(err.Error(), "The service instance name is taken") {
		s.ui.Notef("Service instance %s is there already.", s.ui.Name(name))
		return nil
	}
	return s.serviceDone(done, err, name, "made")
}

// serviceDone says how far a change is.
func (s *session) serviceDone(done bool, err error, name, verb string) error {
	switch {
	case err != nil:
		return err
	case done:
		s.ui.Notef("Service instance %s is %s.", s.ui.Name(name), verb)
	default:
		s.ui.Notef("Service instance %s is being %s.", s.ui.Name(name), verb)
		s.ui.Hintf("see: cupola service %s", name)
	}
	return nil
}

func updateService(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	in := capi.ServiceInstanceUpdate{}
	var err error
	if in.Parameters, err = paramsOf(c); err != nil {
		return err
	}
	if c.IsSet("t") {
		in.Tags = capi.Some(tagsOf(c))
	}
	plan := c.String("p")
	if in.Parameters == nil && plan == "" && !c.IsSet("t") {
		return badUsage("update-service needs -p, -c or -t")
	}
	found, plans, err := s.instances(ctx, s.inSpace().With("names", name))
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return instanceKind.missing(name)
	case found[0].Type == capi.ServiceUserProvided:
		return withHint(fmt.Errorf("service instance %s is user-provided", quote(name)), "change it with: cupola update-user-provided-service %s", name)
	}
	if plan != "" {
		now := plans[found[0].Relationships.ServicePlan.GUID()]
		guid, err := s.planOf(ctx, now.offering, plan, now.broker)
		if err != nil {
			return err
		}
		in.Relationships = &capi.ServiceInstanceRelatesTo{ServicePlan: capi.To(guid)}
	}
	done, err := s.serviceAct(ctx, c, http.MethodPatch, instanceKind.path+"/"+found[0].GUID, in)
	return s.serviceDone(done, err, name, "changed")
}

func upgradeService(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	instance, err := find[struct {
		capi.ServiceInstance
		UpgradeAvailable bool `json:"upgrade_available"`
	}](ctx, s, instanceKind, name, s.inSpace())
	if err != nil {
		return err
	}
	if !instance.UpgradeAvailable {
		s.ui.Notef("Service instance %s has the newest version already.", s.ui.Name(name))
		return nil
	}
	plan, err := capi.Get[servicePlan](ctx, s.client, "/v3/service_plans/"+instance.Relationships.ServicePlan.GUID())
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Upgrade service instance %s? It may not answer meanwhile.", quote(name)); !ok {
		return err
	}
	done, err := s.serviceAct(ctx, c, http.MethodPatch, instanceKind.path+"/"+instance.GUID, capi.ServiceInstanceUpdate{MaintenanceInfo: plan.MaintenanceInfo})
	return s.serviceDone(done, err, name, "upgraded")
}

// doomed is the service instance that is to go, after a question; nil: nothing is to be done.
func (s *session) doomed(ctx context.Context, c *cli.Context, question string) (*capi.ServiceInstance, error) {
	name := c.Args().First()
	instance, err := capi.First[capi.ServiceInstance](ctx, s.client, instanceKind.path, s.inSpace().With("names", name), "Service instance")
	if notFound(err) {
		s.ui.Notef("There is no service instance %s.", quote(name))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if ok, err := s.sure(c, question, quote(name)); !ok {
		return nil, err
	}
	return instance, nil
}

func deleteService(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.doomed(ctx, c, "Delete service instance %s with all that it holds?")
	if err != nil || instance == nil {
		return err
	}
	if c.Bool("purge") {
		return s.deleteForEver(ctx, instance)
	}
	done, err := s.serviceAct(ctx, c, http.MethodDelete, instanceKind.path+"/"+instance.GUID, nil)
	if notFound(err) {
		done, err = true, nil
	}
	return s.serviceDone(done, err, instance.Name, "deleted")
}

func purgeService(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.doomed(ctx, c, "Forget service instance %s without asking its broker, which may leave behind what it has made?")
	if err != nil || instance == nil {
		return err
	}
	if err := s.client.Delete(ctx, instanceKind.path+"/"+instance.GUID+"?purge=true"); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Service instance %s is forgotten.", s.ui.Name(instance.Name))
	return nil
}
