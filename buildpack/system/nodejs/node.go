package nodejs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// installNode has the wanted Node.js with an npm that suits it in a layer, and its headers in another.
func (b *build) installNode() error {
	want, why := b.wantedNode()
	list, err := b.c.Catalog("node-versions", b.published)
	if err != nil {
		return fmt.Errorf("find a Node.js for %q (check the network and the npm registry's settings): %w", want, err)
	}
	if b.version, err = resolve(want, list, time.Now()); err != nil {
		return err
	}
	if b.node, err = b.c.Layer("node"); err != nil {
		return err
	}
	headers, err := b.c.Layer("headers")
	if err != nil {
		return err
	}
	b.node.Launch, b.node.Build, b.node.Cache = true, true, true
	headers.Cache = true
	key := b.version + " with npm " + npmFor(b.version, b.pkg.Engines["npm"])
	if b.node.Fits("version", key) && headers.Fits("version", key) {
		b.c.Log.Step("Node.js %s (%s: %s) from the cache", b.version, why, want)
	} else {
		b.c.Log.Step("Node.js %s (%s: %s)", b.version, why, want)
		if err := b.download(headers); err != nil {
			return err
		}
		b.node.Metadata["version"], headers.Metadata["version"] = key, key
	}
	if err := headers.Write(); err != nil {
		return err
	}
	return b.node.Write()
}

// download fetches Node.js and npm as packages, both at once.
func (b *build) download(headers *cnb.Layer) error {
	for _, l := range []*cnb.Layer{b.node, headers} {
		if err := l.Reset(); err != nil {
			return err
		}
	}
	npm := make(chan error, 1)
	go func() { npm <- b.addNPM() }()
	if err := errors.Join(b.addNode(headers), <-npm); err != nil {
		return err
	}
	return b.launchEnv()
}

// addNode unpacks the program into one layer and the headers into the other.
func (b *build) addNode(headers *cnb.Layer) error {
	archive, err := b.pack(nodePackage() + "@" + b.version)
	if err != nil {
		return fmt.Errorf("download Node.js %s (check the network and the npm registry's settings): %w", b.version, err)
	}
	defer os.RemoveAll(filepath.Dir(archive))
	err = cnb.Unpack(archive, b.c.LayersDir, func(name string) string {
		if n := nodeFile(name); n != "" {
			return filepath.Join(b.node.Name, n)
		}
		if n := headerFile(name); n != "" {
			return filepath.Join(headers.Name, n)
		}
		return ""
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(b.node.Path("bin", "node")); err != nil {
		return fmt.Errorf("the package %s@%s has no program bin/node", nodePackage(), b.version)
	}
	return nil
}

func nodeFile(name string) string {
	switch name = strings.TrimPrefix(name, "package/"); name {
	case "bin/node", "LICENSE":
		return name
	}
	return ""
}

// headerFile takes what native modules are compiled with, for this platform.
func headerFile(name string) string {
	name = strings.TrimPrefix(name, "package/")
	if !strings.HasPrefix(name, "include/") {
		return ""
	}
	if strings.Contains(name, "/openssl/archs/") && !strings.Contains(name, "/archs/linux-") {
		return ""
	}
	return name
}

// addNPM puts npm beside node, as every distribution of Node.js has it.
func (b *build) addNPM() error {
	spec := "npm@" + npmFor(b.version, b.pkg.Engines["npm"])
	archive, err := b.pack(spec)
	if err != nil {
		return fmt.Errorf("download %s: %w", spec, err)
	}
	defer os.RemoveAll(filepath.Dir(archive))
	home := filepath.Join("lib", "node_modules", "npm")
	if err := cnb.Unpack(archive, b.node.Path(home), npmFile); err != nil {
		return err
	}
	if err := os.MkdirAll(b.node.Path("bin"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"npm", "npx"} {
		script := filepath.Join(home, "bin", name+"-cli.js")
		if err := os.Chmod(b.node.Path(script), 0o755); err != nil {
			return fmt.Errorf("%s has no %s: %w", spec, name, err)
		}
		if err := os.Symlink(filepath.Join("..", script), b.node.Path("bin", name)); err != nil {
			return err
		}
	}
	return nil
}

func npmFile(name string) string {
	name = strings.TrimPrefix(name, "package/")
	for _, dir := range []string{"docs/", "man/"} {
		if strings.HasPrefix(name, dir) {
			return ""
		}
	}
	return name
}

// npmFor is the npm that comes with a version of Node.js, unless the app asks for another.
func npmFor(node, asked string) string {
	if asked != "" {
		return asked
	}
	major, err := strconv.Atoi(strings.Split(node, ".")[0])
	switch {
	case err != nil || major >= 24:
		return "11"
	case major >= 18:
		return "10"
	default:
		return "8"
	}
}

// pack downloads a package with the stack's npm and returns the archive, alone in a folder that the caller
// removes.
func (b *build) pack(spec string) (string, error) {
	dir, err := os.MkdirTemp("", "npm-pack-")
	if err != nil {
		return "", err
	}
	if _, err := b.c.Output(npm(dir, "pack", "--silent", spec)); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err == nil && len(archives) != 1 {
		err = fmt.Errorf("npm pack %s left %d archives", spec, len(archives))
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return archives[0], nil
}

// launchEnv sets what Node.js apps expect in production. MEMORY_LIMIT is known at launch only, so the heap's
// limit is set then, by this program.
func (b *build) launchEnv() error {
	for name, value := range map[string]string{"NODE_ENV": "production", "NODE_HOME": b.node.Dir} {
		if err := b.node.LaunchEnv(name, "default", value); err != nil {
			return err
		}
	}
	return b.node.AddSelf(b.c, "exec.d", HeapProgram)
}
