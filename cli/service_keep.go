package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// withDataFlag is needed to delete what service instances with data are in.
var withDataFlag = &cli.BoolFlag{Name: "with-data", Usage: "delete it although service instances in it hold data"}

// holders are the names of the service instances that match and hold data, as far as is known: those of other brokers
// may. With spaces they are SPACE/NAME.
func (s *session) holders(ctx context.Context, f capi.Filter, spaces bool) ([]string, error) {
	all, err := capi.All[capi.ServiceInstance](ctx, s.client, instanceKind.path, f.With("type", capi.ServiceManaged).With("per_page", "5000"))
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	if spaces && len(all) > 0 {
		found, err := capi.All[capi.Space](ctx, s.client, "/v3/spaces", capi.Filter{"organization_guids": f["organization_guids"], "per_page": {"5000"}})
		if err != nil {
			return nil, err
		}
		for _, space := range found {
			names[space.GUID] = space.Name + "/"
		}
	}
	var held []string
	for _, i := range all {
		if i.Type == capi.ServiceManaged && (i.Data == nil || i.Data.KeepsData) {
			held = append(held, names[i.Relationships.Space.GUID()]+i.Name)
		}
	}
	return held, nil
}

// mayDelete refuses to delete what holds data without --with-data, and asks, unless -f is given. what is "space dev".
func (s *session) mayDelete(c *cli.Context, what, inside string, held []string) (bool, error) {
	if len(held) == 0 {
		return s.sure(c, "Delete %s with all its %s?", what, inside)
	}
	list := strings.Join(held, ", ")
	if !c.Bool("with-data") {
		return false, withHint(fmt.Errorf("%s is not deleted, for its service instances hold data: %s", what, list),
			"delete them first with delete-service, or all at once with --with-data; data of the platform's own services then stays for 7 days")
	}
	return s.sure(c, "Delete %s with all its %s, and with the data of these service instances: %s?", what, inside, list)
}

// staying are the service instances that an app is bound to, which outlive it.
func (s *session) staying(ctx context.Context, app *capi.App) (string, error) {
	f := capi.Filter{"app_guids": {app.GUID}, "type": {capi.BindingApp}}
	bindings, err := s.bindings(ctx, f)
	if err != nil || len(bindings) == 0 {
		return "", err
	}
	guids := make([]string, 0, guidBatch)
	for _, b := range bindings[:min(len(bindings), guidBatch)] {
		guids = append(guids, b.Relationships.ServiceInstance.GUID())
	}
	all, err := capi.All[capi.ServiceInstance](ctx, s.client, instanceKind.path, capi.Filter{"guids": guids, "order_by": {"name"}})
	return joinNames(all, func(i capi.ServiceInstance) string { return i.Name }), err
}
