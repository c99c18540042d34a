// Package cli is the command line: the commands of a Cloud Foundry client under the names, aliases and
// flags that its users know, and the place where the server's own commands are added.
//
// A command reads its flags, calls controller/capi and prints one thing. It knows the platform only through
// the API, so that it works against any Cloud Foundry.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
)

// Exit codes, as docs/cli.md lists them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitHTTPError   = 22 // curl --fail
	exitInterrupted = 130
)

// Version is set by the linker; without it the build information speaks.
var Version string

// Main runs a command line, whose first element is the program's name, and returns the exit code.
func Main(args []string) int {
	k := newConsole()
	ctx, stop := k.watchSignals(context.Background())
	defer stop()
	return k.run(ctx, args)
}

func newConsole() *console {
	return &console{
		ui:     ui.New(os.Stdin, os.Stdout, os.Stderr, os.Getenv),
		file:   config.At(config.Dir(os.Getenv)),
		getenv: os.Getenv,
	}
}

// commands are all commands, in the order of the help.
func (k *console) commands() []*cli.Command {
	return slices.Concat(
		k.loginCommands(), k.targetCommands(), k.pushCommands(), k.appCommands(), k.appMakeCommands(), k.lifecycleCommands(), k.deploymentCommands(),
		k.packageCommands(), k.dropletCommands(), k.revisionCommands(), k.copySourceCommands(), k.logCommands(), k.environmentCommands(), k.healthCommands(), k.taskCommands(), k.explainCommands(), k.topCommands(), k.mapCommands(), k.sshCommands(), k.sshSwitchCommands(),
		k.routeCommands(), k.routeShareCommands(), k.routePolicyCommands(), k.domainCommands(),
		k.securityGroupCommands(), k.networkPolicyCommands(), k.orgCommands(), k.spaceCommands(),
		k.userCommands(), k.roleCommands(), k.quotaCommands(), k.segmentCommands(), k.nodeCommands(), k.engineCommands(), k.featureFlagCommands(), k.environmentGroupCommands(), k.labelCommands(),
		k.serviceCommands(), k.dataServiceCommands(), k.rotateCommands(), k.serviceBindingCommands(), k.serviceRouteCommands(), k.marketplaceCommands(),
		k.catalogueCommands(), k.patchCommands(), k.buildpackCommands(), k.toolCommands(), k.preferenceCommands(), []*cli.Command{k.serverCommand(), k.routerCommand(), k.cleanUpCommand()},
	)
}

func (k *console) run(ctx context.Context, args []string) int {
	commands := k.commands()
	args, err := arrange(commands, args)
	if err == nil {
		err = k.app(commands).RunContext(ctx, args)
	}
	k.ui.Status("")
	return k.report(err)
}

// app puts the library to work. It reports and exits through us alone.
func (k *console) app(commands []*cli.Command) *cli.App {
	return &cli.App{
		Name:                      "cupola",
		Usage:                     "Cloud Foundry in one binary: push source, get a running app",
		Commands:                  commands,
		Writer:                    k.ui.Out,
		ErrWriter:                 k.ui.Err,
		HideVersion:               true,
		HideHelpCommand:           true,
		Flags:                     []cli.Flag{cli.HelpFlag}, // the library leaves it out where a command is called help
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // a comma in --var or -b is a comma
		CustomAppHelpTemplate:     k.appHelp(commands),
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			return cli.ShowAppHelp(c)
		},
	}
}

var badNumber = regexp.MustCompile(`^invalid value (".*") for flag (-\S+): parse error$`)

// usageError gives the flag library's complaints our words.
func usageError(c *cli.Context, err error, _ bool) error {
	text := strings.Replace(err.Error(), "flag provided but not defined:", "there is no flag", 1)
	if m := badNumber.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("%s must be a number, not %s", m[2], m[1])
	}
	hint := "see: cupola --help"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != "cupola" {
		hint = "see: cupola " + strings.TrimPrefix(c.Command.HelpName, "cupola ") + " --help"
	}
	return badUsage("%s", text).withHint(hint)
}

// report shows an error and says with which code to exit.
func (k *console) report(err error) int {
	var (
		usage *usageProblem
		exit  *exitError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			k.ui.Error(exit.err, "")
		}
		return exit.code
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		k.ui.Notef("Interrupted.")
		return exitInterrupted
	case errors.As(err, &usage):
		k.ui.Error(err, usage.hint)
		return exitUsage
	}
	hint, text := k.explain(err)
	k.ui.Error(text, hint)
	return exitFailure
}

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
