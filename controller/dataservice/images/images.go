// Package images makes what the servers of data services run from, and puts it into the platform's registry.
package images

import (
	"context"
	"fmt"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

var _ dataservice.Images = (*Maker)(nil)

// Maker makes images. Its fields are set before use and not changed.
type Maker struct {
	Stack    stack.Options // where images of packages are kept
	Registry stack.Registry
	Keeper   []byte // the program that starts servers (package keeper)
	// Programs are servers that the platform brings, by the name in catalogue files.
	Programs map[string][]byte
}

// Image returns the image of an offering: what the catalogue file names, and on top of that the program that starts
// the server and the folder where its volume is mounted. The first call for an offering takes as long as apt, and so does a fresh one.
func (m *Maker) Image(ctx context.Context, o *dataservice.Offering, fresh bool) (repository, digest string, err error) {
	base, err := m.base(ctx, o, fresh)
	if err != nil {
		return "", "", err
	}
	files := []stack.File{{Path: path.Dir(keeper.Path)[1:], Mode: 0o755}, {Path: keeper.Path[1:], Mode: 0o755, Content: m.Keeper}}
	if o.Image.Program != "" {
		program := m.Programs[o.Image.Program]
		if program == nil {
			return "", "", fmt.Errorf("the platform brings no program %q", o.Image.Program)
		}
		files = append(files, stack.File{Path: path.Join(path.Dir(keeper.Path), o.Image.Program)[1:], Mode: 0o755, Content: program})
	}
	if o.Volume != "" {
		uid, gid, err := stack.ParseUser(o.User)
		if err != nil {
			return "", "", err
		}
		files = append(files, stack.File{Path: o.Volume[1:], Mode: 0o700, UID: uid, GID: gid})
	}
	img, err := stack.Compose(base, files)
	if err != nil {
		return "", "", err
	}
	repository = "services/" + o.Name
	digest, err = stack.PushImage(ctx, m.Registry, repository, img)
	return repository, digest, err
}

func (m *Maker) base(ctx context.Context, o *dataservice.Offering, fresh bool) (v1.Image, error) {
	switch {
	case o.Image.Reference != "":
		return stack.Foreign(ctx, o.Image.Reference)
	case o.Image.Program != "":
		base, err := stack.Prepare(ctx, m.Stack)
		if err != nil {
			return nil, err
		}
		return base.Run, nil
	}
	opts := m.Stack
	opts.Refresh = fresh
	added, err := stack.PrepareAddition(ctx, opts, stack.Addition{Name: o.Name, Packages: o.Image.Packages, Exclude: o.Image.Exclude, Prepare: o.Image.Prepare, User: preparer(o)})
	if err != nil {
		return nil, err
	}
	return added.Image, nil
}

// preparer is the user of the commands that prepare an image, none where there are none.
func preparer(o *dataservice.Offering) string {
	if len(o.Image.Prepare) == 0 {
		return ""
	}
	return o.User
}
