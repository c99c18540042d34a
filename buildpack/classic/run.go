package classic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

// run is one phase of one classic buildpack, inside the container.
type run struct {
	Config
	app, home, layers string
	named             bool
	env               []string
	out, err          io.Writer
	fetched           string // where a buildpack by URL was put
}

func newRun(c Config) *run {
	r := &run{Config: c, layers: os.Getenv("CNB_LAYERS_DIR"), out: os.Stdout, err: os.Stderr}
	r.named = os.Getenv(lifecycle.NamedVar) == "true"
	r.app = os.Getenv("CNB_APP_DIR")
	if r.app == "" {
		r.app, _ = os.Getwd()
	}
	r.home = filepath.Dir(r.app)
	r.env = scriptEnv(os.Environ())
	return r
}

// scriptEnv is the environment without what concerns Cloud Native Buildpacks alone, and with the user's name, which
// Cloud Foundry sets (contract 5.1).
func scriptEnv(environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		return strings.HasPrefix(kv, "CNB_") || strings.HasPrefix(kv, "CUPOLA_") || strings.HasPrefix(kv, "USER=")
	})
	return append(env, "USER=vcap")
}

// dir is where the buildpack's files are.
func (r *run) dir() string {
	if r.Dir != "" {
		return r.Dir
	}
	return r.fetched
}

func (r *run) deps() string    { return filepath.Join(r.home, "deps") }
func (r *run) profile() string { return filepath.Join(r.home, "profile.d") }
func (r *run) index() string   { return fmt.Sprintf("%0*d", max(1, r.Width), r.Index) }
func (r *run) cache() string   { return filepath.Join(r.layers, "cache") }

// has says whether the buildpack has a script.
func (r *run) has(script string) bool {
	info, err := os.Stat(filepath.Join(r.dir(), "bin", script))
	return err == nil && info.Mode().IsRegular()
}

// script runs one of the buildpack's programs. What it is written in is its own matter; the kernel starts it.
func (r *run) script(name string, stdout io.Writer, args ...string) error {
	cmd := exec.Command(filepath.Join(r.dir(), "bin", name), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.app, r.env, stdout, r.err
	cmd.WaitDelay = 5 * time.Second // for a child that keeps the output open
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// maxOutput bounds what is kept of a script's output where it is data.
const maxOutput = 1 << 20

// bounded keeps the first bytes that are written to it and swallows the rest.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxOutput-b.Len())])
	return len(p), nil
}

// detect is passed by a buildpack that somebody named without asking it, as Cloud Foundry has it. Its standard output
// is the detect output.
func (r *run) detect() int {
	if r.named {
		return 0
	}
	const failed = 100
	if !r.has("detect") {
		fmt.Fprintln(r.out, "it has no bin/detect, so it must be named")
		return failed
	}
	var said bounded
	err := r.script("detect", &said, r.app)
	r.out.Write(said.Bytes()) //nolint:errcheck // the reader is the phase program
	if err != nil {
		return failed
	}
	return 0
}

// build runs the phases that fall to the buildpack by its place in the chain (contract 5.4).
func (r *run) build() int {
	steps := []func() error{r.fetch, r.makeFolders, r.supply}
	if r.Last {
		steps = append(steps, r.finish, r.release)
	} else {
		steps = append(steps, r.share)
	}
	for _, step := range append(steps, r.report) {
		if err := step(); err != nil {
			fmt.Fprintf(r.out, "ERROR: %v\n", err)
			return exitCode(err)
		}
	}
	return 0
}

// phaseError is a step that failed, with the code that bin/build ends with.
type phaseError struct {
	code int
	err  error
}

func (e *phaseError) Error() string { return e.err.Error() }
func (e *phaseError) Unwrap() error { return e.err }

func exitCode(err error) int {
	if p := (*phaseError)(nil); errors.As(err, &p) {
		return p.code
	}
	return 1
}

// makeFolders makes what scripts expect to be there.
func (r *run) makeFolders() error {
	if err := os.WriteFile(r.cache()+".toml", []byte("[types]\ncache = true\n"), 0o644); err != nil {
		return err
	}
	own := filepath.Join(r.deps(), r.index())
	for _, dir := range []string{r.cache(), own, r.profile(), filepath.Join(r.home, "logs"), filepath.Join(r.home, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// supply adds dependencies. The last buildpack of a chain supplies before it finalizes, all others must.
func (r *run) supply() error {
	if !r.has("supply") {
		if r.Last {
			return nil
		}
		return &phaseError{ExitSupply, fmt.Errorf("%s has no bin/supply and can only be the last buildpack: name it last, or leave the others out", r.Name)}
	}
	if r.Last && !r.has("finalize") {
		return nil // bin/compile does all
	}
	return r.step("supply", ExitSupply, r.app, r.cache(), r.deps(), r.index())
}

// finish is finalize, or compile where a buildpack is of the older kind.
func (r *run) finish() error {
	if r.has("finalize") {
		return r.step("finalize", ExitFinalize, r.app, r.cache(), r.deps(), r.index(), r.profile())
	}
	if !r.has("compile") {
		return &phaseError{ExitCompile, fmt.Errorf("%s has neither bin/finalize nor bin/compile: it is no buildpack for the last place", r.Name)}
	}
	if r.Index > 0 {
		fmt.Fprintf(r.out, "       WARNING: %s does not know of other buildpacks and cannot use what those before it supplied\n", r.Name)
	}
	return r.step("compile", ExitCompile, r.app, r.cache())
}

func (r *run) step(script string, code int, args ...string) error {
	err := r.script(script, r.out, args...)
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		err = errors.New("exit status " + strconv.Itoa(exit.ExitCode()))
	}
	return &phaseError{code, fmt.Errorf("bin/%s of %s failed: %w", script, r.Name, err)}
}
