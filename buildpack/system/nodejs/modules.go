package nodejs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// modulesFormat is part of every key; raise it when the content of layers changes.
const modulesFormat = "1"

// installModules has the app's dependencies ready, in layers where that can be.
func (b *build) installModules() error {
	cache, err := b.c.Layer("npm-cache")
	if err != nil {
		return err
	}
	cache.Cache = true
	if err := cache.Write(); err != nil {
		return err
	}
	if vendored(b.c) {
		return b.useVendored()
	}
	if !b.pkg.hasDependencies() {
		return b.runInstallScripts()
	}
	if b.manager.lock == "" {
		b.c.Log.Warn("the app has no lock file, so versions of dependencies may change from build to build; commit one")
	}
	if why := b.inPlace(); why != "" {
		b.c.Log.Step("Installing dependencies with %s in the app's folder: %s", b.manager.name, why)
		return b.installInPlace()
	}
	return b.installInLayers()
}

func (b *build) inPlace() string {
	if b.manager.berry {
		return "yarn 2 and newer have their own files there"
	}
	if text, err := os.ReadFile(b.c.Path("pnpm-workspace.yaml")); err == nil && strings.Contains(string(text), "packages:") {
		return "the app has workspaces"
	}
	return b.pkg.inPlace()
}

// vendored says whether the app came with its dependencies.
func vendored(c *cnb.Context) bool {
	entries, err := os.ReadDir(c.Path("node_modules"))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return true
		}
	}
	return false
}

// useVendored takes node_modules as it was pushed. Native modules were compiled elsewhere, maybe for another
// version or system, so these are compiled again.
func (b *build) useVendored() error {
	native, err := hasNative(b.c.Path("node_modules"))
	if err != nil {
		return err
	}
	if !native {
		b.c.Log.Step("Using the node_modules that came with the app")
		return nil
	}
	b.c.Log.Step("Rebuilding native modules of the node_modules that came with the app")
	return b.c.Run(cnb.Cmd{Args: append(append([]string{}, b.tool...), "rebuild"), Env: b.env()})
}

var errFound = errors.New("found")

