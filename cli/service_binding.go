package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const bindingPath = "/v3/service_credential_bindings"

func (k *console) serviceBindingCommands() []*cli.Command {
	find := []string{"GET /v3/apps", "GET /v3/service_instances"}
	with := func(more ...string) []string { return slices.Concat(find, more) }
	key := "SERVICE_INSTANCE KEY"
	return []*cli.Command{
		k.command(spec{name: "bind-service", aliases: []string{"bs"}, category: serviceCategory, summary: "give an app the credentials of a service instance", args: "APP_NAME SERVICE_INSTANCE", min: 2, max: 2,
			details:  "The app reads them from VCAP_SERVICES when it starts: restart it then, or restage it where its buildpack reads them.",
			examples: []string{"cupola bind-service shop shop-db && cupola restart shop", `cupola bind-service shop shop-db -c '{"role":"reader"}'`},
			flags: []cli.Flag{paramsFlag, waitFlag, &cli.StringFlag{Name: "binding-name", Usage: "`NAME` under which the app finds it (default: that of the service instance)"},
				&cli.StringFlag{Name: "strategy", Usage: "`HOW`: single, or multiple to keep earlier bindings while credentials are changed"}},
			need: aSpace, run: bindService, api: with("POST "+bindingPath, "GET /v3/jobs/:guid")}),
		k.command(spec{name: "unbind-service", aliases: []string{"us"}, category: serviceCategory, summary: "take the credentials of a service instance from an app", args: "APP_NAME SERVICE_INSTANCE", min: 2, max: 2,
			flags: []cli.Flag{waitFlag, &cli.StringFlag{Name: "guid", Usage: "only the binding with this `GUID`"}}, need: aSpace, run: unbindService,
			api: with("GET "+bindingPath, "DELETE "+bindingPath+"/:guid", "GET /v3/jobs/:guid")}),
		k.command(spec{name: "cleanup-outdated-service-bindings", category: serviceCategory, summary: "delete older bindings of an app where there are several of a service instance", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{forceFlag, waitFlag, &cli.IntFlag{Name: "keep-last", Value: 1, Usage: "`NUMBER` of bindings that stay"},
				&cli.StringFlag{Name: "service-instance", Usage: "only those of this `SERVICE_INSTANCE`"}}, need: aSpace, run: cleanupBindings, api: with("GET "+bindingPath, "DELETE "+bindingPath+"/:guid")}),
		k.command(spec{name: "create-service-key", aliases: []string{"csk"}, category: serviceCategory, summary: "make credentials of a service instance for use outside of apps", args: "SERVICE_INSTANCE NEW_NAME", min: 2, max: 2,
			flags: []cli.Flag{paramsFlag, waitFlag}, need: aSpace, run: createServiceKey, api: []string{"GET /v3/service_instances", "POST " + bindingPath, "GET /v3/jobs/:guid"}}),
		k.command(spec{name: "service-keys", aliases: []string{"sk"}, category: serviceCategory, summary: "list the keys of a service instance", args: "SERVICE_INSTANCE", min: 1, max: 1, need: aSpace,
			run: serviceKeys, api: []string{"GET /v3/service_instances", "GET " + bindingPath}}),
		k.command(spec{name: "service-key", category: serviceCategory, summary: "show the credentials of a key", args: key, min: 2, max: 2, flags: []cli.Flag{guidFlag, jsonFlag}, need: aSpace,
			run: serviceKey, api: []string{"GET /v3/service_instances", "GET " + bindingPath, "GET " + bindingPath + "/:guid/details"}}),
		k.command(spec{name: "delete-service-key", aliases: []string{"dsk"}, category: serviceCategory, summary: "delete a key", args: key, min: 2, max: 2, flags: []cli.Flag{forceFlag, waitFlag}, need: aSpace,
			run: deleteServiceKey, api: []string{"GET /v3/service_instances", "GET " + bindingPath, "DELETE " + bindingPath + "/:guid", "GET /v3/jobs/:guid"}}),
	}
}

