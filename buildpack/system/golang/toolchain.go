package golang

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// toolchainModule is where the Go project publishes its toolchains, for every module proxy to serve.
const toolchainModule = "golang.org/toolchain"

// toolchain finds the version that the app wants and has it ready in a layer.
func (b *build) toolchain() error {
	want, why, err := b.wanted()
	if err != nil {
		return err
	}
	if root := b.local(want); root != "" {
		b.c.Log.Step("Go %s (%s), which is installed", want, why)
		b.goro = root
		return nil
	}
	layer, err := b.c.Layer("toolchain")
	if err != nil {
		return err
	}
	layer.Cache, layer.Build = true, true
	b.goro = layer.Path("go")
	if layer.Fits("version", want) {
		b.c.Log.Step("Go %s (%s) from the cache", want, why)
		return layer.Write()
	}
	b.c.Log.Step("Go %s (%s)", want, why)
	if err := layer.Reset(); err != nil {
		return err
	}
	if err := b.download(layer, want); err != nil {
		return err
	}
	layer.Metadata["version"] = want
	return layer.Write()
}

// local is the root of the go client on PATH, when it is of the wanted version and complete.
func (b *build) local(want string) string {
	out, err := b.c.Output(bootstrap("env", "GOVERSION", "GOROOT", "GOTOOLDIR"))
	if err != nil {
		return ""
	}
	f := strings.Fields(out)
	if len(f) != 3 || f[0] != "go"+want {
		return ""
	}
	if _, err := os.Stat(filepath.Join(f[2], "compile")); err != nil {
		return "" // the stack's client has no compiler
	}
	return f[1]
}

// bootstrap is a call of the go client on PATH, outside of any module and with no say for the app's settings.
func bootstrap(args ...string) cnb.Cmd {
	return cnb.Cmd{
		Dir: os.TempDir(), Args: append([]string{"go"}, args...), Quiet: true,
		Env: map[string]string{"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-modcacherw"},
	}
}

func (b *build) download(layer *cnb.Layer, version string) error {
	cmd := bootstrap("mod", "download", "-json", toolchainModule+"@"+moduleVersion(version))
	cmd.Env["GOMODCACHE"] = layer.Path("mod")
	out, err := b.c.Output(cmd)
	if err != nil {
		return fmt.Errorf("download Go %s (check GOPROXY and the network): %w", version, err)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Dir == "" {
		return fmt.Errorf("download Go %s: the go client named no folder", version)
	}
	if err := os.Rename(got.Dir, layer.Path("go")); err != nil {
		return err
	}
	if err := cnb.RemoveAll(layer.Path("mod")); err != nil {
		return err
	}
	for _, dir := range []string{"test", "api", "doc"} { // a third of the files, read by no build
		if err := cnb.RemoveAll(layer.Path("go", dir)); err != nil {
			return err
		}
	}
	return makeExecutable(layer.Path("go", "bin"), layer.Path("go", "pkg", "tool"))
}

// makeExecutable sets the bits that module archives can't hold.
func makeExecutable(dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return os.Chmod(name, 0o755)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func moduleVersion(version string) string {
	return "v0.0.1-go" + version + ".linux-" + runtime.GOARCH
}

// wanted is the version to build with and where that is said.
func (b *build) wanted() (version, why string, err error) {
	for _, name := range []string{"BP_GO_VERSION", "GOVERSION"} {
		v := strings.TrimSuffix(strings.TrimPrefix(b.c.Env(name), "go"), ".x")
		if v == "" {
			continue
		}
		if strings.Count(v, ".") == 2 { // a whole version is taken at its word
			return v, name, nil
		}
		version, err = b.newest(v)
		return version, name + "=" + v, err
	}
	file := "go.mod"
	if !b.c.Has(file) {
		file = "go.work"
	}
	text, err := os.ReadFile(b.c.Path(file))
	if err != nil {
		return "", "", err
	}
	line, toolchain := parseMod(string(text))
	if toolchain != "" {
		return toolchain, "toolchain line of " + file, nil
	}
	if line == "" {
		return "", "", fmt.Errorf("%s has no go line: run `go mod tidy`, or set BP_GO_VERSION", file)
	}
	version, err = b.newest(line)
	return version, "go " + line + " in " + file, err
}

var modLine = regexp.MustCompile(`^\s*(go|toolchain)\s+(\S+)`)

// parseMod reads the go and toolchain lines of a go.mod or go.work.
func parseMod(text string) (goLine, toolchain string) {
	for _, line := range strings.Split(text, "\n") {
		m := modLine.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[1] == "go":
			goLine = m[2]
		case m[2] != "default":
			toolchain = strings.TrimPrefix(m[2], "go")
		}
	}
	return goLine, toolchain
}

// newest is the newest patch of the minor version that want belongs to, and not older than want. A go line
// is a lower bound, and patches are where security fixes come.
func (b *build) newest(want string) (string, error) {
	list, err := b.c.Catalog("go-versions", b.published)
	if err != nil {
		return "", fmt.Errorf("find the newest patch of Go %s (check GOPROXY and the network): %w", want, err)
	}
	best, ok := newestPatch(want, list)
	if !ok {
		return "", fmt.Errorf("there is no Go %s for linux/%s: mend the go line of go.mod, or set BP_GO_VERSION", want, runtime.GOARCH)
	}
	return best, nil
}

// published asks the module proxy for all versions of Go.
func (b *build) published() ([]string, error) {
	out, err := b.c.Output(bootstrap("list", "-m", "-versions", toolchainModule))
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, f := range strings.Fields(out) {
		v, ok := strings.CutSuffix(f, ".linux-"+runtime.GOARCH)
		if v, cut := strings.CutPrefix(v, "v0.0.1-go"); ok && cut {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

var released = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?$`)

// newestPatch picks from list. Go before 1.21 has no toolchain module: the oldest there is builds its code.
func newestPatch(want string, list []string) (string, bool) {
	if want == "latest" {
		return newestOf(list)
	}
	w, ok := parseGo(want)
	if !ok { // a release candidate, which has to be named exactly
		for _, v := range list {
			if v == want {
				return v, true
			}
		}
		return "", false
	}
	if w[0] == 1 && w[1] < 21 {
		w = [3]int{1, 21, 0}
	}
	best, found := "", false
	for _, v := range list {
		p, ok := parseGo(v)
		if !ok || p[0] != w[0] || p[1] != w[1] || p[2] < w[2] {
			continue
		}
		if b, _ := parseGo(best); !found || p[2] > b[2] {
			best, found = v, true
		}
	}
	return best, found
}

// newestOf is the highest released version of all.
func newestOf(list []string) (best string, found bool) {
	for _, v := range list {
		p, ok := parseGo(v)
		if b, _ := parseGo(best); ok && (!found || slices.Compare(p[:], b[:]) > 0) {
			best, found = v, true
		}
	}
	return best, found
}

func parseGo(v string) ([3]int, bool) {
	m := released.FindStringSubmatch(v)
	if m == nil {
		return [3]int{}, false
	}
	var p [3]int
	for i := range p {
		p[i], _ = strconv.Atoi(m[i+1]) // digits, or nothing for a patch that is not given
	}
	return p, true
}
