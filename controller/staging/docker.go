package staging

import (
	"context"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/buildpack/imagecopy"
	"github.com/cupola-paas/cupola/store"
)

// dockerLifecycle is the lifecycle type of apps that are somebody's own image.
const dockerLifecycle = "docker"

// copyLimit bounds the copy of one image.
const copyLimit = 15 * time.Minute

// Copier brings a foreign image into our registry; imagecopy.Copier is one.
type Copier interface {
	Copy(ctx context.Context, src imagecopy.Source, repository string) (*imagecopy.Image, error)
}

// copyImage is the staging of a Docker app: its image is resolved to one digest and copied, so that instances start
// without the registry that it came from and without its password.
func (l *Loop) copyImage(ctx context.Context, b *store.Build, out LineWriter) (succeed func(), err error) {
	fmt.Fprintln(out, "Staging starts")
	var pkg *store.Package
	err = l.DB.View(func(tx *store.Tx) (err error) {
		pkg, err = store.Packages.Get(tx, b.PackageGUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Downloading image %s\n", pkg.Docker.Image)
	ctx, cancel := context.WithTimeout(ctx, copyLimit)
	defer cancel()
	began := time.Now()
	src := imagecopy.Source{Reference: pkg.Docker.Image, Username: pkg.Docker.Username, Password: pkg.Docker.Password}
	image, err := l.Copier.Copy(ctx, src, Repository(b.AppGUID))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Downloaded %d MB, digest %s\n", image.SizeBytes>>20, image.Digest)
	return func() {
		l.end(b, func(tx *store.Tx, b *store.Build) error {
			d := dockerDroplet(b, pkg, image)
			if err := store.Droplets.Put(tx, d); err != nil {
				return err
			}
			b.State, b.DropletGUID = store.StateStaged, d.GUID
			b.Phases = []store.PhaseTime{{Name: "copy", Duration: time.Since(began)}}
			return putEvent(tx, b, "audit.app.build.staged")
		})
		l.Log.Info("build staged", "app", b.AppGUID, "build", b.GUID, "image", image.Digest)
	}, nil
}

// dockerDroplet has the image's name without its credentials, which nothing needs any more.
func dockerDroplet(b *store.Build, pkg *store.Package, image *imagecopy.Image) *store.Droplet {
	return &store.Droplet{
		AppGUID: b.AppGUID, SpaceGUID: b.SpaceGUID, BuildGUID: b.GUID, PackageGUID: b.PackageGUID,
		State: store.StateStaged, Lifecycle: b.Lifecycle, Repository: Repository(b.AppGUID),
		ImageDigest: image.Digest, SizeBytes: image.SizeBytes, User: image.User, Ports: image.Ports,
		Docker:       store.DockerImage{Image: pkg.Docker.Image, Username: pkg.Docker.Username},
		ProcessTypes: map[string]string{"web": image.CommandLine()},
	}
}
