package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const serviceCategory = "Services"

var (
	waitFlag   = &cli.BoolFlag{Name: "wait", Aliases: []string{"w"}, Usage: "wait until it is done, also when a broker takes its time"}
	paramsFlag = &cli.StringFlag{Name: "c", Usage: "parameters for the broker: a `JSON` object, or the name of a file with one"}
	tagsFlag   = &cli.StringFlag{Name: "t", Usage: "`TAGS` for VCAP_SERVICES, with commas between them"}
)

func (k *console) serviceCommands() []*cli.Command {
	const path = "/v3/service_instances"
	provided := []cli.Flag{&cli.StringFlag{Name: "p", Usage: "credentials: a `JSON` object, the name of a file with one, or names with commas, whose values are asked for"},
		&cli.StringFlag{Name: "l", Usage: "`URL` that the logs of bound apps are sent to, such as syslog-tls://logs.example.com:6514"},
		&cli.StringFlag{Name: "r", Usage: "https `URL` that the requests of bound routes are led through"}, tagsFlag}
	plans := []string{"GET /v3/service_plans"}
	with := func(more ...string) []string { return append([]string{"GET " + path}, more...) }
	return []*cli.Command{
		k.command(spec{name: "services", aliases: []string{"s"}, category: serviceCategory, summary: "list the service instances of the space", need: aSpace, run: services,
			flags: []cli.Flag{labelFlag, &cli.BoolFlag{Name: "no-apps", Usage: "do not look which apps they are bound to, which is faster"}}, api: with("GET /v3/service_credential_bindings")}),
		k.command(spec{name: "service", category: serviceCategory, summary: "show a service instance", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: []cli.Flag{guidFlag, &cli.BoolFlag{Name: "params", Usage: "print its parameters and nothing else"}}, need: aSpace, run: showService,
			api: with("GET "+path+"/:guid/parameters", "GET /v3/service_credential_bindings", "GET "+path+"/:guid/relationships/shared_spaces")}),
		k.command(spec{name: "create-service", aliases: []string{"cs"}, category: serviceCategory, summary: "make a service instance of a plan", args: "SERVICE_OFFERING PLAN NEW_NAME", min: 3, max: 3,
			details: "Offerings and plans are those of cupola marketplace. A broker that takes its time goes on after the command has ended:\n" +
				"cupola service NEW_NAME says how far it is. Apps get the credentials with cupola bind-service.",
			examples: []string{"cupola create-service postgres small shop-db --wait", `cupola create-service acme-db small shop-db -c '{"version":17}'`},
			flags:    []cli.Flag{paramsFlag, tagsFlag, waitFlag, brokerFlag}, need: aSpace, run: createService, api: append(plans, "POST "+path, "GET /v3/jobs/:guid")}),
		k.command(spec{name: "update-service", category: serviceCategory, summary: "change plan, parameters or tags of a service instance", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: []cli.Flag{&cli.StringFlag{Name: "p", Usage: "new `PLAN`"}, paramsFlag, tagsFlag, waitFlag}, need: aSpace, run: updateService, api: with(append(plans, "PATCH "+path+"/:guid", "GET /v3/jobs/:guid")...)}),
		k.command(spec{name: "upgrade-service", category: serviceCategory, summary: "bring a service instance to the newest version of its plan", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: []cli.Flag{forceFlag, waitFlag}, need: aSpace, run: upgradeService, api: with("GET /v3/service_plans/:guid", "PATCH "+path+"/:guid")}),
		k.command(spec{name: "rename-service", category: serviceCategory, summary: "give a service instance another name", args: "SERVICE_INSTANCE NEW_NAME", min: 2, max: 2, need: aSpace,
			api: with("PATCH " + path + "/:guid"), run: func(ctx context.Context, s *session, c *cli.Context) error {
				return s.rename(ctx, instanceKind, s.inSpace(), c.Args().Get(0), c.Args().Get(1))
			}}),
		k.command(spec{name: "delete-service", aliases: []string{"ds"}, category: serviceCategory, summary: "delete a service instance with what it holds", args: "SERVICE_INSTANCE", min: 1, max: 1,
			details: "The data of the platform's own data services stays for 7 days: see deleted-services and restore-deleted-service.",
			flags:   []cli.Flag{forceFlag, waitFlag, &cli.BoolFlag{Name: "purge", Usage: "destroy its data and its backups now"}}, need: aSpace, run: deleteService,
			api: with("DELETE "+path+"/:guid", "GET /v3/jobs/:guid", "DELETE /v3/deleted_service_instances/:guid")}),
		k.command(spec{name: "purge-service-instance", category: serviceCategory, summary: "forget a service instance without asking its broker", args: "SERVICE_INSTANCE", min: 1, max: 1,
			details: "For a broker that is gone. What it has made is not removed.", flags: []cli.Flag{forceFlag}, need: aSpace, run: purgeService, api: with("DELETE " + path + "/:guid?purge=true")}),
		k.command(spec{name: "create-user-provided-service", aliases: []string{"cups"}, category: serviceCategory, summary: "make a service instance of credentials that you have", args: "NEW_NAME", min: 1, max: 1,
			examples: []string{`cupola cups mail -p '{"host":"smtp.example.com","user":"shop"}'`, "cupola cups mail -p host,user,password", "cupola cups logs -l syslog://logs.example.com:514"},
			flags:    provided, need: aSpace, run: createUserProvided, api: []string{"POST " + path}}),
		k.command(spec{name: "update-user-provided-service", aliases: []string{"uups"}, category: serviceCategory, summary: "change a user-provided service instance", args: "SERVICE_INSTANCE", min: 1, max: 1,
			flags: provided, need: aSpace, run: updateUserProvided, api: with("PATCH " + path + "/:guid")}),
	}
}