func bindService(ctx context.Context, s *session, c *cli.Context) error {
	params, err := paramsOf(c)
	if err != nil {
		return err
	}
	strategy := c.String("strategy")
	if strategy != "" && strategy != "single" && strategy != "multiple" {
		return badUsage("--strategy is single or multiple, not %s", quote(strategy))
	}
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	instance, err := s.instance(ctx, c.Args().Get(1))
	if err != nil {
		return err
	}
	in := capi.BindingCreate{Type: capi.BindingApp, Parameters: params, Strategy: strategy,
		Relationships: capi.BindingRelationships{App: capi.To(app.GUID), ServiceInstance: capi.To(instance.GUID)}}
	if name := c.String("binding-name"); name != "" {
		in.Name = &name
	}
	done, err := s.serviceAct(ctx, c, http.MethodPost, bindingPath, in)
	if err != nil && strings.Contains(err.Error(), "already bound") {
		s.ui.Notef("App %s is bound to %s already.", s.ui.Name(app.Name), s.ui.Name(instance.Name))
		return nil
	}
	if err != nil {
		return err
	}
	if !done {
		s.ui.Notef("App %s is being bound to %s.", s.ui.Name(app.Name), s.ui.Name(instance.Name))
		s.ui.Hintf("see: cupola service %s", instance.Name)
		return nil
	}
	s.ui.Notef("App %s is bound to %s.", s.ui.Name(app.Name), s.ui.Name(instance.Name))
	s.ui.Hintf("for it to take effect: cupola restage %s", app.Name)
	return nil
}

// bindings are those that match, newest first.
func (s *session) bindings(ctx context.Context, f capi.Filter) ([]capi.ServiceCredentialBinding, error) {
	return capi.All[capi.ServiceCredentialBinding](ctx, s.client, bindingPath, f.With("order_by", "-created_at").With("per_page", "5000"))
}

func unbindService(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	instance, err := s.instance(ctx, c.Args().Get(1))
	if err != nil {
		return err
	}
	f := capi.Filter{"app_guids": {app.GUID}, "service_instance_guids": {instance.GUID}, "type": {capi.BindingApp}}
	if guid := c.String("guid"); guid != "" {
		f = f.With("guids", guid)
	}
	found, err := s.bindings(ctx, f)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		s.ui.Notef("App %s is not bound to %s.", s.ui.Name(app.Name), s.ui.Name(instance.Name))
		return nil
	}
	if err := s.deleteBindings(ctx, c, found); err != nil {
		return err
	}
	s.ui.Notef("App %s is no longer bound to %s.", s.ui.Name(app.Name), s.ui.Name(instance.Name))
	return nil
}

func (s *session) deleteBindings(ctx context.Context, c *cli.Context, all []capi.ServiceCredentialBinding) error {
	for _, b := range all {
		if _, err := s.serviceAct(ctx, c, http.MethodDelete, bindingPath+"/"+b.GUID, nil); err != nil && !notFound(err) {
			return err
		}
	}
	return nil
}

