package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// pushDroplet gives an app a droplet from a file, which needs no staging.
func (p *pusher) pushDroplet(ctx context.Context, app *capi.App) error {
	file, err := os.Open(p.plan.droplet)
	if err != nil {
		return fmt.Errorf("read the droplet: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the droplet: %w", err)
	}
	in := capi.DropletCreate{Relationships: capi.PackageCreateRelationships{App: capi.To(app.GUID)}}
	droplet, err := capi.Change[capi.Droplet](ctx, p.client, http.MethodPost, "/v3/droplets", in)
	if err != nil {
		return err
	}
	err = p.client.UploadFile(ctx, "/v3/droplets/"+droplet.GUID+"/upload", "droplet.tgz", file, info.Size(), func(n int64) { p.showUpload(n, info.Size()) })
	p.ui.Status("")
	if err != nil {
		return fmt.Errorf("upload the droplet: %w", err)
	}
	p.ui.Notef("Uploaded a droplet of %s.", ui.Bytes(info.Size()))
	p.watch.done("upload")
	if p.plan.noStart {
		return p.client.SetCurrentDroplet(ctx, app.GUID, droplet.GUID)
	}
	return p.runDroplet(ctx, app, droplet.GUID)
}