// whole is a resource of which only T is known here; as JSON it is what the API gave.
type whole[T any] struct {
	Of  T
	raw json.RawMessage
}

// UnmarshalJSON keeps all and reads what is known.
func (w *whole[T]) UnmarshalJSON(b []byte) error {
	w.raw = slices.Clone(b)
	return json.Unmarshal(b, &w.Of)
}

// MarshalJSON writes all.
func (w whole[T]) MarshalJSON() ([]byte, error) {
	if w.raw == nil {
		return []byte("null"), nil
	}
	return w.raw, nil
}

// instance is a service instance of the space by name.
func (s *session) instance(ctx context.Context, name string) (*capi.ServiceInstance, error) {
	return find[capi.ServiceInstance](ctx, s, instanceKind, name, s.inSpace())
}

// tagsOf are the tags of -t.
func tagsOf(c *cli.Context) []string {
	tags := []string{}
	for _, tag := range strings.Split(c.String("t"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// paramsOf are the parameters of -c, nil without it.
func paramsOf(c *cli.Context) (json.RawMessage, error) {
	given := c.String("c")
	if given == "" {
		return nil, nil
	}
	object, err := jsonObject(given)
	if err != nil {
		return nil, badUsage("-c: %v", err)
	}
	return json.Marshal(object)
}

// credentialsOf are those of -p: JSON, a file, or names whose values are asked for.
func (s *session) credentialsOf(c *cli.Context) (json.RawMessage, error) {
	given := c.String("p")
	if given == "" {
		return nil, nil
	}
	object, err := jsonObject(given)
	if err == nil {
		return json.Marshal(object)
	}
	if strings.ContainsAny(given, "{}[]/.") {
		return nil, badUsage("-p: %v", err)
	}
	asked := map[string]string{}
	for _, name := range strings.Split(given, ",") {
		name = strings.TrimSpace(name)
		if asked[name], err = s.ui.AskHidden(name); err != nil {
			return nil, err
		}
	}
	return json.Marshal(asked)
}

func createUserProvided(ctx context.Context, s *session, c *cli.Context) error {
	credentials, err := s.credentialsOf(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	in := capi.ServiceInstanceCreate{Type: capi.ServiceUserProvided, Name: name, Tags: tagsOf(c), Credentials: credentials,
		Relationships: capi.ServiceInstanceRelatesTo{Space: capi.To(s.cfg.Space.GUID)}}
	for flag, to := range map[string]**string{"l": &in.SyslogDrainURL, "r": &in.RouteServiceURL} {
		if value := c.String(flag); value != "" {
			*to = &value
		}
	}
	made, err := capi.Change[capi.ServiceInstance](ctx, s.client, http.MethodPost, instanceKind.path, in)
	if err != nil {
		return err
	}
	s.ui.Notef("Service instance %s is made.", s.ui.Name(name))
	s.ui.Hintf("next: cupola bind-service APP_NAME %s", name)
	return s.answer(made)
}

func updateUserProvided(ctx context.Context, s *session, c *cli.Context) error {
	in := capi.ServiceInstanceUpdate{}
	var err error
	if in.Credentials, err = s.credentialsOf(c); err != nil {
		return err
	}
	if c.IsSet("t") {
		in.Tags = capi.Some(tagsOf(c))
	}
	if c.IsSet("l") {
		in.SyslogDrainURL = capi.Some(c.String("l"))
	}
	if c.IsSet("r") {
		in.RouteServiceURL = capi.Some(c.String("r"))
	}
	if in.Credentials == nil && !c.IsSet("t") && !c.IsSet("l") && !c.IsSet("r") {
		return badUsage("update-user-provided-service needs -p, -l, -r or -t")
	}
	name := c.Args().First()
	instance, err := s.instance(ctx, name)
	if err != nil {
		return err
	}
	if instance.Type != capi.ServiceUserProvided {
		return withHint(errNotProvided(name), "change it with: cupola update-service %s", name)
	}
	if err := s.update(ctx, instanceKind.path+"/"+instance.GUID, in, "Service instance %s is changed.", s.ui.Name(name)); err != nil {
		return err
	}
	s.ui.Hintf("for apps to see it: cupola restage APP_NAME, or bind it again")
	return nil
}