func cleanupBindings(ctx context.Context, s *session, c *cli.Context) error {
	keep := c.Int("keep-last")
	if keep < 1 {
		return badUsage("--keep-last must be at least 1")
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	f := capi.Filter{"app_guids": {app.GUID}, "type": {capi.BindingApp}}
	if name := c.String("service-instance"); name != "" {
		instance, err := s.instance(ctx, name)
		if err != nil {
			return err
		}
		f = f.With("service_instance_guids", instance.GUID)
	}
	all, err := s.bindings(ctx, f)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	var old []capi.ServiceCredentialBinding
	for _, b := range all {
		instance := b.Relationships.ServiceInstance.GUID()
		if seen[instance]++; seen[instance] > keep {
			old = append(old, b)
		}
	}
	if len(old) == 0 {
		s.ui.Notef("App %s has no outdated binding.", s.ui.Name(app.Name))
		return nil
	}
	if ok, err := s.sure(c, "Delete %s outdated bindings of app %s?", strconv.Itoa(len(old)), quote(app.Name)); !ok {
		return err
	}
	if err := s.deleteBindings(ctx, c, old); err != nil {
		return err
	}
	s.ui.Notef("%d outdated bindings of app %s are deleted.", len(old), s.ui.Name(app.Name))
	return nil
}

func createServiceKey(ctx context.Context, s *session, c *cli.Context) error {
	params, err := paramsOf(c)
	if err != nil {
		return err
	}
	instance, err := s.instance(ctx, c.Args().Get(0))
	if err != nil {
		return err
	}
	name := c.Args().Get(1)
	in := capi.BindingCreate{Type: capi.BindingKey, Name: &name, Parameters: params, Relationships: capi.BindingRelationships{ServiceInstance: capi.To(instance.GUID)}}
	done, err := s.serviceAct(ctx, c, http.MethodPost, bindingPath, in)
	switch {
	case err != nil && strings.Contains(err.Error(), "names must be unique"):
		s.ui.Notef("Key %s of %s is there already.", s.ui.Name(name), s.ui.Name(instance.Name))
		return nil
	case err != nil:
		return err
	case !done:
		s.ui.Notef("Key %s of %s is being made.", s.ui.Name(name), s.ui.Name(instance.Name))
		return nil
	}
	s.ui.Notef("Key %s of %s is made.", s.ui.Name(name), s.ui.Name(instance.Name))
	s.ui.Hintf("see: cupola service-key %s %s", instance.Name, name)
	return nil
}

func serviceKeys(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.instance(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.bindings(ctx, capi.Filter{"service_instance_guids": {instance.GUID}, "type": {capi.BindingKey}})
	if err != nil {
		return err
	}
	return list(s, c, all, "Service instance "+instance.Name+" has no key.", []string{"name", "last operation", "message"}, func(b capi.ServiceCredentialBinding) []string {
		return []string{s.ui.Name(text(b.Name)), lastOperation(b.LastOperation), b.LastOperation.Description}
	})
}

// key is the key that the arguments name, ResourceNotFound when there is none.
func (s *session) key(ctx context.Context, c *cli.Context) (*capi.ServiceCredentialBinding, error) {
	instance, err := s.instance(ctx, c.Args().Get(0))
	if err != nil {
		return nil, err
	}
	f := capi.Filter{"service_instance_guids": {instance.GUID}, "type": {capi.BindingKey}, "names": {c.Args().Get(1)}}
	return capi.First[capi.ServiceCredentialBinding](ctx, s.client, bindingPath, f, "Service key")
}

func serviceKey(ctx context.Context, s *session, c *cli.Context) error {
	key, err := s.key(ctx, c)
	if notFound(err) {
		return withHint(fmt.Errorf("service instance %s has no key %s", quote(c.Args().Get(0)), quote(c.Args().Get(1))), "see: cupola service-keys %s", c.Args().Get(0))
	}
	if err != nil {
		return err
	}
	if c.Bool("guid") {
		s.ui.Println(key.GUID)
		return nil
	}
	details, err := capi.Get[capi.BindingDetails](ctx, s.client, bindingPath+"/"+key.GUID+"/details")
	if errors.Is(err, capi.ResourceNotFound) {
		return errors.New("the credentials of the key are not there yet, or may not be seen")
	}
	if err != nil {
		return err
	}
	return s.ui.JSON(json.RawMessage(details.Credentials))
}

func deleteServiceKey(ctx context.Context, s *session, c *cli.Context) error {
	key, err := s.key(ctx, c)
	if notFound(err) {
		s.ui.Notef("There is no key %s.", quote(c.Args().Get(1)))
		return nil
	}
	if err != nil {
		return err
	}
	if ok, err := s.sure(c, "Delete key %s of service instance %s?", quote(c.Args().Get(1)), quote(c.Args().Get(0))); !ok {
		return err
	}
	if err := s.deleteBindings(ctx, c, []capi.ServiceCredentialBinding{*key}); err != nil {
		return err
	}
	s.ui.Notef("Key %s is deleted.", quote(c.Args().Get(1)))
	return nil
}
