package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
)

func errNotProvided(name string) error {
	return fmt.Errorf("service instance %s is not user-provided: a broker keeps it", quote(name))
}

// planNames are the offering, plan and broker of a service instance, by GUID of the plan.
type planNames struct{ offering, plan, broker string }

// instanceFields ask the API for the names of plans along with the instances.
var instanceFields = capi.Filter{
	"fields[service_plan]":                                 {"guid,name,relationships.service_offering"},
	"fields[service_plan.service_offering]":                {"guid,name,relationships.service_broker"},
	"fields[service_plan.service_offering.service_broker]": {"guid,name"},
}

// includedPlans is what comes along.
type includedPlans struct {
	Plans     []servicePlan     `json:"service_plans"`
	Offerings []serviceOffering `json:"service_offerings"`
	Brokers   []named           `json:"service_brokers"`
}

// names are the names of the plans by GUID.
func (in includedPlans) names() map[string]planNames {
	all := map[string]planNames{}
	for _, p := range in.Plans {
		n := planNames{plan: p.Name}
		for _, o := range in.Offerings {
			if o.GUID != p.Relationships.Offering.GUID() {
				continue
			}
			n.offering = o.Name
			for _, b := range in.Brokers {
				if b.GUID == o.Relationships.Broker.GUID() {
					n.broker = b.Name
				}
			}
		}
		all[p.GUID] = n
	}
	return all
}

// instances are service instances with the names of their plans.
func (s *session) instances(ctx context.Context, f capi.Filter) ([]capi.ServiceInstance, map[string]planNames, error) {
	for key, value := range instanceFields {
		f = f.With(key, value...)
	}
	var all []capi.ServiceInstance
	plans := map[string]planNames{}
	for page, err := range capi.PagesWith[capi.ServiceInstance, includedPlans](ctx, s.client, instanceKind.path, f) {
		if err != nil {
			return nil, nil, err
		}
		all = append(all, page.Resources...)
		for guid, n := range page.Included.names() {
			plans[guid] = n
		}
	}
	return all, plans, nil
}

// boundApps are the names of the apps that service instances are bound to, by GUID of the instance.
func (s *session) boundApps(ctx context.Context, instances []capi.ServiceInstance) (map[string][]string, error) {
	bound := map[string][]string{}
	guids := make([]string, len(instances))
	for i, one := range instances {
		guids[i] = one.GUID
	}
	for some := range slices.Chunk(guids, guidBatch) {
		names := map[string]string{}
		f := capi.Filter{"service_instance_guids": some, "include": {"app"}, "per_page": {"5000"}}
		for page, err := range capi.Pages[capi.ServiceCredentialBinding](ctx, s.client, bindingPath, f) {
			if err != nil {
				return nil, err
			}
			if page.Included != nil {
				for _, a := range page.Included.Apps {
					names[a.GUID] = a.Name
				}
			}
			for _, b := range page.Resources {
				if b.Type == capi.BindingApp {
					instance := b.Relationships.ServiceInstance.GUID()
					bound[instance] = append(bound[instance], names[b.Relationships.App.GUID()])
				}
			}
		}
	}
	return bound, nil
}

func lastOperation(o capi.LastOperation) string { return strings.TrimSpace(o.Type + " " + o.State) }

// lastProof is when a backup of a data service was last restored on trial; empty for what has none.
func lastProof(i capi.ServiceInstance) string {
	switch {
	case i.Data == nil || !i.Data.Backups:
		return ""
	case i.Data.LastProof == nil:
		return "never"
	}
	return i.Data.LastProof.ProvedAt.Local().Format(time.DateTime)
}

// upgradeOf says whether the plan has something newer.
func upgradeOf(i capi.ServiceInstance) string {
	if i.UpgradeAvailable != nil && *i.UpgradeAvailable {
		return "available"
	}
	return ""
}

// dataFields tell of what a data service holds.
func dataFields(i capi.ServiceInstance) [][2]string {
	switch {
	case i.Data == nil:
		return nil
	case !i.Data.KeepsData:
		return [][2]string{{"data", "it keeps none through a restart"}}
	case !i.Data.Backups:
		return [][2]string{{"backups", "none: the offering has no backups"}}
	case i.Data.LastProof == nil:
		return [][2]string{{"last proof", "never: no backup was restored on trial yet"}}
	}
	p := i.Data.LastProof
	return [][2]string{{"last proof", lastProof(i)}, {"of", fmt.Sprintf("backup %s of %s, restored on trial with %s", p.GUID, p.CreatedAt.Local().Format(time.DateTime), p.Proof)}}
}

