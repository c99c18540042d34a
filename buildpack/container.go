package buildpack

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// Where things lie in a build container, and, the first two, in app images.
const (
	layersPath      = "/layers"
	appPath         = "/home/vcap/app"
	homePath        = "/home/vcap"
	platformPath    = "/platform"
	buildConfigPath = "/cnb/build-config"
	phasePath       = "/cnb/lifecycle/cupola-phase"
	caFile          = "ca-certificates.crt" // below buildConfigPath
)

// caVariables are what programs read to find trusted certificates.
var caVariables = []string{
	"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE", "PIP_CERT", "REQUESTS_CA_BUNDLE",
	"CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
}

// stackOwner reads the user of a build image (Platform API, Build Image).
func stackOwner(env map[string]string) export.Owner {
	id := func(name string) int {
		if n, err := strconv.Atoi(env[name]); err == nil && n > 0 {
			return n
		}
		return 2000
	}
	return export.Owner{UID: id("CNB_USER_ID"), GID: id("CNB_GROUP_ID")}
}

// userOnDisk is who runs in the container and owns the build's folders: the stack's user. Where we are not
// root ourselves we cannot give files away, and the container runs as us; the image's files are the stack
// user's all the same.
func (b *build) userOnDisk() export.Owner {
	if uid := os.Geteuid(); uid != 0 {
		return export.Owner{UID: uid, GID: os.Getegid()}
	}
	return b.owner
}

// makeFolders makes the build's folder. What a crash left of a build with the same id goes first.
func (b *build) makeFolders() error {
	if err := removeAll(b.dir); err != nil {
		return err
	}
	own := b.userOnDisk()
	for _, dir := range []string{"layers", "home", "home/app", "tmp"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
		if err := os.Lchown(b.path(dir), own.UID, own.GID); err != nil {
			return err
		}
	}
	if err := os.Chmod(b.path("tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := b.writeConfig(); err != nil {
		return err
	}
	if err := b.layChoices(); err != nil {
		return err
	}
	if err := b.writeFiles(); err != nil {
		return err
	}
	return writeEnv(b.path("platform", "env"), b.req.Env)
}

// writeFiles writes the request's files, as they lie in the container, below a folder of the build.
func (b *build) writeFiles() error {
	for name, content := range b.req.Files {
		if !path.IsAbs(name) || path.Clean(name) != name || strings.Count(name, "/") < 3 {
			return fmt.Errorf("file %q: name it by an absolute path two folders deep", name)
		}
		at := b.path("files", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fileMounts mounts the second folder of each file's path, such as /etc/given, with all that is in it.
func (b *build) fileMounts() []sandbox.Mount {
	var mounts []sandbox.Mount
	for name := range b.req.Files {
		parts := strings.SplitN(name, "/", 4)
		m := sandbox.Mount{Source: b.path("files", parts[1], parts[2]), Target: "/" + parts[1] + "/" + parts[2], ReadOnly: true}
		if !slices.Contains(mounts, m) {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// writeConfig writes the operator's environment, and the certificates beside it.
func (b *build) writeConfig() error {
	env := maps.Clone(b.site.env)
	if env == nil {
		env = map[string]string{}
	}
	bundle, err := b.site.bundle()
	if err != nil {
		return fmt.Errorf("read the CA bundle: %w", err)
	}
	if len(bundle) > 0 {
		if err := os.MkdirAll(b.path("config"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(b.path("config", caFile), bundle, 0o644); err != nil {
			return err
		}
		for _, name := range caVariables {
			env[name] = buildConfigPath + "/" + caFile
		}
	}
	return writeEnv(b.path("config", "env"), env)
}

var varGrammar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// writeEnv writes a file for each variable (Platform API, User-Provided Variables). Names that no program
// could be given are left out.
func writeEnv(dir string, env map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, value := range env {
		if !varGrammar.MatchString(name) || len(name) > 200 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// spec is the container.
func (b *build) spec() sandbox.Spec {
	own := b.userOnDisk()
	s := sandbox.Spec{
		Build: b.req.ID, Address: b.req.Address, Image: b.buildImage, User: fmt.Sprintf("%d:%d", own.UID, own.GID),
		Program: append([]string{phasePath}, b.named()...), WorkingDir: appPath,
		Env: []string{
			"CNB_LAYERS_DIR=" + layersPath, "CNB_APP_DIR=" + appPath, "CNB_PLATFORM_DIR=" + platformPath,
			"CNB_BUILD_CONFIG_DIR=" + buildConfigPath, "CNB_PLATFORM_API=" + export.PlatformAPI,
			"HOME=" + homePath, "TMPDIR=/tmp",
		},
		Mounts: []sandbox.Mount{
			{Source: b.path("layers"), Target: layersPath},
			{Source: b.path("home"), Target: homePath},
			{Source: b.req.Source, Target: appPath},
			{Source: b.path("tmp"), Target: "/tmp"},
			{Source: b.path("platform"), Target: platformPath, ReadOnly: true},
			{Source: b.path("config"), Target: buildConfigPath, ReadOnly: true},
			{Source: b.phasePath, Target: phasePath, ReadOnly: true},
		},
		MemoryMB: b.limits.MemoryMB, CPUs: b.limits.CPUs, PIDs: b.limits.PIDs, Timeout: b.limits.Timeout,
		DiskMB: b.limits.DiskMB, Watch: []string{b.path("layers"), b.path("home"), b.path("tmp"), b.req.Source},
		Output: b.log,
	}
	s.Mounts = append(s.Mounts, b.fileMounts()...)
	if b.site.buildpacks != "" {
		s.Mounts = append(s.Mounts, b.buildpackMounts()...)
		// A builder of others may count on places that it can write to; our own stack does not.
		s.ReadOnly = true
	}
	return s
}

// chown gives a tree to the container's user. Links are given, not followed.
func chown(dir string, owner export.Owner) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner.UID, owner.GID)
	})
}

// chownRestored gives away the folders of buildpacks and the files in them. The layers' own folders come
// from the cache, are the user's already and keep their fingerprints.
func chownRestored(layers string, owner export.Owner) error {
	if os.Geteuid() != 0 {
		return nil
	}
	entries, err := os.ReadDir(layers)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(layers, e.Name())
		if err := os.Lchown(dir, owner.UID, owner.GID); err != nil {
			return err
		}
		if !e.IsDir() {
			continue
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range slices.DeleteFunc(files, fs.DirEntry.IsDir) {
			if err := os.Lchown(filepath.Join(dir, f.Name()), owner.UID, owner.GID); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepFolder removes the folder of a build that a crash cut short.
func (b *Builder) sweepFolder(id string) error { return removeAll(filepath.Join(b.buildsDir(), id)) }

// lockedWriter lets the container's output and our own lines go to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
