// Package export is the host's side of a Cloud Native Buildpacks build: it analyzes the previous image,
// restores what buildpacks left in it, turns layers and the app into an image and pushes that, and
// rebases images onto new run images. It talks to the registry alone, never to a container engine.
//
// The folders that it reads were written by strangers. Each path is checked, part by part, to be a real
// folder or a regular file before it is opened, and the container that could change it is gone by then.
package export

import "time"

// epoch is the time of every file in a layer and of every image, so that equal input makes equal images.
var epoch = time.Date(1980, time.January, 1, 0, 0, 1, 0, time.UTC)

// maxFileBytes bounds each TOML or SBOM file that is read into memory.
const maxFileBytes = 16 << 20
