package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// foreground is what a program of a machine has that runs until a signal: a context that ends with it, and a log, which is
// everybody's who has none.
func foreground(c *cli.Context) (ctx context.Context, stop func(), log *slog.Logger, err error) {
	log, err = serverLogger(c.App.ErrWriter, c.String("log-level"))
	if err != nil {
		return nil, nil, nil, err
	}
	slog.SetDefault(log)
	ctx, stop = signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	return ctx, stop, log, nil
}

// serverLogger writes text to a terminal and JSON to everything else.
func serverLogger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, badUsage("--log-level %q is not known: use debug, info, warn or error", level)
		}
	}
	o := &slog.HandlerOptions{Level: l}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(w, o)), nil
		}
	}
	return slog.New(slog.NewJSONHandler(w, o)), nil
}
