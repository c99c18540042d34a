package export

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// ErrNotRebasable says that an image forbids rebasing, by its label.
var ErrNotRebasable = errors.New("the image is not rebasable; stage the app again")

// Rebase puts the layers that a build added to its run image onto another run image and pushes the result
// into the same repository (Platform API, rebaser). Nothing is downloaded. Rebasing onto the run image
// that is there already gives the same image.
func (r Registry) Rebase(ctx context.Context, repository, digest, newRunImage string) (string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", err
	}
	app, _, err := r.Image(ctx, repo.Digest(digest).Name())
	if err != nil {
		return "", err
	}
	run, runRef, err := r.Image(ctx, newRunImage)
	if err != nil {
		return "", err
	}
	img, err := rebased(app, run, runRef.Name())
	if err != nil {
		return "", fmt.Errorf("rebase %s: %w", digest, err)
	}
	layers, err := run.Layers()
	if err != nil {
		return "", err
	}
	pushed, err := r.push(ctx, repo, img, layers)
	return pushed.String(), err
}

func rebased(app, run v1.Image, runName string) (v1.Image, error) {
	oldConfig, err := app.ConfigFile()
	if err != nil {
		return nil, err
	}
	runConfig, err := run.ConfigFile()
	if err != nil {
		return nil, err
	}
	if oldConfig.Config.Labels[RebasableLabel] == "false" {
		return nil, ErrNotRebasable
	}
	if err := sameTarget(oldConfig, runConfig); err != nil {
		return nil, err
	}
	meta, err := parseMetadata(oldConfig.Config.Labels[LifecycleLabel])
	if err != nil {
		return nil, err
	}
	own, err := aboveRunImage(app, oldConfig, meta.RunImage.TopLayer)
	if err != nil {
		return nil, err
	}
	img, err := stack(run, own)
	if err != nil {
		return nil, err
	}
	return relabel(img, oldConfig, runConfig, run, meta, runName)
}

// targetLabels describe the distribution; both the old and the new name of each.
var targetLabels = []string{"io.buildpacks.base.distro.name", "io.buildpacks.base.distro.version"}

func sameTarget(app, run *v1.ConfigFile) error {
	if app.OS != run.OS || app.Architecture != run.Architecture || app.Variant != run.Variant {
		return fmt.Errorf("the new run image is for %s, the app for %s; stage the app again", run.Platform(), app.Platform())
	}
	for _, label := range targetLabels {
		was, is := app.Config.Labels[label], run.Config.Labels[label]
		if was != is {
			return fmt.Errorf("the new run image has %s %q, the old one %q; stage the app again", label, is, was)
		}
	}
	return nil
}

// aboveRunImage lists the layers above the run image's top layer.
func aboveRunImage(app v1.Image, config *v1.ConfigFile, top string) ([]*Blob, error) {
	manifest, err := app.Manifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		return nil, errors.New("its manifest and configuration do not fit")
	}
	for i, diff := range config.RootFS.DiffIDs {
		if diff.String() != top {
			continue
		}
		var own []*Blob
		for j := i + 1; j < len(manifest.Layers); j++ {
			d := manifest.Layers[j]
			own = append(own, &Blob{Diff: config.RootFS.DiffIDs[j], Hash: d.Digest, Bytes: d.Size, Type: d.MediaType})
		}
		return own, nil
	}
	return nil, fmt.Errorf("its label %s names a run image layer that it does not have", LifecycleLabel)
}

// relabel gives the new image the app image's configuration, with what tells of the run image renewed.
func relabel(img v1.Image, old, runConfig *v1.ConfigFile, run v1.Image, meta Metadata, runName string) (v1.Image, error) {
	config := old.DeepCopy()
	stacked, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.RootFS, config.History = stacked.RootFS, stacked.History
	config.Created, config.OSVersion = v1.Time{Time: epoch}, runConfig.OSVersion
	for key := range config.Config.Labels {
		if ofRunImage(key) {
			delete(config.Config.Labels, key)
		}
	}
	for key, value := range runConfig.Config.Labels {
		if ofRunImage(key) {
			config.Config.Labels[key] = value
		}
	}
	if meta.RunImage, err = describeRunImage(run, runName); err != nil {
		return nil, err
	}
	meta.Stack = &StackMetadata{meta.RunImage}
	if config.Config.Labels[LifecycleLabel], err = marshal(meta); err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, config)
}

func ofRunImage(label string) bool {
	return strings.HasPrefix(label, "io.buildpacks.base.") || strings.HasPrefix(label, "io.buildpacks.stack.")
}
