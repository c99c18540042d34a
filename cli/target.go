package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

var caFlag = &cli.StringFlag{Name: "ca-cert", Usage: "trust the CA certificate in `FILE` (PEM) for this API"}

func (k *console) targetCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "api", category: startCategory, summary: "set or show the API", args: "[URL]", max: 1,
			examples: []string{"cupola api https://api.example.com", "cupola api api.cupola.localhost --skip-ssl-validation"},
			flags:    []cli.Flag{skipFlag, caFlag, &cli.BoolFlag{Name: "unset", Usage: "forget the API and the login"}},
			run:      apiTarget, api: []string{"GET /"}}),
		k.command(spec{name: "target", aliases: []string{"t"}, category: startCategory, summary: "set or show the org and space to work in",
			examples: []string{"cupola target", "cupola target -o engines -s dev"},
			flags: []cli.Flag{
				&cli.StringFlag{Name: "o", Usage: "`ORG`"},
				&cli.StringFlag{Name: "s", Usage: "`SPACE`"},
				jsonFlag,
			},
			need: aLogin, run: target, api: []string{"GET /v3/organizations", "GET /v3/spaces"}}),
	}
}

func apiTarget(ctx context.Context, s *session, c *cli.Context) error {
	switch {
	case c.Bool("unset"):
		_, err := s.file.Update(func(cfg *config.Config) error {
			*cfg = config.Config{Color: cfg.Color, Trace: cfg.Trace, WaitMinutes: cfg.WaitMinutes}
			return nil
		})
		if err == nil {
			s.ui.Notef("The API is forgotten.")
		}
		return err
	case c.Args().Len() > 0:
		root, err := s.setAPI(ctx, c.Args().First(), c.Bool("skip-ssl-validation"), c.String("ca-cert"))
		if err != nil {
			return err
		}
		s.ui.Printf("API:     %s\nversion: %s\n", s.cfg.API, root.Links["cloud_controller_v3"].Meta.Version)
		if s.cfg.AccessToken == "" {
			s.ui.Hintf("next: cupola login")
		}
		return nil
	case s.cfg.API == "":
		return withHint(errors.New("no API is set"), "next: cupola api https://api.example.com")
	}
	s.ui.Printf("API: %s\n", s.cfg.API)
	root, err := s.client.Root(ctx)
	if err == nil && root.Links["cloud_controller_v3"].Meta != nil {
		s.ui.Printf("version: %s\n", root.Links["cloud_controller_v3"].Meta.Version)
	}
	return err
}

// setAPI remembers an API that answers. The login stays only when the API is the same one.
func (s *session) setAPI(ctx context.Context, address string, skip bool, caFile string) (*capi.Root, error) {
	ca, err := readCA(caFile)
	if err != nil {
		return nil, err
	}
	if ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return nil, fmt.Errorf("%s holds no PEM certificate: it must begin with -----BEGIN CERTIFICATE-----", caFile)
	}
	old := s.cfg
	s.cfg = config.Config{API: address, SkipValidation: skip, CA: ca, Color: old.Color, Trace: old.Trace, WaitMinutes: old.WaitMinutes}
	if err := s.connect(); err != nil {
		return nil, err
	}
	if s.cfg.API == old.API {
		s.cfg = old
		s.cfg.SkipValidation = skip
		if ca != "" || skip {
			s.cfg.CA = ca
		}
		if err := s.connect(); err != nil {
			return nil, err
		}
	}
	root, err := s.client.Root(ctx)
	if err != nil {
		return nil, err
	}
	if link := root.Links["cloud_controller_v3"]; link.Meta == nil {
		link.Meta = &capi.LinkMeta{Version: "unknown"}
	}
	_, err = s.file.Update(func(c *config.Config) error { *c = s.cfg; return nil })
	return root, err
}