func hasNative(dir string) (bool, error) {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (d.Name() == "binding.gyp" || filepath.Ext(name) == ".node") {
			return errFound
		}
		return err
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// needsDev says whether building takes devDependencies that production does without.
func (b *build) needsDev() (bool, error) {
	names, err := b.scripts()
	if err != nil || len(b.pkg.DevDependencies) == 0 || !b.production() {
		return false, err
	}
	return len(names) > 0 || b.hasInstallScripts(), nil
}

func (b *build) production() bool { return b.nodeEnv() == "production" }

func (b *build) hasInstallScripts() bool {
	for _, s := range installScripts {
		if b.pkg.Scripts[s] != "" {
			return true
		}
	}
	return false
}

// installInLayers makes a layer of what production needs, and one of all when building needs more.
func (b *build) installInLayers() error {
	dev, err := b.needsDev()
	if err != nil {
		return err
	}
	if dev {
		if b.forDev, err = b.modulesLayer("dev-modules", false); err != nil {
			return err
		}
		b.forDev.Cache = true
		if err := b.forDev.Write(); err != nil {
			return err
		}
	}
	if b.modules, err = b.modulesLayer("modules", b.production()); err != nil {
		return err
	}
	b.modules.Launch, b.modules.Cache = true, true
	if err := b.modules.LaunchEnv("PATH", "prepend", b.modules.Path("node_modules", ".bin")); err != nil {
		return err
	}
	if err := b.modules.Write(); err != nil {
		return err
	}
	if _, err := b.linkModules(b.buildModules(), false); err != nil {
		return err
	}
	return b.runInstallScripts()
}

// modulesLayer returns the layer with the modules, restored when its key still fits.
func (b *build) modulesLayer(name string, production bool) (*cnb.Layer, error) {
	key, err := b.modulesKey(production)
	if err != nil {
		return nil, err
	}
	layer, err := b.c.Layer(name)
	if err != nil {
		return nil, err
	}
	kind := "all dependencies"
	if production {
		kind = "dependencies for production"
	}
	if layer.Fits("key", key) {
		b.c.Log.Step("Reusing %s, which have not changed", kind)
		return layer, nil
	}
	b.c.Log.Step("Installing %s with %s", kind, b.manager.name)
	if err := layer.Reset(); err != nil {
		return nil, err
	}
	if err := b.installInto(layer, production); err != nil {
		return nil, err
	}
	layer.Metadata["key"] = key
	return layer, nil
}

// beside are the files that package managers read, next to package.json.
var beside = []string{
	"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml",
	".npmrc", ".yarnrc", ".pnpmfile.cjs",
}

// modulesKey changes with all that decides what is installed, and not with the rest of the app.
func (b *build) modulesKey(production bool) (string, error) {
	var k cnb.Key
	k.Text(modulesFormat, b.version, b.manager.name, b.manager.spec, b.nodeEnv(), fmt.Sprint(production))
	for _, f := range dependencyFields {
		k.Text(f, string(b.pkg.all[f]))
	}
	for _, f := range beside {
		if err := k.File(b.c.Path(f)); err != nil {
			return "", err
		}
	}
	return k.Sum(), nil
}

// installInto installs into an empty layer. All but node_modules is removed afterwards: .npmrc may hold a
// token, and the layer may become part of the image.
func (b *build) installInto(layer *cnb.Layer, production bool) error {
	manifest, err := b.pkg.withoutInstallScripts()
	if err != nil {
		return err
	}
	files := map[string][]byte{"package.json": manifest}
	for _, f := range beside {
		text, err := os.ReadFile(b.c.Path(f))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		files[f] = text
	}
	for name, text := range files {
		if err := os.WriteFile(layer.Path(name), text, 0o600); err != nil {
			return err
		}
	}
	args := append(append([]string{}, b.tool...), b.manager.install(production)...)
	if err := b.c.Run(cnb.Cmd{Dir: layer.Dir, Args: args, Env: b.env()}); err != nil {
		return fmt.Errorf("install dependencies: %w", err)
	}
	if err := os.MkdirAll(layer.Path("node_modules"), 0o755); err != nil { // when there are none for production
		return err
	}
	return keepOnly(layer.Dir, "node_modules")
}

func keepOnly(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != name {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// linkModules makes a layer's modules those of the app: by a link, or by a copy while building when the app
// needs one. It tells whether it copied.
func (b *build) linkModules(layer *cnb.Layer, building bool) (copied bool, err error) {
	if layer == nil {
		return false, nil
	}
	link := b.c.Path("node_modules")
	if err := os.RemoveAll(link); err != nil {
		return false, err
	}
	if building && b.refusesLinks() {
		return true, b.c.Run(cnb.Cmd{Args: []string{"cp", "-a", "--reflink=auto", layer.Path("node_modules"), link}})
	}
	return false, os.Symlink(layer.Path("node_modules"), link)
}

// refusesLinks says whether the app's bundler insists on modules below the app's folder, as that of Next.js.
func (b *build) refusesLinks() bool {
	if v := b.c.Env("BP_NODE_COPY_MODULES"); v != "" {
		return v == "true"
	}
	return b.pkg.Dependencies["next"] != "" || b.pkg.DevDependencies["next"] != ""
}

// runInstallScripts runs the app's own install scripts, with its files around and its modules in place.
// "prepare" is for developers, so it is left out where their modules are.
func (b *build) runInstallScripts() error {
	for _, s := range installScripts {
		if b.pkg.Scripts[s] == "" || strings.Contains(s, "prepare") && b.forDev == nil {
			continue
		}
		b.c.Log.Step("Running the script %s: %s", s, b.pkg.Scripts[s])
		if err := b.c.Run(cnb.Cmd{Args: b.run(s), Env: b.env()}); err != nil {
			return fmt.Errorf("the script %q of package.json failed: %w", s, err)
		}
	}
	return nil
}

// installInPlace lets the package manager work in the app's folder. What building alone needs is pruned after
// the build scripts, by b.prune.
func (b *build) installInPlace() error {
	dev, err := b.needsDev()
	if err != nil {
		return err
	}
	args := b.manager.install(b.production() && !dev)
	if b.manager.berry { // its way to leave out devDependencies is pruning
		args, dev = b.manager.install(false), b.production()
	}
	b.prune = dev
	if err := b.c.Run(cnb.Cmd{Args: append(append([]string{}, b.tool...), args...), Env: b.env()}); err != nil {
		return fmt.Errorf("install dependencies: %w", err)
	}
	return nil
}

// pruneModules removes devDependencies that were installed in place.
func (b *build) pruneModules() error {
	if !b.prune {
		return nil
	}
	b.c.Log.Step("Removing what only the build needed")
	args := append(append([]string{}, b.tool...), b.manager.prune()...)
	if err := b.c.Run(cnb.Cmd{Args: args, Env: b.env()}); err != nil {
		return fmt.Errorf("remove devDependencies: %w", err)
	}
	return nil
}

// keepGenerated copies what build scripts generated beside the packages, such as the client of Prisma, from
// the modules that they ran with to those that production runs with.
func keepGenerated(from, to *cnb.Layer) error {
	entries, err := os.ReadDir(from.Path("node_modules"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || !strings.HasPrefix(name, ".") || notGenerated[name] {
			continue
		}
		target := to.Path("node_modules", name)
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		if err := os.CopyFS(target, os.DirFS(from.Path("node_modules", name))); err != nil {
			return fmt.Errorf("keep node_modules/%s for launch: %w", name, err)
		}
	}
	return nil
}

// notGenerated are the folders of package managers and caches.
var notGenerated = map[string]bool{".bin": true, ".cache": true, ".vite": true, ".pnpm": true, ".yarn": true, ".store": true}
