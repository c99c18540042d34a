package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const userCategory = "Users and roles"

var originFlag = &cli.StringFlag{Name: "origin", Usage: "`ORIGIN`: the identity provider that the user signs in with; uaa for the platform's own"}

func (k *console) userCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "create-user", category: userCategory, summary: "make a user", args: "USERNAME [PASSWORD]", min: 1, max: 2,
			details:  "A password on the command line can be seen in the list of processes and in the shell's history; --password-prompt asks for it.",
			examples: []string{"cupola create-user ada@example.com --password-prompt", "cupola create-user ada@example.com --origin corporate"},
			flags:    []cli.Flag{originFlag, &cli.BoolFlag{Name: "password-prompt", Usage: "ask for the password"}},
			need:     aLogin, run: createUser, api: []string{"UAA GET /Users", "UAA POST /Users", "POST /v3/users"}}),
		k.command(spec{name: "delete-user", category: userCategory, summary: "delete a user with all roles", args: "USERNAME", min: 1, max: 1,
			flags: []cli.Flag{forceFlag, originFlag}, need: aLogin, run: deleteUser, api: []string{"UAA GET /Users", "DELETE /v3/users/:guid", "UAA DELETE /Users/:id"}}),
		k.command(spec{name: "passwd", aliases: []string{"pw"}, category: startCategory, summary: "change your password", need: aLogin, run: passwd,
			api: []string{"UAA PUT /Users/:id/password"}}),
	}
}

func createUser(ctx context.Context, s *session, c *cli.Context) error {
	name, password, origin := c.Args().Get(0), c.Args().Get(1), c.String("origin")
	own := origin == "" || origin == "uaa"
	switch {
	case c.Bool("password-prompt") && password != "":
		return badUsage("PASSWORD and --password-prompt exclude each other")
	case !own && password != "":
		return badUsage("a user of another identity provider has no password here")
	case c.Bool("password-prompt"):
		var err error
		if password, err = s.askNewPassword(); err != nil {
			return err
		}
	case own && password == "":
		return badUsage("create-user needs a password").withHint("give it as the second argument, or have it asked for with --password-prompt")
	}
	guid, err := s.makeUser(ctx, name, password, origin)
	if err != nil {
		return err
	}
	user, err := capi.Change[capi.User](ctx, s.client, http.MethodPost, "/v3/users", capi.UserCreate{GUID: guid})
	if taken(err) || (err != nil && errors.Is(err, capi.UnprocessableEntity)) {
		s.ui.Notef("User %s is there already.", s.ui.Name(name))
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("User %s is made.", s.ui.Name(name))
	s.ui.Hintf("next: cupola set-org-role %s ORG OrgManager, or cupola set-space-role %s ORG SPACE SpaceDeveloper", name, name)
	return s.answer(user)
}

// makeUser makes the user in UAA, or finds the one that is there.
func (s *session) makeUser(ctx context.Context, name, password, origin string) (id string, err error) {
	user, err := s.client.CreateUAAUser(ctx, capi.UAAUser{Username: name, Password: password, Origin: origin,
		Name: capi.UAAName{Family: name, Given: name}, Emails: []capi.UAAEmail{{Value: name, Primary: true}}})
	var refused *capi.TokenError
	if err == nil || !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		return user.ID, err
	}
	found, err := s.client.UAAUsers(ctx, name, origin)
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("there is a user %s already, and it can't be told which", quote(name))
	}
	return found[0].ID, nil
}

// askNewPassword asks twice, so that a slip of the finger locks nobody out.
func (s *session) askNewPassword() (string, error) {
	first, err := s.ui.AskHidden("Password")
	if err != nil {
		return "", err
	}
	second, err := s.ui.AskHidden("Password again")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords are not the same: nothing is changed")
	}
	if first == "" {
		return "", errors.New("a password must not be empty")
	}
	return first, nil
}

func deleteUser(ctx context.Context, s *session, c *cli.Context) error {
	name := c.Args().First()
	found, err := s.client.UAAUsers(ctx, name, c.String("origin"))
	if err != nil {
		return err
	}
	switch len(found) {
	case 0:
		s.ui.Notef("There is no user %s.", quote(name))
		return nil
	case 1:
	default:
		return withHint(fmt.Errorf("there are %d users %s, of the origins %s", len(found), quote(name),
			joinNames(found, func(u capi.UAAUser) string { return u.Origin })), "say which with --origin")
	}
	if ok, err := s.sure(c, "Delete user %s with all roles?", quote(name)); !ok {
		return err
	}
	if err := s.client.Delete(ctx, "/v3/users/"+found[0].ID); err != nil && !notFound(err) {
		return err
	}
	if err := s.client.DeleteUAAUser(ctx, found[0].ID); err != nil {
		return err
	}
	s.ui.Notef("User %s is deleted.", quote(name))
	return nil
}

func passwd(ctx context.Context, s *session, _ *cli.Context) error {
	claims, err := s.client.Claims(ctx)
	if err != nil {
		return err
	}
	if claims.UserID == "" {
		return errors.New("you are logged in as a client, which has a secret and no password")
	}
	old, err := s.ui.AskHidden("Current password")
	if err != nil {
		return err
	}
	password, err := s.askNewPassword()
	if err != nil {
		return err
	}
	if err := s.client.ChangePassword(ctx, claims.UserID, old, password); err != nil {
		return err
	}
	s.ui.Notef("The password of %s is changed.", s.ui.Name(claims.UserName))
	return nil
}
