package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
)

func (k *console) preferenceCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "help", aliases: []string{"h"}, category: toolCategory, summary: "show all commands, or how one is used", args: "[COMMAND]", max: 1, noJSON: true,
			run: func(_ context.Context, _ *session, c *cli.Context) error { return cli.ShowAppHelp(c) }}),
		k.command(spec{name: "config", category: toolCategory, summary: "set or show how this command line behaves",
			examples: []string{"cupola config --color false", "cupola config --trace true", "cupola config --async-timeout 20"},
			flags: []cli.Flag{&cli.StringFlag{Name: "color", Usage: "`true|false`: colour on terminals; empty: as the environment says"},
				&cli.StringFlag{Name: "trace", Usage: "true: a line for each request; or a `FILE` that gets them; false: none"},
				&cli.StringFlag{Name: "async-timeout", Usage: "`MINUTES` that commands wait for builds and instances"}},
			run: setConfig}),
	}
}

func setConfig(_ context.Context, s *session, c *cli.Context) error {
	change, err := configChange(c)
	if err != nil {
		return err
	}
	cfg := s.cfg
	if c.NumFlags() > 0 {
		if cfg, err = s.file.Update(func(cfg *config.Config) error { change(cfg); return nil }); err != nil {
			return err
		}
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(map[string]any{"color": cfg.Color, "trace": cfg.Trace, "async_timeout_minutes": cfg.WaitMinutes})
	}
	wait := "as each command says"
	if cfg.WaitMinutes > 0 {
		wait = strconv.Itoa(cfg.WaitMinutes) + " minutes"
	}
	s.fields([][2]string{{"colour", orElse(cfg.Color, "as the environment says")}, {"trace", orElse(cfg.Trace, "false")}, {"waits", wait}})
	return nil
}

func orElse(text, standard string) string {
	if text == "" {
		return standard
	}
	return text
}

// configChange reads the flags.
func configChange(c *cli.Context) (func(*config.Config), error) {
	color, minutes := strings.ToLower(c.String("color")), 0
	if color != "" && color != "true" && color != "false" {
		return nil, badUsage("--color is true or false, not %s", quote(color))
	}
	if given := c.String("async-timeout"); given != "" {
		var err error
		if minutes, err = strconv.Atoi(given); err != nil || minutes < 0 {
			return nil, badUsage("--async-timeout is a number of minutes, not %s", quote(given))
		}
	}
	return func(cfg *config.Config) {
		if c.IsSet("color") {
			cfg.Color = color
		}
		if c.IsSet("trace") {
			cfg.Trace = map[bool]string{false: c.String("trace")}[c.String("trace") == "false"]
		}
		if c.IsSet("async-timeout") {
			cfg.WaitMinutes = minutes
		}
	}, nil
}

// traceTo is where CUPOLA_TRACE or the config has requests told; nil: nowhere.
func (k *console) traceTo(cfg config.Config) func(string) {
	to := k.getenv("CUPOLA_TRACE")
	if to == "" {
		to = cfg.Trace
	}
	switch to {
	case "", "false":
		return nil
	case "true":
		return func(line string) { k.ui.Hintf("%s", line) }
	}
	return func(line string) {
		if err := appendLine(to, time.Now().UTC().Format(time.RFC3339)+" "+line); err != nil {
			k.traceOnce.Do(func() { k.ui.Warnf("requests can't be told: %v", err) })
		}
	}
}

func appendLine(name, line string) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the trace: %w", err)
	}
	_, err = io.WriteString(file, line+"\n")
	return errors.Join(err, file.Close())
}
