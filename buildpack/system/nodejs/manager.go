package nodejs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// manager is the package manager of an app.
type manager struct {
	name string // npm, yarn or pnpm
	lock string // its lock file, "" when the app has none
	spec string // package and version to fetch; "" for the npm that comes with Node.js
	file string // a program in the app that is the manager (yarnPath); "" else
	// berry is yarn 2 and newer, whose commands differ.
	berry bool
	// why says where the choice comes from.
	why string
}

var managerField = regexp.MustCompile(`^(npm|yarn|pnpm)@(\d+[^+]*)`)

// findManager goes by the packageManager field and the lock files.
func findManager(c *cnb.Context, pkg *packageJSON) manager {
	m := manager{name: "npm"}
	for _, l := range []struct{ file, name string }{
		{"npm-shrinkwrap.json", "npm"}, {"package-lock.json", "npm"}, {"yarn.lock", "yarn"}, {"pnpm-lock.yaml", "pnpm"},
	} {
		if c.Has(l.file) {
			m.name, m.lock, m.why = l.name, l.file, l.file
			break
		}
	}
	version := ""
	if f := managerField.FindStringSubmatch(pkg.PackageManager); f != nil && (m.lock == "" || f[1] == m.name) {
		m.name, version, m.why = f[1], f[2], "packageManager in package.json"
	}
	if version == "" && m.name != "npm" {
		version = pkg.Engines[m.name]
	}
	switch m.name {
	case "yarn":
		m.yarn(c, version)
	case "pnpm":
		m.pnpm(c, version)
	default:
		if version != "" {
			m.spec = "npm@" + version
		}
	}
	return m
}

func (m *manager) yarn(c *cnb.Context, version string) {
	m.file = yarnPath(c)
	lock, _ := os.ReadFile(c.Path("yarn.lock"))
	m.berry = m.file != "" || strings.Contains(string(lock), "__metadata:") || version != "" && !strings.HasPrefix(version, "1.") && version != "1"
	switch {
	case m.berry && version == "":
		m.spec = "@yarnpkg/cli-dist@4"
	case m.berry:
		m.spec = "@yarnpkg/cli-dist@" + version
	case version == "":
		m.spec = "yarn@1"
	default:
		m.spec = "yarn@" + version
	}
}

var yarnPathLine = regexp.MustCompile(`(?m)^yarnPath:\s*["']?([^"'\s]+)`)

// yarnPath is the yarn that the app carries, by .yarnrc.yml.
func yarnPath(c *cnb.Context) string {
	text, err := os.ReadFile(c.Path(".yarnrc.yml"))
	if err != nil {
		return ""
	}
	f := yarnPathLine.FindSubmatch(text)
	if f == nil || !filepath.IsLocal(string(f[1])) || !c.Has(string(f[1])) {
		return ""
	}
	return string(f[1])
}

var pnpmLockVersion = regexp.MustCompile(`(?m)^lockfileVersion:\s*['"]?(\d+)`)

func (m *manager) pnpm(c *cnb.Context, version string) {
	if version == "" {
		version = "10"
		lock, _ := os.ReadFile(c.Path("pnpm-lock.yaml"))
		if f := pnpmLockVersion.FindSubmatch(lock); f != nil {
			switch string(f[1]) {
			case "5":
				version = "7"
			case "6":
				version = "8"
			}
		}
	}
	m.spec = "pnpm@" + version
}

// program is the manager's program inside its package.
func (m manager) program() string {
	switch {
	case m.name == "npm":
		return "bin/npm-cli.js"
	case m.berry:
		return "bin/yarn.js"
	case m.name == "yarn":
		return "bin/yarn.js"
	default:
		return "bin/pnpm.cjs"
	}
}

// install is the command that installs what the lock file says; production leaves devDependencies out.
func (m manager) install(production bool) []string {
	var args []string
	switch {
	case m.name == "npm" && m.lock != "":
		args = []string{"ci"}
	case m.name == "npm":
		args = []string{"install", "--no-package-lock"}
	case m.berry && production:
		return []string{"workspaces", "focus", "--production"}
	case m.berry:
		return []string{"install", "--immutable"}
	case m.name == "yarn":
		args = []string{"install", "--non-interactive", "--prefer-offline"}
		if m.lock != "" {
			args = append(args, "--frozen-lockfile")
		}
		return append(args, fmt.Sprintf("--production=%t", production))
	default:
		args = []string{"install", "--prefer-offline"}
		if m.lock != "" {
			args = append(args, "--frozen-lockfile")
		}
		if production {
			return append(args, "--prod")
		}
		return append(args, "--prod=false")
	}
	args = append(args, "--prefer-offline")
	if production {
		return append(args, "--omit=dev")
	}
	return append(args, "--include=dev")
}

// prune is the command that removes devDependencies.
func (m manager) prune() []string {
	switch {
	case m.berry:
		return m.install(true)
	case m.name == "yarn":
		return append(m.install(true), "--ignore-scripts")
	case m.name == "pnpm":
		return []string{"prune", "--prod"}
	default:
		return []string{"prune", "--omit=dev"}
	}
}

// installManager has the package manager ready and sets b.tool.
func (b *build) installManager() error {
	m := b.manager
	node := b.node.Path("bin", "node")
	switch {
	case m.file != "":
		b.tool = []string{node, b.c.Path(m.file)}
		return nil
	case m.spec == "":
		b.tool = []string{node, b.node.Path("lib", "node_modules", "npm", "bin", "npm-cli.js")}
		return nil
	}
	layer, err := b.c.Layer("manager")
	if err != nil {
		return err
	}
	layer.Cache = true
	b.tool = []string{node, layer.Path(m.program())}
	if layer.Fits("spec", m.spec) {
		return layer.Write()
	}
	b.c.Log.Step("Package manager %s (%s)", m.spec, m.why)
	if err := layer.Reset(); err != nil {
		return err
	}
	archive, err := b.pack(m.spec)
	if err != nil {
		return fmt.Errorf("download %s: %w", m.spec, err)
	}
	defer os.RemoveAll(filepath.Dir(archive))
	err = cnb.Unpack(archive, layer.Dir, func(name string) string {
		_, rest, _ := strings.Cut(name, "/") // "package/" for most, the package's name for some
		return rest
	})
	if err != nil {
		return err
	}
	layer.Metadata["spec"] = m.spec
	return layer.Write()
}
