package export

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// AboveRunImage returns the layers that an app image has above its run image, from the lowest up.
func AboveRunImage(app v1.Image) ([]v1.Layer, error) {
	config, err := app.ConfigFile()
	if err != nil {
		return nil, err
	}
	meta, err := parseMetadata(config.Config.Labels[LifecycleLabel])
	if err != nil {
		return nil, err
	}
	layers, err := app.Layers()
	if err != nil {
		return nil, err
	}
	for i, diff := range config.RootFS.DiffIDs {
		if diff.String() == meta.RunImage.TopLayer && i < len(layers) {
			return layers[i+1:], nil
		}
	}
	return nil, fmt.Errorf("its label %s names a run image layer that it does not have", LifecycleLabel)
}
