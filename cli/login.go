package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

const startCategory = "Getting started"

var loginOriginFlag = &cli.StringFlag{Name: "origin", Usage: "`ORIGIN` of the identity provider that the user signs in with"}

var skipFlag = &cli.BoolFlag{Name: "skip-ssl-validation", Usage: "trust any certificate of the API (not for production)"}

func (k *console) loginCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "login", aliases: []string{"l"}, category: startCategory, summary: "log in, and choose org and space",
			details: "What is not given as a flag is asked for. CUPOLA_USERNAME and CUPOLA_PASSWORD stand in for -u and -p.\n" +
				"A password given with -p can be seen in the list of processes and in the shell's history.",
			examples: []string{"cupola login -a https://api.example.com", "cupola login -u ada -o engines -s dev"},
			flags: []cli.Flag{
				&cli.StringFlag{Name: "a", Usage: "address of the `API`"},
				&cli.StringFlag{Name: "u", Usage: "`USERNAME`"},
				&cli.StringFlag{Name: "p", Usage: "`PASSWORD`"},
				&cli.StringFlag{Name: "o", Usage: "`ORG` to work in"},
				&cli.StringFlag{Name: "s", Usage: "`SPACE` to work in"},
				&cli.BoolFlag{Name: "sso", Usage: "log in by a passcode that the browser shows after signing in there"},
				&cli.StringFlag{Name: "sso-passcode", Usage: "the `PASSCODE`, when it is known already"},
				loginOriginFlag, skipFlag, caFlag,
			},
			run: login, api: []string{"GET /", "UAA GET /login", "UAA POST /oauth/token", "GET /v3/organizations", "GET /v3/spaces"}}),
		k.command(spec{name: "auth", category: startCategory, summary: "log in without questions", args: "[USERNAME] [PASSWORD]", max: 2,
			details:  "CUPOLA_USERNAME and CUPOLA_PASSWORD stand in for the arguments. Org and space are chosen with: cupola target",
			examples: []string{"CUPOLA_PASSWORD=… cupola auth ada", "cupola auth CLIENT-ID SECRET --client-credentials"},
			flags: []cli.Flag{&cli.BoolFlag{Name: "client-credentials", Usage: "log in as a client: the arguments are its id and secret"}, loginOriginFlag,
				&cli.StringFlag{Name: "assertion", Usage: "`TOKEN` of another authorization server in place of a password, or, with --client-credentials, of a secret"}},
			need: theAPI, run: auth, api: []string{"UAA POST /oauth/token"}}),
		k.command(spec{name: "logout", aliases: []string{"lo"}, category: startCategory, summary: "forget the login", run: logout, api: []string{"UAA DELETE /oauth/token/revoke/:id"}}),
		k.command(spec{name: "oauth-token", category: toolCategory, summary: "print a token for the API, renewed if needed",
			examples: []string{`curl -H "Authorization: $(cupola oauth-token)" https://api.example.com/v3/apps`}, need: aLogin, api: []string{"UAA POST /oauth/token"},
			run: func(ctx context.Context, s *session, _ *cli.Context) error {
				token, err := s.client.AccessToken(ctx)
				switch {
				case err != nil:
					return err
				case s.ui.WantsJSON():
					return s.ui.JSON(map[string]string{"token": "bearer " + token})
				}
				s.ui.Println("bearer " + token)
				return nil
			}}),
	}
}

func login(ctx context.Context, s *session, c *cli.Context) error {
	if err := s.chooseAPI(ctx, c); err != nil {
		return err
	}
	s.ui.Notef("API: %s", s.cfg.API)
	user, err := s.loginBy(ctx, c)
	if err != nil {
		return err
	}
	s.ui.Notef("Logged in as %s.", s.ui.Name(user))
	if err := s.chooseTarget(ctx, c.String("o"), c.String("s")); err != nil {
		return err
	}
	return s.showTarget(s.cfg)
}

// chooseAPI takes the API from the flag, from what is remembered, or from an answer.
func (s *session) chooseAPI(ctx context.Context, c *cli.Context) error {
	address := c.String("a")
	if address == "" && s.cfg.API != "" && !c.IsSet("skip-ssl-validation") && !c.IsSet("ca-cert") {
		_, err := s.client.Root(ctx)
		return err
	}
	if address == "" {
		address = s.cfg.API
	}
	if address == "" {
		var err error
		if address, err = s.ui.Ask("API (such as https://api.example.com)"); err != nil {
			return withHint(err, "give it with: cupola login -a API")
		}
	}
	_, err := s.setAPI(ctx, address, c.Bool("skip-ssl-validation"), c.String("ca-cert"))
	return err
}

