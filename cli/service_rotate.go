package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) rotateCommands() []*cli.Command {
	return []*cli.Command{k.command(spec{
		name: "rotate-service-credentials", category: serviceCategory, summary: "give an app new credentials of a service instance without downtime, and revoke the old ones", args: "APP_NAME SERVICE_INSTANCE", min: 2, max: 2,
		details: "A second binding is made, the app is restarted in a rolling way, and then the old binding is deleted. When the restart fails both stay; the next rotation deletes them.",
		flags:   []cli.Flag{&cli.IntFlag{Name: "max-in-flight", Usage: "`NUMBER` of instances that are replaced at a time"}}, need: aSpace, noJSON: true, run: rotateCredentials,
		api: []string{"GET /v3/apps", "GET /v3/service_instances", "GET " + bindingPath, "POST " + bindingPath, "DELETE " + bindingPath + "/:guid", "GET /v3/apps/:guid/droplets/current",
			"POST /v3/deployments", "GET /v3/deployments/:guid", "GET /v3/jobs/:guid"},
	})}
}

// rotation is what a change of credentials works on.
type rotation struct {
	app      *capi.App
	instance *capi.ServiceInstance
	plan     strategy
	old      []capi.ServiceCredentialBinding // newest first
}

func rotateCredentials(ctx context.Context, s *session, c *cli.Context) error {
	r := rotation{plan: strategy{name: "rolling", maxInFlight: c.Int("max-in-flight")}}
	if c.IsSet("max-in-flight") && r.plan.maxInFlight < 1 {
		return badUsage("--max-in-flight must be at least 1")
	}
	var err error
	if r.app, err = s.app(ctx, c.Args().Get(0)); err != nil {
		return err
	}
	if r.instance, err = s.instance(ctx, c.Args().Get(1)); err != nil {
		return err
	}
	if r.instance.Type == capi.ServiceUserProvided {
		return withHint(fmt.Errorf("service instance %s is user-provided: its credentials are yours to change", quote(r.instance.Name)),
			"change them with cupola update-user-provided-service %s, and restart the app with --strategy rolling", r.instance.Name)
	}
	if r.old, err = s.bindings(ctx, r.filter()); err != nil {
		return err
	}
	if len(r.old) == 0 {
		return withHint(fmt.Errorf("app %s is not bound to %s", quote(r.app.Name), quote(r.instance.Name)), "bind it with: cupola bind-service %s %s", r.app.Name, r.instance.Name)
	}
	return s.rotate(ctx, r)
}

func (r *rotation) filter() capi.Filter {
	return capi.Filter{"app_guids": {r.app.GUID}, "service_instance_guids": {r.instance.GUID}, "type": {capi.BindingApp}}
}

// rotate goes on to the next step when the one before is done, so that the app always runs with credentials that count.
func (s *session) rotate(ctx context.Context, r rotation) error {
	in := capi.BindingCreate{Type: capi.BindingApp, Name: r.old[0].Name, Strategy: "multiple",
		Relationships: capi.BindingRelationships{App: capi.To(r.app.GUID), ServiceInstance: capi.To(r.instance.GUID)}}
	if err := s.client.Act(ctx, http.MethodPost, bindingPath, in); err != nil {
		return err
	}
	s.ui.Notef("App %s has new credentials of %s.", s.ui.Name(r.app.Name), s.ui.Name(r.instance.Name))
	if r.app.State == "STARTED" {
		if err := s.restartRolling(ctx, r); err != nil {
			return withHint(fmt.Errorf("no credentials are revoked: %w", err), "both old and new ones work; when the app starts again: cupola rotate-service-credentials %s %s", r.app.Name, r.instance.Name)
		}
	}
	if err := s.revoke(ctx, r.old); err != nil {
		return fmt.Errorf("app %s uses the new credentials, but the old ones are not revoked: %w", quote(r.app.Name), err)
	}
	s.ui.Notef("The old credentials are revoked.")
	return nil
}

// restartRolling puts instances with the new credentials in place of the others.
func (s *session) restartRolling(ctx context.Context, r rotation) error {
	droplet, err := s.client.CurrentDroplet(ctx, r.app.GUID)
	if err != nil {
		return err
	}
	return s.deploy(ctx, r.app, droplet.GUID, r.plan, time.Now())
}

// revoke deletes bindings and waits until the broker has.
func (s *session) revoke(ctx context.Context, all []capi.ServiceCredentialBinding) error {
	for _, b := range all {
		if err := s.client.Act(ctx, http.MethodDelete, bindingPath+"/"+b.GUID, nil); err != nil && !notFound(err) {
			return err
		}
	}
	return nil
}
