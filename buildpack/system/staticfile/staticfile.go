// Package staticfile is the buildpack cupola/staticfile: it serves files with the nginx of the run image, which
// a rebase patches.
//
// Options come from the file Staticfile, as in Cloud Foundry: root, directory, pushstate, force_https,
// host_dot_files, ssi, status_codes, http_strict_transport_security, location_include, and headers. The file
// Staticfile.auth (htpasswd format) asks for a password. Files beside which lies one with .gz or .br are served
// compressed.
package staticfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack serves static files.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// usualRoots are looked at, in this order, for an index.html when no Staticfile names a root.
var usualRoots = []string{".", "public", "dist", "build"}

// Detect passes apps with a Staticfile or with an index.html in a usual place.
func (Buildpack) Detect(c *cnb.Context) error {
	if c.Has("Staticfile") {
		return nil
	}
	for _, dir := range usualRoots {
		if c.Has(dir, "index.html") {
			return nil
		}
	}
	return cnb.Passf("no Staticfile, and no index.html at the top or in public, dist or build")
}

// Build writes nginx's configuration, all but what is known at launch, and puts the start program beside it.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	opts, err := readOptions(c)
	if err != nil {
		return nil, err
	}
	root, err := findRoot(c, opts)
	if err != nil {
		return nil, err
	}
	site := site{Options: *opts, AppDir: c.AppDir, Root: c.Path(root), Auth: c.Has("Staticfile.auth"), NotFound: c.Has(root, "404.html")}
	if site.Tag, err = contentTag(site.Root); err != nil {
		return nil, err
	}
	config, err := site.config()
	if err != nil {
		return nil, err
	}
	layer, err := c.Layer("nginx")
	if err != nil {
		return nil, err
	}
	if err := layer.Reset(); err != nil {
		return nil, err
	}
	layer.Launch = true
	if err := os.WriteFile(layer.Path(configName), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := layer.AddSelf(c, "bin", ServerProgram); err != nil {
		return nil, err
	}
	c.Log.Step("Serving %s with nginx", describe(root))
	return cnb.Web(layer.Path("bin", ServerProgram), layer.Path(configName)), layer.Write()
}

func describe(root string) string {
	if root == "." {
		return "the app's folder"
	}
	return "the folder " + root
}

// findRoot is the folder to serve.
func findRoot(c *cnb.Context, opts *Options) (string, error) {
	if opts.Root != "" {
		if !filepath.IsLocal(opts.Root) {
			return "", fmt.Errorf("root in Staticfile must be a folder of the app, not %q", opts.Root)
		}
		if st, err := os.Stat(c.Path(opts.Root)); err != nil || !st.IsDir() {
			return "", fmt.Errorf("the folder %q, named by root in Staticfile, is not in the app", opts.Root)
		}
		return filepath.Clean(opts.Root), nil
	}
	for _, dir := range usualRoots {
		if c.Has(dir, "index.html") {
			return dir, nil
		}
	}
	return ".", nil
}

// contentTag identifies the content of the whole site. It stands in for the time of each file, by which nginx
// would make its tags: images keep no times, so two files of one size would pass for the same.
func contentTag(root string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\x00", name)
		_, err = io.Copy(h, f)
		return errors.Join(err, f.Close())
	})
	return hex.EncodeToString(h.Sum(nil))[:20], err
}
