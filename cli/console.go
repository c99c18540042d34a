package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
)

// console is what all commands share: the conversation and the remembered state.
type console struct {
	ui     *ui.UI
	file   *config.File
	getenv func(string) string
	specs  []spec // of the commands, in the order of the help

	waitMinutes int       // that commands wait, of the config; 0: as each says
	traceOnce   sync.Once // for the warning that a trace can't be written

	mu      sync.Mutex
	onBreak string // what the first Ctrl-C says instead of ending the command; empty: it ends it
}

// need is what a command needs to be known before it runs; each level includes those before.
type need int

const (
	nothing need = iota
	theAPI
	aLogin
	anOrg
	aSpace
)

// spec describes a command.
type spec struct {
	name     string
	aliases  []string
	category string
	summary  string
	args     string // shown in the usage, such as APP_NAME
	min, max int    // number of arguments; max -1: any
	details  string // what the flags do not say
	examples []string
	flags    []cli.Flag
	noJSON   bool     // its result is no data: --json means nothing
	api      []string // the routes of the API that it uses, for docs/cli-commands.md
	need     need
	run      func(ctx context.Context, s *session, c *cli.Context) error
}

func (k *console) command(sp spec) *cli.Command {
	if !sp.noJSON && !slices.Contains(sp.flags, cli.Flag(jsonFlag)) {
		sp.flags = slices.Concat(sp.flags, []cli.Flag{jsonFlag})
	}
	k.specs = append(k.specs, sp)
	return &cli.Command{
		Name:               sp.name,
		Aliases:            sp.aliases,
		Category:           sp.category,
		Usage:              sp.summary,
		ArgsUsage:          sp.args,
		Description:        sp.details,
		Flags:              sp.flags,
		UsageText:          strings.Join(sp.examples, "\n"),
		CustomHelpTemplate: k.commandHelp(sp),
		OnUsageError:       usageError,
		HideHelpCommand:    true,
		BashComplete:       k.complete(sp),
		Action: func(c *cli.Context) error {
			if err := checkArgs(sp, c.Args().Slice()); err != nil {
				return err
			}
			if !sp.noJSON && c.Bool("json") {
				k.ui.JSONOnly()
			}
			s, err := k.open(c.Context, sp.need)
			if err != nil {
				return err
			}
			err = sp.run(c.Context, s, c)
			if sp.changes() {
				k.forgetNames()
			}
			if err != nil {
				return err
			}
			return k.ui.FinishJSON()
		},
	}
}

// changes says that the command can change names that completion remembers.
func (sp spec) changes() bool {
	return slices.ContainsFunc(sp.api, func(route string) bool {
		method, path, _ := strings.Cut(route, " ")
		return path != "" && strings.HasPrefix(path, "/v3/") && method != "GET"
	})
}

func checkArgs(sp spec, args []string) error {
	switch {
	case len(args) < sp.min:
		return badUsage("%s needs %s", sp.name, sp.args).withHint("see: cupola " + sp.name + " --help")
	case sp.max >= 0 && len(args) > sp.max:
		return badUsage("%s does not know what to do with %q", sp.name, args[sp.max]).withHint("see: cupola " + sp.name + " --help")
	}
	return nil
}

// errInterrupted is the cause of a context that Ctrl-C or a SIGTERM has ended.
var errInterrupted = errors.New("interrupted")

// watchSignals gives a context that ends with Ctrl-C or SIGTERM. While a phase runs that goes on at the
// server, the first Ctrl-C only says so.
func (k *console) watchSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if !k.soften(s) {
					cancel(errInterrupted)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-done
	}
}

func (k *console) soften(s os.Signal) bool {
	k.mu.Lock()
	text := k.onBreak
	k.onBreak = ""
	k.mu.Unlock()
	if text == "" || s != os.Interrupt {
		return false
	}
	k.ui.Notef("\n%s Press Ctrl-C again to end this command.", text)
	return true
}

// beforeBreak sets what the next Ctrl-C says; empty: it ends the command.
func (k *console) beforeBreak(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.onBreak = text
}
