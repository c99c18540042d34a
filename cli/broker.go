package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// broker is what is read of a service broker.
type broker struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

func serviceBrokers(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[whole[broker]](ctx, s.client, brokerKind.path, labelled(c, capi.Filter{}))
	if err != nil {
		return err
	}
	return list(s, c, all, "There is no service broker.", []string{"name", "url"}, func(b whole[broker]) []string { return []string{s.ui.Name(b.Of.Name), b.Of.URL} })
}

// brokerBody reads SERVICE_BROKER USERNAME [PASSWORD] URL.
func (s *session) brokerBody(c *cli.Context) (map[string]any, error) {
	args := c.Args().Slice()
	password, address := "", args[len(args)-1]
	if len(args) == 4 {
		password = args[2]
	} else if password = s.getenv("CUPOLA_BROKER_PASSWORD"); password == "" {
		var err error
		if password, err = s.ui.AskHidden("Password of the broker"); err != nil {
			return nil, withHint(err, "give it as an argument or with CUPOLA_BROKER_PASSWORD")
		}
	}
	return map[string]any{"name": args[0], "url": address, "authentication": map[string]any{"type": "basic",
		"credentials": map[string]string{"username": args[1], "password": password}}}, nil
}

func createBroker(ctx context.Context, s *session, c *cli.Context) error {
	if c.Bool("space-scoped") && s.cfg.Space.GUID == "" {
		return withHint(fmt.Errorf("no space is targeted"), "next: cupola target -o ORG -s SPACE")
	}
	in, err := s.brokerBody(c)
	if err != nil {
		return err
	}
	if c.Bool("update-if-exists") {
		found, err := capi.First[named](ctx, s.client, brokerKind.path, capi.Filter{"names": {c.Args().First()}}, "Service broker")
		if err == nil {
			return s.patchBroker(ctx, found.GUID, in)
		}
		if !notFound(err) {
			return err
		}
	}
	if c.Bool("space-scoped") {
		in["relationships"] = map[string]any{"space": capi.One(s.cfg.Space.GUID)}
	}
	if err := s.client.Act(ctx, http.MethodPost, brokerKind.path, in); err != nil {
		return err
	}
	s.ui.Notef("Service broker %s is known.", s.ui.Name(c.Args().First()))
	s.ui.Hintf("next: cupola enable-service-access SERVICE_OFFERING")
	return nil
}

func updateBroker(ctx context.Context, s *session, c *cli.Context) error {
	in, err := s.brokerBody(c)
	if err != nil {
		return err
	}
	guid, err := s.guidOf(ctx, brokerKind, c.Args().First(), nil)
	if err != nil {
		return err
	}
	return s.patchBroker(ctx, guid, in)
}

func (s *session) patchBroker(ctx context.Context, guid string, in map[string]any) error {
	name := in["name"]
	delete(in, "name")
	if err := s.client.Act(ctx, http.MethodPatch, brokerKind.path+"/"+guid, in); err != nil {
		return err
	}
	s.ui.Notef("Service broker %s is changed.", s.ui.Name(fmt.Sprint(name)))
	return nil
}

func purgeOffering(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	f := capi.Filter{"names": {name}}
	if b := c.String("b"); b != "" {
		f = f.With("service_broker_names", b)
	}
	found, err := capi.All[named](ctx, s.client, offeringKind.path, f)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		s.ui.Notef("There is no service offering %s.", quote(name))
		return nil
	case len(found) > 1:
		return withHint(fmt.Errorf("several brokers have an offering %s", quote(name)), "say which with -b SERVICE_BROKER")
	}
	if ok, err := s.sure(c, "Forget offering %s with all its service instances, without asking the broker?", quote(name)); !ok {
		return err
	}
	if err := s.client.Delete(ctx, offeringKind.path+"/"+found[0].GUID+"?purge=true"); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Service offering %s is forgotten.", s.ui.Name(name))
	return nil
}