const passwordTries = 3

// loginBy logs in as the flags say: by a passcode, else by name and password.
func (s *session) loginBy(ctx context.Context, c *cli.Context) (string, error) {
	passcode := c.String("sso-passcode")
	if c.Bool("sso") && passcode != "" {
		return "", badUsage("--sso and --sso-passcode exclude each other")
	}
	if !c.Bool("sso") && passcode == "" {
		return s.loginUser(ctx, c.String("u"), c.String("p"), c.String("origin"))
	}
	if passcode == "" {
		root, err := s.client.Root(ctx)
		if err != nil {
			return "", err
		}
		if passcode, err = s.ui.AskHidden("Passcode (get one at " + root.Href("login") + "/passcode)"); err != nil {
			return "", withHint(errors.New("no passcode is given"), "give it with --sso-passcode")
		}
	}
	token, err := s.client.LoginPasscode(ctx, passcode)
	if err != nil {
		return "", loginError("passcode", err)
	}
	user := userOf(token, "")
	return user, s.keepLogin(user, token)
}

// userOf is who a token was given to.
func userOf(token capi.Token, known string) string {
	claims, err := capi.ParseClaims(token.AccessToken)
	switch {
	case err == nil && claims.UserName != "":
		return claims.UserName
	case err == nil && known == "":
		return claims.ClientID
	}
	return known
}

func (s *session) loginUser(ctx context.Context, user, password, origin string) (string, error) {
	if user == "" {
		user = s.getenv("CUPOLA_USERNAME")
	}
	if password == "" {
		password = s.getenv("CUPOLA_PASSWORD")
	}
	var err error
	if user == "" {
		if user, err = s.ui.Ask("Username"); err != nil {
			return "", withHint(errors.New("no username is given"), "give it with -u or CUPOLA_USERNAME")
		}
	}
	asked := password == ""
	for try := 1; ; try++ {
		if asked {
			if password, err = s.ui.AskHidden("Password"); err != nil {
				return "", withHint(errors.New("no password is given"), "give it with CUPOLA_PASSWORD or -p")
			}
		}
		token, err := s.passwordGrant(ctx, user, password, origin)
		if err == nil {
			return user, s.keepLogin(user, token)
		}
		var refused *capi.TokenError
		if !errors.As(err, &refused) || !asked || try == passwordTries {
			return "", loginError(user, err)
		}
		s.ui.Notef("%s", loginError(user, err))
	}
}

func (s *session) passwordGrant(ctx context.Context, user, password, origin string) (capi.Token, error) {
	if origin == "" {
		return s.client.Login(ctx, user, password)
	}
	return s.client.LoginOrigin(ctx, user, password, origin)
}

func loginError(user string, err error) error {
	var refused *capi.TokenError
	if errors.As(err, &refused) && refused.Status < 500 {
		return withHint(fmt.Errorf("the login as %s was refused: %w", quote(user), err), "check username and password: cupola login -u USERNAME")
	}
	return err
}

// keepLogin saves the token; a target of another user is forgotten.
func (s *session) keepLogin(user string, token capi.Token) error {
	cfg, err := s.file.Update(func(c *config.Config) error {
		if c.User != user {
			c.Logout()
		}
		c.User, c.AccessToken, c.RefreshToken = user, token.AccessToken, token.RefreshToken
		return nil
	})
	s.cfg = cfg
	return err
}

func logout(ctx context.Context, s *session, _ *cli.Context) error {
	if s.client != nil && s.cfg.AccessToken != "" {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := s.client.Logout(ctx); err != nil {
			s.ui.Warnf("the server was not told: %v", err)
		}
	}
	_, err := s.file.Update(func(c *config.Config) error { c.Logout(); return nil })
	if err == nil {
		s.ui.Notef("Logged out.")
	}
	return err
}

// readCA reads the file of --ca-cert; the empty name is no certificate.
func readCA(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the CA certificate: %w", err)
	}
	return string(data), nil
}
