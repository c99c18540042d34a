// Package nodejs is the buildpack cupola/nodejs: it builds Node.js apps that npm, yarn or pnpm manage.
//
// Node.js and the package managers come as packages from the npm registry, by the npm client of the stack.
// Dependencies are installed into layers keyed by all that decides their content, and linked into the app's
// folder, so that a push that leaves them alone installs nothing. Settings: BP_NODE_VERSION,
// BP_NODE_RUN_SCRIPTS (instead of "build"), BP_NODE_COPY_MODULES (put node_modules into the app's folder while
// it is built, for bundlers that refuse links).
package nodejs

import (
	"fmt"
	"os"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack builds Node.js apps.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// Detect passes apps that have a package.json.
func (Buildpack) Detect(c *cnb.Context) error {
	if c.Has("package.json") {
		return nil
	}
	return cnb.Passf("no package.json")
}

// Build installs Node.js and the dependencies, runs the build script and finds the start command.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	pkg, err := readPackage(c.Path("package.json"))
	if err != nil {
		return nil, err
	}
	b := &build{c: c, pkg: pkg, manager: findManager(c, pkg)}
	if err := b.installNode(); err != nil {
		return nil, err
	}
	if err := b.installManager(); err != nil {
		return nil, err
	}
	if err := b.installModules(); err != nil {
		return nil, err
	}
	if err := b.runScripts(); err != nil {
		return nil, err
	}
	if err := b.keepForLaunch(); err != nil {
		return nil, err
	}
	return b.start()
}

// build is one run of the buildpack.
type build struct {
	c       *cnb.Context
	pkg     *packageJSON
	manager manager

	node    *cnb.Layer
	version string   // of Node.js
	tool    []string // command that starts the package manager
	modules *cnb.Layer
	forDev  *cnb.Layer // with devDependencies, for build scripts; nil when modules will do
	prune   bool       // modules were installed in place, with devDependencies
}

// env is what the app's own programs see while it is built.
func (b *build) env() map[string]string {
	return map[string]string{
		"PATH":                       cnb.PathWith(b.node.Path("bin"), b.c.Path("node_modules", ".bin")),
		"NODE_ENV":                   b.nodeEnv(),
		"npm_config_nodedir":         b.c.LayersDir + "/headers",
		"npm_config_audit":           "false",
		"npm_config_fund":            "false",
		"npm_config_progress":        "false",
		"npm_config_update_notifier": "false",
		"npm_config_cache":           b.c.LayersDir + "/npm-cache",
		"YARN_CACHE_FOLDER":          b.c.LayersDir + "/npm-cache/yarn",
		"YARN_NODE_LINKER":           "node-modules",
		"YARN_ENABLE_GLOBAL_CACHE":   "false",
		"npm_config_store_dir":       b.c.LayersDir + "/npm-cache/pnpm",
		"YARN_ENABLE_TELEMETRY":      "0",
		"COREPACK_ENABLE_STRICT":     "0",
		"CI":                         "true",
	}
}

func (b *build) nodeEnv() string {
	if v := b.c.Env("NODE_ENV"); v != "" {
		return v
	}
	return "production"
}

// scripts are those that build the app.
func (b *build) scripts() ([]string, error) {
	if set := b.c.Env("BP_NODE_RUN_SCRIPTS"); set != "" {
		names := strings.FieldsFunc(set, func(r rune) bool { return r == ',' || r == ' ' })
		for _, n := range names {
			if b.pkg.Scripts[n] == "" {
				return nil, fmt.Errorf("BP_NODE_RUN_SCRIPTS names the script %q, which package.json doesn't have", n)
			}
		}
		return names, nil
	}
	if b.pkg.Scripts["build"] != "" {
		return []string{"build"}, nil
	}
	return nil, nil
}

// runScripts runs the build scripts with the package manager.
func (b *build) runScripts() error {
	names, err := b.scripts()
	if err != nil || len(names) == 0 {
		return err
	}
	copied, err := b.linkModules(b.buildModules(), true)
	if err != nil {
		return err
	}
	for _, n := range names {
		b.c.Log.Step("Running the script %s: %s", n, b.pkg.Scripts[n])
		if err := b.c.Run(cnb.Cmd{Args: b.run(n), Env: b.env()}); err != nil {
			return fmt.Errorf("the script %q of package.json failed: %w", n, err)
		}
	}
	if copied {
		return os.RemoveAll(b.c.Path("node_modules"))
	}
	return nil
}

// run is the command that runs a script of package.json.
func (b *build) run(script string) []string {
	return append(append([]string{}, b.tool...), "run", script)
}

// keepForLaunch leaves in the app's folder the modules that production needs.
func (b *build) keepForLaunch() error {
	if b.modules == nil {
		return b.pruneModules()
	}
	if b.forDev != nil {
		if err := keepGenerated(b.forDev, b.modules); err != nil {
			return err
		}
	}
	_, err := b.linkModules(b.modules, false)
	return err
}

func (b *build) buildModules() *cnb.Layer {
	if b.forDev != nil {
		return b.forDev
	}
	return b.modules
}
