package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const routeBindingPath = "/v3/service_route_bindings"

func (k *console) serviceRouteCommands() []*cli.Command {
	find := []string{"GET /v3/domains", "GET /v3/routes", "GET /v3/service_instances"}
	other := []cli.Flag{&cli.StringFlag{Name: "s", Usage: "the other `SPACE`"}, &cli.StringFlag{Name: "o", Usage: "`ORG` of the other space, when it is not the targeted one"}}
	spaces := []string{"GET /v3/service_instances", "GET /v3/organizations", "GET /v3/spaces"}
	return []*cli.Command{
		k.command(spec{name: "bind-route-service", aliases: []string{"brs"}, category: serviceCategory, summary: "lead the requests of a route through a service instance", args: "DOMAIN SERVICE_INSTANCE", min: 2, max: 2,
			flags: routeFlags(paramsFlag, waitFlag), need: aSpace, run: bindRouteService, api: append(slices.Clone(find), "POST "+routeBindingPath, "GET /v3/jobs/:guid")}),
		k.command(spec{name: "unbind-route-service", aliases: []string{"urs"}, category: serviceCategory, summary: "no longer lead the requests of a route through a service instance", args: "DOMAIN SERVICE_INSTANCE", min: 2, max: 2,
			flags: routeFlags(forceFlag, waitFlag), need: aSpace, run: unbindRouteService, api: append(slices.Clone(find), "GET "+routeBindingPath, "DELETE "+routeBindingPath+"/:guid")}),
		k.command(spec{name: "share-service", category: serviceCategory, summary: "let the apps of another space use a service instance", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: other, need: aSpace, run: shareService, api: append(slices.Clone(spaces), "POST /v3/service_instances/:guid/relationships/shared_spaces")}),
		k.command(spec{name: "unshare-service", category: serviceCategory, summary: "no longer let the apps of another space use a service instance", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: append(slices.Clone(other), forceFlag), need: aSpace, run: unshareService, api: append(slices.Clone(spaces), "DELETE /v3/service_instances/:guid/relationships/shared_spaces/:guid")}),
	}
}

func bindRouteService(ctx context.Context, s *session, c *cli.Context) error {
	params, err := paramsOf(c)
	if err != nil {
		return err
	}
	a, route, err := s.mustFindRoute(ctx, c, c.Args().Get(0))
	if err != nil {
		return err
	}
	instance, err := s.instance(ctx, c.Args().Get(1))
	if err != nil {
		return err
	}
	in := struct {
		Parameters    json.RawMessage       `json:"parameters,omitempty"`
		Relationships map[string]capi.ToOne `json:"relationships"`
	}{params, map[string]capi.ToOne{"route": capi.One(route.GUID), "service_instance": capi.One(instance.GUID)}}
	done, err := s.serviceAct(ctx, c, http.MethodPost, routeBindingPath, in)
	switch {
	case errors.Is(err, capi.AlreadyBoundToSameRoute):
		s.ui.Notef("Route %s leads through %s already.", s.ui.Name(a.String()), s.ui.Name(instance.Name))
	case err != nil:
		return err
	case !done:
		s.ui.Notef("Route %s is being led through %s.", s.ui.Name(a.String()), s.ui.Name(instance.Name))
	default:
		s.ui.Notef("Requests of route %s go through %s.", s.ui.Name(a.String()), s.ui.Name(instance.Name))
	}
	return nil
}

func unbindRouteService(ctx context.Context, s *session, c *cli.Context) error {
	a, route, err := s.mustFindRoute(ctx, c, c.Args().Get(0))
	if err != nil {
		return err
	}
	instance, err := s.instance(ctx, c.Args().Get(1))
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Lead the requests of route %s no longer through %s?", a.String(), quote(instance.Name)); !ok {
		return err
	}
	found, err := capi.First[named](ctx, s.client, routeBindingPath, capi.Filter{"route_guids": {route.GUID}, "service_instance_guids": {instance.GUID}}, "Service route binding")
	if notFound(err) {
		s.ui.Notef("Route %s does not lead through %s.", s.ui.Name(a.String()), s.ui.Name(instance.Name))
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := s.serviceAct(ctx, c, http.MethodDelete, routeBindingPath+"/"+found.GUID, nil); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Requests of route %s no longer go through %s.", s.ui.Name(a.String()), s.ui.Name(instance.Name))
	return nil
}

func shareService(ctx context.Context, s *session, c *cli.Context) error {
	if c.String("s") == "" {
		return badUsage("share-service needs -s SPACE")
	}
	instance, err := s.instance(ctx, c.Args().First())
	if err != nil {
		return err
	}
	to, err := s.otherSpace(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, instanceKind.path+"/"+instance.GUID+"/relationships/shared_spaces", to.GUID); err != nil {
		return err
	}
	s.ui.Notef("Apps of space %s can use %s.", s.ui.Name(to.Name), s.ui.Name(instance.Name))
	return nil
}

func unshareService(ctx context.Context, s *session, c *cli.Context) error {
	if c.String("s") == "" {
		return badUsage("unshare-service needs -s SPACE")
	}
	instance, err := s.instance(ctx, c.Args().First())
	if err != nil {
		return err
	}
	to, err := s.otherSpace(ctx, c)
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Take %s from the apps of space %s, with their bindings?", quote(instance.Name), quote(to.Name)); !ok {
		return err
	}
	if err := s.client.Delete(ctx, instanceKind.path+"/"+instance.GUID+"/relationships/shared_spaces/"+to.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Apps of space %s can no longer use %s.", s.ui.Name(to.Name), s.ui.Name(instance.Name))
	return nil
}
