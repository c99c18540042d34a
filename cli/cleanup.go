package cli

import (
	"context"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

const cleanUpPath = "/v3/admin/actions/clean_up"

func (k *console) cleanUpCommand() *cli.Command {
	return k.command(spec{name: "clean-up", category: platformCategory, summary: "remove now what no record refers to, for administrators", need: aLogin,
		details: "The platform does it by itself every ten minutes. What goes: droplets beyond the last five of an app that are not current and do not run, their\n" +
			"images, old packages, logs and caches of deleted apps. Nothing younger than an hour goes, no volume of a data service, and no backup.",
		examples: []string{"cupola clean-up", "cupola clean-up --json"},
		api:      []string{"POST " + cleanUpPath}, run: cleanUp})
}

func cleanUp(ctx context.Context, s *session, c *cli.Context) error {
	freed, err := capi.Change[capi.CleanUp](ctx, s.client, http.MethodPost, cleanUpPath, nil)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return s.ui.JSON(freed)
	}
	s.ui.Notef("Freed %s: %s of images in the registry, %s of packages, %s of images on the server's machine.",
		ui.Bytes(freed.Freed), ui.Bytes(freed.Images), ui.Bytes(freed.Packages), ui.Bytes(freed.Pulled))
	return nil
}
