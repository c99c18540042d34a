package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func auth(ctx context.Context, s *session, c *cli.Context) error {
	user, secret := c.Args().Get(0), c.Args().Get(1)
	assertion, asClient, origin := c.String("assertion"), c.Bool("client-credentials"), c.String("origin")
	if asClient && origin != "" {
		return badUsage("--client-credentials and --origin exclude each other")
	}
	if user == "" {
		user = s.getenv("CUPOLA_USERNAME")
	}
	if secret == "" && assertion == "" {
		secret = s.getenv("CUPOLA_PASSWORD")
	}
	var (
		token capi.Token
		err   error
	)
	switch {
	case user == "" && (asClient || assertion == "") || secret == "" && assertion == "":
		return badUsage("auth needs a username and a password").withHint("give them as arguments or with CUPOLA_USERNAME and CUPOLA_PASSWORD")
	case asClient && assertion != "":
		token, err = s.client.LoginClientAssertion(ctx, user, assertion)
	case asClient:
		token, err = s.client.LoginClient(ctx, user, secret)
	case assertion != "":
		token, err = s.client.LoginAssertion(ctx, user, secret, assertion)
	default:
		token, err = s.passwordGrant(ctx, user, secret, origin)
	}
	if err != nil {
		return loginError(user, err)
	}
	user = userOf(token, user)
	if err := s.keepLogin(user, token); err != nil {
		return err
	}
	s.ui.Notef("Logged in as %s.", s.ui.Name(user))
	if s.cfg.Space.GUID == "" {
		s.ui.Hintf("next: cupola target -o ORG -s SPACE")
	}
	return nil
}
