package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// assembly makes one stack in a work folder that its caller removes.
type assembly struct {
	opts     Options
	recipe   recipe
	work     string
	started  time.Time // files changed since are ours, not their package's, and get a fixed time
	progress *progress
	log      io.Writer // what the programs print

	release *release
	meta    metadata
}

func (a *assembly) runRoot() string   { return filepath.Join(a.work, "run-root") }
func (a *assembly) buildRoot() string { return filepath.Join(a.work, "build-root") }
func (a *assembly) out() string       { return filepath.Join(a.work, "out") }

// run makes both images: the run image from an empty folder, the build image as what its packages add to a
// copy of that.
func (a *assembly) run(ctx context.Context) error {
	if err := a.bootstrap(ctx); err != nil {
		return err
	}
	if err := a.install(ctx, a.runRoot(), "installing the run image's packages", 420, a.recipe.RunPackages, true); err != nil {
		return err
	}
	if err := a.finishRun(ctx); err != nil {
		return err
	}
	if err := copyTree(ctx, a.runRoot(), a.buildRoot()); err != nil {
		return err
	}

	// The run image is packed while apt works on the build image.
	var base *fileLayer
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		base, err = a.packRun(gctx)
		return err
	})
	g.Go(func() error { return a.finishBuild(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	a.progress.begin("packing the build image", 990, 1)
	return a.packBuild(ctx, base)
}

// bootstrap makes Debian's minimal system and readies it for apt.
func (a *assembly) bootstrap(ctx context.Context) error {
	m := chooseMirrors(a.opts, "/")
	a.progress.begin("bootstrapping Debian "+a.recipe.Suite, 270, 470)
	args := []string{"debootstrap", "--variant=minbase", "--merged-usr"}
	if strings.HasPrefix(m.Main, "https://") {
		args = append(args, "--include=ca-certificates")
	}
	args = append(args, a.recipe.Suite, a.runRoot())
	if m.Main != "" {
		args = append(args, m.Main)
	}
	c := command{args: append(args, a.suiteScript(m.Main)...), env: hostEnv(), line: a.progress.line, log: a.log}
	if err := c.run(ctx); err != nil {
		return err
	}
	rel, err := readRelease(a.runRoot())
	if err != nil {
		return fmt.Errorf("read the release of the new root: %w", err)
	}
	a.release = rel
	return a.configure(m)
}

// suiteScript names a script explicitly where the installed debootstrap is older than the suite. The mirror
// has to be named then too, so it is of no use without one.
func (a *assembly) suiteScript(mirror string) []string {
	const scripts = "/usr/share/debootstrap/scripts/"
	if _, err := os.Stat(scripts + a.recipe.Suite); err == nil || mirror == "" {
		return nil
	}
	return []string{scripts + "sid"}
}

// configure writes the files that apt and dpkg need while images are made; none of them is in an image.
func (a *assembly) configure(m mirrors) error {
	root := a.runRoot()
	if m.Main == "" {
		uris := sourceURIs(filepath.Join(root, "etc/apt/sources.list"))
		if len(uris) == 0 {
			return fmt.Errorf("debootstrap left no mirror in sources.list; name one with --stack-mirror")
		}
		m.Main = uris[0]
	}
	if m.Security == "" {
		m.Security = securityOf(m.Main)
	}
	files := []rootFile{
		{"etc/apt/sources.list.d/cupola.list", sourcesList(m, a.recipe.Suite), 0o644},
		{"etc/apt/sources.list", "", 0o644},
		{"etc/dpkg/dpkg.cfg.d/cupola", dpkgConfig(a.recipe), 0o644},
		// Debian's own way to keep services from being started during an installation.
		{"usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755},
	}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if b, err := os.ReadFile(name); err == nil {
			files = append(files, rootFile{name[1:], string(b), 0o644})
		}
	}
	if b, err := os.ReadFile(hostCABundle()); err == nil {
		files = append(files, rootFile{caBundle, string(b), 0o644})
	}
	return writeFiles(root, files)
}

// caBundle is where the host's trusted certificates lie in the root folder while images are made; excluded
// like all below run.
const caBundle = "run/cupola-ca.pem"

func hostCABundle() string {
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		return f
	}
	return "/etc/ssl/certs/ca-certificates.crt"
}

func sourcesList(m mirrors, suite string) string {
	return fmt.Sprintf("deb %[1]s %[3]s main\ndeb %[1]s %[3]s-updates main\ndeb %[2]s %[3]s-security main\n", m.Main, m.Security, suite)
}

// dpkgConfig spares dpkg what never gets into an image, and the syncing of a folder that is thrown away.
func dpkgConfig(r recipe) string {
	var b strings.Builder
	b.WriteString("force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n")
	for _, p := range append(append([]string{}, r.RunExclude...), r.BuildExclude...) {
		// Locales are made from i18n, and some Node.js packages run their modules when they are set up.
		needed := p == "usr/share/i18n/*" || strings.HasPrefix(p, "usr/share/nodejs/")
		if strings.HasPrefix(p, "usr/") && strings.HasSuffix(p, "/*") && !needed {
			b.WriteString("path-exclude=/" + p + "\n")
		}
	}
	return b.String()
}

// install brings the system up to date when upgrade is set, then adds packages.
func (a *assembly) install(ctx context.Context, root, step string, to int, packages []string, upgrade bool) error {
	a.progress.begin(step, to, 3*len(packages))
	if upgrade {
		if err := a.apt(ctx, root, "--error-on=any", "update"); err != nil {
			return err
		}
		if err := a.apt(ctx, root, "dist-upgrade"); err != nil {
			return err
		}
	}
	return a.apt(ctx, root, append([]string{"install"}, packages...)...)
}

func (a *assembly) apt(ctx context.Context, root string, args ...string) error {
	base := []string{"apt-get", "-q", "-y", "--no-install-recommends",
		"-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
		"-o", "Acquire::https::CAInfo=/" + caBundle, "-o", "APT::Sandbox::User=root"}
	return command{args: append(base, args...), root: root, env: hostEnv(), line: a.progress.line, log: a.log}.run(ctx)
}

// finishRun makes the locale and the user, and writes down what is inside.
func (a *assembly) finishRun(ctx context.Context) error {
	root := a.runRoot()
	locale := command{args: []string{"localedef", "-i", "en_US", "-f", "UTF-8", "en_US.UTF-8"}, root: root, env: hostEnv()}
	if err := locale.run(ctx); err != nil {
		return err
	}
	pkgs, err := installed(ctx, root)
	if err != nil {
		return err
	}
	a.meta = metadata{ID: a.release.stackID(), Packages: pkgs, Created: time.Now().UTC()}
	if err := addUser(root); err != nil {
		return err
	}
	return a.describe(root, a.recipe.version(pkgs), pkgs)
}

// finishBuild adds the build image's packages and writes down what is inside.
func (a *assembly) finishBuild(ctx context.Context) error {
	if err := a.install(ctx, a.buildRoot(), "installing the build image's packages", 860, a.recipe.BuildPackages, false); err != nil {
		return err
	}
	pkgs, err := installed(ctx, a.buildRoot())
	if err != nil {
		return err
	}
	a.meta.BuildPackages = pkgs
	a.meta.Version = a.recipe.version(append(append([]Package{}, a.meta.Packages...), pkgs...))
	return a.describe(a.buildRoot(), a.meta.Version, pkgs)
}

// describe writes /etc/cupola-stack and /etc/lsb-release.
func (a *assembly) describe(root, version string, pkgs []Package) error {
	var b strings.Builder
	fmt.Fprintf(&b, "stack: %s\nversion: %s\npackages:\n", a.release.stackID(), version)
	for _, p := range pkgs {
		fmt.Fprintf(&b, "  %s: %q\n", p.Name, p.Version)
	}
	lsb := fmt.Sprintf("DISTRIB_ID=%s\nDISTRIB_RELEASE=%s\nDISTRIB_CODENAME=%s\nDISTRIB_DESCRIPTION=%q\n",
		a.release.ID, a.release.VersionID, a.release.Codename, a.release.PrettyName)
	return writeFiles(root, []rootFile{
		{"etc/cupola-stack", b.String(), 0o644},
		{"etc/lsb-release", lsb, 0o644},
	})
}

// packRun packs the run image and starts the output folder with it.
func (a *assembly) packRun(ctx context.Context) (*fileLayer, error) {
	files, err := scan(a.runRoot(), a.recipe.RunExclude)
	if err != nil {
		return nil, err
	}
	layer, err := writeLayer(ctx, filepath.Join(a.work, "run.tar.gz"), files, a.started)
	if err != nil {
		return nil, err
	}
	img, err := assemble(a.release, "run", a.meta.Packages, []v1.Layer{layer})
	if err != nil {
		return nil, err
	}
	return layer, writeLayout(filepath.Join(a.out(), "run"), img, nil)
}

// packBuild packs what the build image has beyond the run image, on top of the very same base layer.
func (a *assembly) packBuild(ctx context.Context, base *fileLayer) error {
	before, err := scan(a.runRoot(), a.recipe.RunExclude)
	if err != nil {
		return err
	}
	after, err := scan(a.buildRoot(), append(append([]string{}, a.recipe.RunExclude...), a.recipe.BuildExclude...))
	if err != nil {
		return err
	}
	changed, err := difference(before, after)
	if err != nil {
		return err
	}
	layer, err := writeLayer(ctx, filepath.Join(a.work, "build.tar.gz"), changed, a.started)
	if err != nil {
		return err
	}
	img, err := assemble(a.release, "build", a.meta.BuildPackages, []v1.Layer{base, layer})
	if err != nil {
		return err
	}
	return writeLayout(filepath.Join(a.out(), "build"), img, base)
}

// installed lists the packages of a root folder, by name.
func installed(ctx context.Context, root string) ([]Package, error) {
	cmd := exec.CommandContext(ctx, "dpkg-query", "--admindir="+filepath.Join(root, "var/lib/dpkg"), "-W", "-f", "${db:Status-Abbrev}\t${binary:Package}\t${Version}\n")
	cmd.Env = hostEnv()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the installed packages: %w", err)
	}
	var pkgs []Package
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 && strings.HasPrefix(f[0], "ii") {
			pkgs = append(pkgs, Package{Name: f[1], Version: f[2]})
		}
	}
	return pkgs, nil
}