func target(ctx context.Context, s *session, c *cli.Context) error {
	if org, space := c.String("o"), c.String("s"); org != "" || space != "" {
		if err := s.chooseTarget(ctx, org, space); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return s.ui.JSON(map[string]any{"api": s.cfg.API, "user": s.cfg.User, "org": s.cfg.Org, "space": s.cfg.Space})
	}
	return s.showTarget(s.cfg)
}

func (s *session) showTarget(cfg config.Config) error {
	rows := [][]string{{"API:", cfg.API}, {"user:", s.ui.Name(cfg.User)}}
	if cfg.Org.Name != "" {
		rows = append(rows, []string{"org:", s.ui.Name(cfg.Org.Name)})
	}
	if cfg.Space.Name != "" {
		rows = append(rows, []string{"space:", s.ui.Name(cfg.Space.Name)})
	}
	s.ui.Printf("%s", ui.Columns(rows))
	switch {
	case cfg.Org.GUID == "":
		s.ui.Hintf("next: cupola target -o ORG (see: cupola orgs)")
	case cfg.Space.GUID == "":
		s.ui.Hintf("next: cupola target -s SPACE (see: cupola spaces)")
	}
	return nil
}

// chooseTarget finds org and space by name and remembers them. What is not named is taken when there is only
// one, asked for when a person is there, and left open otherwise.
func (s *session) chooseTarget(ctx context.Context, orgName, spaceName string) error {
	org, err := s.chooseOrg(ctx, orgName)
	if err != nil {
		return err
	}
	var space config.Target
	if org.GUID != "" {
		if space, err = s.chooseSpace(ctx, org, spaceName); err != nil {
			return err
		}
	}
	s.cfg, err = s.file.Update(func(c *config.Config) error { c.Org, c.Space = org, space; return nil })
	return err
}

func (s *session) chooseOrg(ctx context.Context, name string) (config.Target, error) {
	if name == "" && s.cfg.Org.GUID != "" {
		return s.cfg.Org, nil
	}
	if name != "" {
		org, err := s.client.OrganizationByName(ctx, name)
		if notFound(err) {
			return config.Target{}, withHint(fmt.Errorf("there is no org %s that you may see", quote(name)), "see: cupola orgs")
		}
		if err != nil {
			return config.Target{}, err
		}
		return config.Target{GUID: org.GUID, Name: org.Name}, nil
	}
	orgs, err := s.client.Organizations(ctx, capi.Filter{"order_by": {"name"}})
	if err != nil {
		return config.Target{}, err
	}
	all := make([]config.Target, len(orgs))
	for i, o := range orgs {
		all[i] = config.Target{GUID: o.GUID, Name: o.Name}
	}
	return s.pick("Org", all)
}

func (s *session) chooseSpace(ctx context.Context, org config.Target, name string) (config.Target, error) {
	if name == "" && s.cfg.Org.GUID == org.GUID && s.cfg.Space.GUID != "" {
		return s.cfg.Space, nil
	}
	if name != "" {
		space, err := s.client.SpaceByName(ctx, org.GUID, name)
		if notFound(err) {
			return config.Target{}, withHint(fmt.Errorf("there is no space %s in org %s", quote(name), quote(org.Name)), "see: cupola spaces")
		}
		if err != nil {
			return config.Target{}, err
		}
		return config.Target{GUID: space.GUID, Name: space.Name}, nil
	}
	spaces, err := s.client.Spaces(ctx, capi.Filter{"organization_guids": {org.GUID}, "order_by": {"name"}})
	if err != nil {
		return config.Target{}, err
	}
	all := make([]config.Target, len(spaces))
	for i, sp := range spaces {
		all[i] = config.Target{GUID: sp.GUID, Name: sp.Name}
	}
	return s.pick("Space", all)
}

// mostChoices is how long a list can be that a person is asked to choose from.
const mostChoices = 50

func (s *session) pick(label string, all []config.Target) (config.Target, error) {
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0 || len(all) > mostChoices || !s.ui.Asks():
		return config.Target{}, nil
	}
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.Name
	}
	i, err := s.ui.Choose(label, names)
	if err != nil {
		return config.Target{}, err
	}
	return all[i], nil
}
