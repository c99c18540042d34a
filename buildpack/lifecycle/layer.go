package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LayerFile is a <layer>.toml (Buildpack API, Layer Content Metadata).
type LayerFile struct {
	Types    Types          `toml:"types"`
	Metadata map[string]any `toml:"metadata,omitempty"`
}

// Types say what a layer is for.
type Types struct {
	Launch bool `toml:"launch" json:"launch"`
	Build  bool `toml:"build" json:"build"`
	Cache  bool `toml:"cache" json:"cache"`
}

// SBOMFormats are the extensions of SBOM files by media type.
var SBOMFormats = map[string]string{
	"application/vnd.cyclonedx+json": "cdx.json",
	"application/spdx+json":          "spdx.json",
	"application/vnd.syft+json":      "syft.json",
}

// reserved are the TOML files in a buildpack's layers folder that describe no layer.
var reserved = []string{"launch", "build", "store"}

// Reserved says whether a name may not be a layer's.
func Reserved(name string) bool { return slices.Contains(reserved, name) }

// ReadLayers reads the <layer>.toml files of a buildpack's layers folder; the names come back sorted.
func ReadLayers(dir string) ([]string, map[string]LayerFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	layers := map[string]LayerFile{}
	for _, e := range entries {
		name, isTOML := strings.CutSuffix(e.Name(), ".toml")
		if !isTOML || Reserved(name) {
			if e.IsDir() && Reserved(e.Name()) {
				return nil, nil, fmt.Errorf("layer %q: this name is reserved; call the layer something else", e.Name())
			}
			continue
		}
		var f LayerFile
		if err := ReadTOML(filepath.Join(dir, e.Name()), &f); err != nil {
			return nil, nil, fmt.Errorf("layer %q: %w", name, err)
		}
		names = append(names, name)
		layers[name] = f
	}
	return names, layers, nil
}

// checkSBOMs returns an error for an SBOM file whose format the buildpack does not declare.
func checkSBOMs(dir string, formats []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, ext, found := strings.Cut(e.Name(), ".sbom.")
		if !found {
			continue
		}
		declared := slices.ContainsFunc(formats, func(f string) bool { return SBOMFormats[f] == ext })
		if !declared {
			return fmt.Errorf("%s: buildpack.toml does not declare this format in sbom-formats", e.Name())
		}
	}
	return nil
}
