package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) logCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "logs", category: appCategory, summary: "follow the log of an app or a data service, or show its last lines", args: "APP_NAME", min: 1, max: 1,
			details: "Lines carry where they come from: API, STG (staging), APP/PROC/WEB (the app), RTR (requests), CELL, SERVICE. " +
				"The name of one of the platform's data services does as well; --service where an app has the same name.",
			examples: []string{"cupola logs my-app", "cupola logs my-app --recent"},
			flags:    []cli.Flag{&cli.BoolFlag{Name: "recent", Usage: "show the last lines and end"}, &cli.BoolFlag{Name: "service", Usage: "it is a service instance"}},
			need:     aSpace, run: logs, api: []string{"GET /v3/apps", "GET /v3/service_instances", "log-cache GET /api/v1/read/:guid"}}),
	}
}

func logs(ctx context.Context, s *session, c *cli.Context) error {
	guid, err := s.logSource(ctx, c.Args().First(), c.Bool("service"))
	if err != nil {
		return err
	}
	if c.Bool("recent") {
		batch, err := s.client.RecentLogs(ctx, guid)
		for _, e := range batch {
			s.printLog(e)
		}
		return err
	}
	s.ui.Notef("Following the log of %s; Ctrl-C ends it.", s.ui.Name(c.Args().First()))
	return s.client.TailLogs(ctx, guid, time.Now().Add(-time.Second), func(e capi.Envelope) error {
		s.printLog(e)
		return nil
	})
}

// logSource is the GUID of the app of that name, or of the service instance.
func (s *session) logSource(ctx context.Context, name string, service bool) (string, error) {
	if !service {
		app, err := s.client.AppByName(ctx, s.cfg.Space.GUID, name)
		if err == nil {
			return app.GUID, nil
		}
		if !notFound(err) {
			return "", err
		}
	}
	i, err := capi.First[capi.ServiceInstance](ctx, s.client, instanceKind.path, s.inSpace().With("names", name), instanceKind.noun)
	switch {
	case err == nil && i.Data == nil:
		return "", fmt.Errorf("service instance %s is not one of the platform's own: its broker keeps its log", quote(name))
	case err == nil:
		return i.GUID, nil
	case !notFound(err):
		return "", err
	case service:
		return "", instanceKind.missing(name)
	}
	_, err = s.app(ctx, name) // says what is not there
	return "", err
}

func (s *session) printLog(e capi.Envelope) {
	if e.Log == nil {
		return
	}
	if s.ui.WantsJSON() {
		_ = s.ui.JSONLine(logLine(e)) // strings and times: it can be written
		return
	}
	source := e.Tags["source_type"]
	kind := e.Log.Type
	if kind == "ERR" {
		kind = s.ui.Bad(kind)
	}
	s.ui.Printf("%s %s %s %s\n", time.Unix(0, e.Timestamp).Local().Format("2006-01-02T15:04:05.00-0700"),
		s.ui.Name(fmt.Sprintf("[%s/%s]", ui.Clean(source), ui.Clean(e.InstanceID))), kind, logText(e))
}

// logged is a log line as --json prints it, one a line.
type logged struct {
	Time     time.Time `json:"time"`
	Source   string    `json:"source"`
	Instance string    `json:"instance"`
	Type     string    `json:"type"` // OUT or ERR
	Text     string    `json:"text"`
}

func logLine(e capi.Envelope) logged {
	return logged{Time: time.Unix(0, e.Timestamp).UTC(), Source: e.Tags["source_type"], Instance: e.InstanceID, Type: e.Log.Type, Text: logText(e)}
}

// logText is the line of an envelope as it was written, colours included, without the newline.
func logText(e capi.Envelope) string { return strings.TrimRight(string(e.Log.Payload), "\r\n") }
