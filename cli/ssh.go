package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/remote"
)

const sshCategory = "SSH"

func (k *console) sshCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "ssh", category: sshCategory, summary: "log in to an instance of an app", args: "APP_NAME", min: 1, max: 1, noJSON: true,
			details:  "Without -c it is a shell. The exit code is that of the command.",
			examples: []string{"cupola ssh my-app", `cupola ssh my-app -i 1 -c "ls -l"`, "cupola ssh my-app -N -L 9000:localhost:8080"},
			flags: []cli.Flag{
				&cli.StringFlag{Name: "process", Value: "web", Usage: "`TYPE` of the process"},
				&cli.IntFlag{Name: "app-instance-index", Aliases: []string{"i"}, Usage: "`INDEX` of the instance"},
				&cli.StringSliceFlag{Name: "command", Aliases: []string{"c"}, Usage: "`COMMAND` to run in place of a shell; more are its arguments"},
				&cli.StringSliceFlag{Name: "L", Usage: "`[ADDRESS:]PORT:HOST:PORT`: what connects here is led there, as seen from the instance; can be repeated"},
				&cli.BoolFlag{Name: "skip-remote-execution", Aliases: []string{"N"}, Usage: "run nothing, for -L alone; Ctrl-C ends it"},
				&cli.BoolFlag{Name: "disable-pseudo-tty", Aliases: []string{"T"}, Usage: "no terminal"},
				&cli.BoolFlag{Name: "request-pseudo-tty", Aliases: []string{"t"}, Usage: "a terminal, where there is one here"},
				&cli.BoolFlag{Name: "force-pseudo-tty", Aliases: []string{"tt"}, Usage: "a terminal in any case"},
				&cli.BoolFlag{Name: "skip-host-validation", Aliases: []string{"k"}, Usage: "do not check the key of the server (not for production)"},
			}, need: aSpace, run: ssh, api: []string{"GET /", "GET /v3/apps", "GET /v3/apps/:guid/processes", "GET /v3/processes/:guid/stats", "UAA GET /oauth/authorize"}}),
		k.command(spec{name: "ssh-code", category: sshCategory, summary: "print a one-time password for SSH clients", need: aLogin, run: sshCode, api: []string{"GET /", "UAA GET /oauth/authorize"},
			details: "The user name is cf:GUID/INDEX, with the GUID of the process (cupola app my-app --guid, for web) and the index of the instance."}),
	}
}

func sshCode(ctx context.Context, s *session, _ *cli.Context) error {
	code, err := s.client.SSHCode(ctx)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(map[string]string{"code": code})
	}
	s.ui.Println(code)
	return nil
}

// sshOptions reads the flags.
func sshOptions(c *cli.Context) (remote.Options, error) {
	o := remote.Options{Command: strings.Join(c.StringSlice("command"), " "), NoCommand: c.Bool("skip-remote-execution")}
	chosen := 0
	for flag, mode := range map[string]remote.TTY{"disable-pseudo-tty": remote.TTYNever, "request-pseudo-tty": remote.TTYWanted, "force-pseudo-tty": remote.TTYAlways} {
		if c.Bool(flag) {
			o.TTY = mode
			chosen++
		}
	}
	if chosen > 1 {
		return o, badUsage("-T, -t and --force-pseudo-tty exclude each other")
	}
	if c.Int("app-instance-index") < 0 {
		return o, badUsage("-i must not be negative")
	}
	for _, given := range c.StringSlice("L") {
		forward, err := remote.ParseForward(given)
		if err != nil {
			return o, badUsage("-L %s", err)
		}
		o.Forwards = append(o.Forwards, forward)
	}
	return o, nil
}

func ssh(ctx context.Context, s *session, c *cli.Context) error {
	o, err := sshOptions(c)
	if err != nil {
		return err
	}
	root, err := s.client.Root(ctx)
	if err != nil {
		return err
	}
	link := root.Links["app_ssh"]
	if link == nil || link.Href == "" {
		return errors.New("this platform has no SSH endpoint")
	}
	o.Address = strings.TrimPrefix(link.Href, "ssh://")
	if link.Meta != nil {
		o.Fingerprint = link.Meta.HostKeyFingerprint
	}
	if c.Bool("skip-host-validation") {
		o.SkipHostKey = true
	} else if o.Fingerprint == "" {
		return withHint(errors.New("the platform does not say which key its SSH server has"), "to go on without a check: -k")
	}
	if o.User, err = s.sshUser(ctx, c); err != nil {
		return err
	}
	if o.Code, err = s.client.SSHCode(ctx); err != nil {
		return err
	}
	o.In, o.Out, o.Err = os.Stdin, os.Stdout, os.Stderr
	o.Listening = func(from, to string) { s.ui.Notef("What connects to %s is led to %s.", s.ui.Name(from), s.ui.Name(to)) }
	return sshError(remote.Run(ctx, o), c.Args().First())
}

// sshUser is cf:PROCESS/INDEX, of an instance that runs.
func (s *session) sshUser(ctx context.Context, c *cli.Context) (string, error) {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return "", err
	}
	if app.State != "STARTED" {
		return "", withHint(fmt.Errorf("app %s is stopped", quote(app.Name)), "next: cupola start %s", app.Name)
	}
	p, err := s.processOf(ctx, app, c.String("process"))
	if err != nil {
		return "", err
	}
	stats, err := s.client.ProcessStats(ctx, p.GUID)
	if err != nil {
		return "", err
	}
	index := c.Int("app-instance-index")
	for _, i := range stats {
		switch {
		case i.Index == index && i.State == "RUNNING":
			return fmt.Sprintf("cf:%s/%d", p.GUID, index), nil
		case i.Index == index:
			return "", withHint(fmt.Errorf("instance %d of %s is %s and does not run", index, quote(app.Name), strings.ToLower(i.State)), "see: cupola explain %s", app.Name)
		}
	}
	return "", withHint(fmt.Errorf("process %s of %s has no instance %d", quote(p.Type), quote(app.Name), index), "see: cupola app %s", app.Name)
}

// sshError gives what went wrong its words, and the exit code of a remote command its way out.
func sshError(err error, app string) error {
	var exit *remote.ExitError
	switch {
	case errors.As(err, &exit):
		return &exitError{code: exit.Code}
	case errors.Is(err, remote.ErrHostKey):
		return withHint(err, "the API names another key than the server has: ask who runs the platform; -k goes on without a check")
	case errors.Is(err, remote.ErrRefused):
		return withHint(err, "is SSH allowed? See: cupola ssh-enabled %s", app)
	}
	return err
}