// usageFields tell what a data service uses of its plan.
func usageFields(i capi.ServiceInstance) [][2]string {
	if i.Data == nil || i.Data.Usage == nil {
		return nil
	}
	u := i.Data.Usage
	var rows [][2]string
	if u.CPU != nil && u.MemoryBytes != nil {
		rows = append(rows, [2]string{"cpu", fmt.Sprintf("%.1f%%", 100**u.CPU)}, [2]string{"memory", ui.Bytes(*u.MemoryBytes) + " of " + ui.Bytes(u.MemoryLimit)})
	}
	if u.DiskBytes != nil && u.DiskLimit > 0 {
		rows = append(rows, [2]string{"disk", ui.Bytes(*u.DiskBytes) + " of " + ui.Bytes(u.DiskLimit)})
	}
	if u.Connections != nil && u.ConnectionsLimit > 0 {
		rows = append(rows, [2]string{"connections", fmt.Sprintf("%d of %d", *u.Connections, u.ConnectionsLimit)})
	}
	return rows
}

// tellCauses says what is the matter with a data service, and what to do.
func (s *session) tellCauses(i capi.ServiceInstance) {
	if i.Data == nil {
		return
	}
	for _, c := range i.Data.Causes {
		s.ui.Println(s.ui.Bad("Why: ") + full(sentence(ui.Clean(c.Text))))
		s.ui.Println(s.ui.Good("Do:  ") + full(sentence(ui.Clean(explain.Todo(c)))))
	}
}

func services(ctx context.Context, s *session, c *cli.Context) error {
	all, plans, err := s.instances(ctx, labelled(c, s.inSpace().With("order_by", "name").With("per_page", "5000")))
	if err != nil {
		return err
	}
	bound := map[string][]string{}
	if !c.Bool("no-apps") && !s.ui.WantsJSON() {
		if bound, err = s.boundApps(ctx, all); err != nil {
			return err
		}
	}
	return list(s, c, all, "There is no service instance yet. Make one: cupola create-service, or cupola create-user-provided-service",
		[]string{"name", "offering", "plan", "bound apps", "last operation", "broker", "last proof", "any moment", "upgrade"}, func(i capi.ServiceInstance) []string {
			n := plans[i.Relationships.ServicePlan.GUID()]
			if i.Type == capi.ServiceUserProvided {
				n.offering = "user-provided"
			}
			return []string{s.ui.Name(i.Name), n.offering, n.plan, strings.Join(bound[i.GUID], ", "), lastOperation(i.LastOperation), n.broker, lastProof(i), momentsOf(i), upgradeOf(i)}
		})
}

func showService(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	found, plans, err := s.instances(ctx, s.inSpace().With("names", name))
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return instanceKind.missing(name)
	}
	i := found[0]
	switch {
	case c.Bool("guid"):
		s.ui.Println(i.GUID)
		return nil
	case c.Bool("params"):
		params, err := capi.Get[json.RawMessage](ctx, s.client, instanceKind.path+"/"+i.GUID+"/parameters")
		if err != nil {
			return err
		}
		return s.ui.JSON(params)
	case s.ui.WantsJSON():
		return s.ui.JSON(i)
	}
	n := plans[i.Relationships.ServicePlan.GUID()]
	s.fields(append([][2]string{{"name", s.ui.Name(i.Name)}, {"guid", i.GUID}, {"type", i.Type}, {"broker", n.broker}, {"offering", n.offering}, {"plan", n.plan},
		{"tags", strings.Join(i.Tags, ", ")}, {"logs go to", i.SyslogDrainURL.Or("")}, {"requests go through", i.RouteServiceURL.Or("")},
		{"last operation", lastOperation(i.LastOperation)}, {"message", i.LastOperation.Description}, {"since", ui.Time(i.LastOperation.UpdatedAt.Time)}, {"upgrade", upgradeOf(i)}}, slices.Concat(dataFields(i), momentFields(i), usageFields(i))...))
	s.tellCauses(i)
	return s.showServiceBindings(ctx, i)
}

func (s *session) showServiceBindings(ctx context.Context, i capi.ServiceInstance) error {
	apps := map[string]string{}
	var rows [][]string
	f := capi.Filter{"service_instance_guids": {i.GUID}, "type": {capi.BindingApp}, "include": {"app"}}
	for page, err := range capi.Pages[capi.ServiceCredentialBinding](ctx, s.client, bindingPath, f) {
		if err != nil {
			return err
		}
		if page.Included != nil {
			for _, a := range page.Included.Apps {
				apps[a.GUID] = a.Name
			}
		}
		for _, b := range page.Resources {
			rows = append(rows, []string{s.ui.Name(apps[b.Relationships.App.GUID()]), text(b.Name), lastOperation(b.LastOperation), b.GUID})
		}
	}
	s.ui.Println()
	s.ui.Table("It is bound to no app.", []string{"app", "binding name", "last operation", "guid"}, rows)
	return nil
}
