// Package procfile is the buildpack cupola/procfile: it starts what the app's Procfile says.
//
// Our other buildpacks read the Procfile themselves; this one stands beside buildpacks that don't.
package procfile

import "github.com/cupola-paas/cupola/buildpack/system/cnb"

// Buildpack reads a Procfile.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// Detect passes apps that have a Procfile.
func (Buildpack) Detect(c *cnb.Context) error {
	if c.Has("Procfile") {
		return nil
	}
	return cnb.Passf("no Procfile")
}

// Build adds nothing of its own: cnb takes the processes from the Procfile.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	procs, err := cnb.Procfile(c)
	if err != nil {
		return nil, err
	}
	for _, p := range procs {
		c.Log.Info("Procfile: %s", p.Type)
	}
	return &cnb.Launch{}, nil
}
