package export

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// Labels of app images (Platform API, Labels).
const (
	LifecycleLabel = "io.buildpacks.lifecycle.metadata"
	BuildLabel     = "io.buildpacks.build.metadata"
	ProjectLabel   = "io.buildpacks.project.metadata"
	RebasableLabel = "io.buildpacks.rebasable"
)

// Metadata is the value of LifecycleLabel.
type Metadata struct {
	App        []LayerSHA          `json:"app"`
	SBOM       *LayerSHA           `json:"sbom,omitempty"`
	Config     LayerSHA            `json:"config"`
	ExecEnv    string              `json:"exec-env,omitempty"`
	Launcher   LayerSHA            `json:"launcher"`
	Buildpacks []BuildpackMetadata `json:"buildpacks"`
	RunImage   RunImage            `json:"runImage"`
	Stack      *StackMetadata      `json:"stack,omitempty"`
}

// LayerSHA is a layer's diffID.
type LayerSHA struct {
	SHA string `json:"sha"`
}

// BuildpackMetadata is what one buildpack left in the image.
type BuildpackMetadata struct {
	Key     string                   `json:"key"`
	Version string                   `json:"version"`
	Layers  map[string]LayerMetadata `json:"layers"`
	Store   *Store                   `json:"store,omitempty"`
}

// LayerMetadata is a <layer>.toml and the layer's diffID.
type LayerMetadata struct {
	SHA  string         `json:"sha"`
	Data map[string]any `json:"data"`
	lifecycle.Types
}

// Store is a store.toml.
type Store struct {
	Metadata map[string]any `json:"metadata" toml:"metadata"`
}

// RunImage is the run image below an app image.
type RunImage struct {
	TopLayer  string   `json:"topLayer"`
	Reference string   `json:"reference"`
	Image     string   `json:"image,omitempty"`
	Mirrors   []string `json:"mirrors,omitempty"`
}

// StackMetadata repeats the run image where older platforms look for it.
type StackMetadata struct {
	RunImage RunImage `json:"runImage"`
}

// buildMetadata is the value of BuildLabel.
type buildMetadata struct {
	Processes  []launcher.Process   `json:"processes"`
	Buildpacks []launcher.Buildpack `json:"buildpacks"`
	Launcher   launcherVersion      `json:"launcher"`
}

type launcherVersion struct {
	Version string `json:"version"`
}

// parseMetadata reads a LifecycleLabel. Whole numbers stay whole.
func parseMetadata(label string) (Metadata, error) {
	var m Metadata
	dec := json.NewDecoder(bytes.NewReader([]byte(label)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("label %s: %w", LifecycleLabel, err)
	}
	for _, b := range m.Buildpacks {
		for name, l := range b.Layers {
			l.Data = lifecycle.PlainNumbers(l.Data)
			b.Layers[name] = l
		}
		if b.Store != nil {
			b.Store.Metadata = lifecycle.PlainNumbers(b.Store.Metadata)
		}
	}
	return m, nil
}

// layer finds a buildpack's layer.
func (m Metadata) layer(id, name string) (LayerMetadata, bool) {
	for _, b := range m.Buildpacks {
		if b.Key == id {
			l, ok := b.Layers[name]
			return l, ok
		}
	}
	return LayerMetadata{}, false
}
