// Package cnb is the buildpack's side of the Buildpack API 0.10: what our system buildpacks share.
//
// A buildpack is a value with Detect and Build; Main reads the inputs that the lifecycle gives, runs one of
// the two and writes the outputs. It imports little, because it starts twice in every build.
package cnb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// Exit codes of Buildpack API 0.10: any other than these means an error of the buildpack.
const (
	exitPass  = 0
	exitError = 1
	exitFail  = 100
)

// namedVar is set by our lifecycle for a buildpack that the developer named, which then takes part unasked.
const namedVar = "CUPOLA_NAMED"

// Buildpack is one of ours. Its methods run in a process of their own, with the app as working directory.
type Buildpack interface {
	// Detect says whether the buildpack can build the app. A *Pass is why it can't; other errors end the build.
	Detect(*Context) error
	// Build makes layers and returns what to launch; nil launches nothing.
	Build(*Context) (*Launch, error)
}

// Pass is why a buildpack does not take part, in a few words for the developer: "no package.json".
type Pass struct{ Reason string }

func (p *Pass) Error() string { return p.Reason }

// Passf makes a *Pass.
func Passf(format string, args ...any) error { return &Pass{fmt.Sprintf(format, args...)} }

// Context is what the lifecycle tells a buildpack.
type Context struct {
	AppDir      string // where the app is while it is built, and at launch too
	LayersDir   string // of this buildpack; empty in detection
	PlatformDir string
	Log         *Log

	planFile   string
	executable string // of this program
}

// Main runs the phase "detect" or "build" of a buildpack and returns the exit code.
func Main(b Buildpack, name, phase string, args []string, stdout io.Writer) int {
	log := &Log{w: stdout}
	c, err := newContext(phase, args, log)
	if err != nil {
		log.Error("%v", err)
		return exitError
	}
	if phase == "detect" {
		return c.detect(b, name)
	}
	if err := c.build(b); err != nil {
		log.Error("%v", err)
		return exitCode(err)
	}
	return exitPass
}

// newContext reads the environment, and the positional arguments where a lifecycle gives only these.
func newContext(phase string, args []string, log *Log) (*Context, error) {
	input := func(name string, position int) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		if position < len(args) {
			return args[position]
		}
		return ""
	}
	app, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the app's folder: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the buildpack's own program: %w", err)
	}
	c := &Context{AppDir: app, Log: log, executable: exe}
	if phase == "detect" {
		c.PlatformDir, c.planFile = input("CNB_PLATFORM_DIR", 0), input("CNB_BUILD_PLAN_PATH", 1)
		return c, nil
	}
	c.LayersDir, c.PlatformDir = input("CNB_LAYERS_DIR", 0), input("CNB_PLATFORM_DIR", 1)
	if c.LayersDir == "" {
		return nil, errors.New("CNB_LAYERS_DIR is not set: start this program from a lifecycle of Buildpack API 0.10")
	}
	return c, nil
}

func (c *Context) detect(b Buildpack, name string) int {
	err := b.Detect(c)
	var pass *Pass
	switch {
	case errors.As(err, &pass) && os.Getenv(namedVar) == "true": // the developer knows better
	case errors.As(err, &pass):
		fmt.Fprintf(c.Log.w, "%s\n", pass.Reason)
		return exitFail
	case err != nil:
		c.Log.Error("%v", err)
		return exitError
	}
	if err := c.writePlan(name); err != nil {
		c.Log.Error("%v", err)
		return exitError
	}
	return exitPass
}

// writePlan provides and requires the buildpack's own name: ours need nothing of each other.
func (c *Context) writePlan(name string) error {
	if c.planFile == "" {
		return nil
	}
	type entry struct {
		Name string `toml:"name"`
	}
	return writeTOML(c.planFile, map[string][]entry{"provides": {{name}}, "requires": {{name}}})
}

func (c *Context) build(b Buildpack) error {
	launch, err := b.Build(c)
	if err != nil {
		return err
	}
	if launch == nil {
		launch = &Launch{}
	}
	if err := launch.addProcfile(c); err != nil {
		return err
	}
	return launch.write(c)
}

// exitCode passes on the code of a program that the app's developer wrote, such as a build script's.
func exitCode(err error) int {
	var ee *exec.ExitError
	if errors.As(err, &ee) && ee.ExitCode() > 0 && ee.ExitCode() < exitFail {
		return ee.ExitCode()
	}
	return exitError
}

// Env is a variable of the build: of the process, else of the platform's folder.
func (c *Context) Env(name string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	if c.PlatformDir == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(c.PlatformDir, "env", name))
	if err != nil {
		return ""
	}
	return string(b)
}

// Path is a file of the app.
func (c *Context) Path(elem ...string) string {
	return filepath.Join(append([]string{c.AppDir}, elem...)...)
}

// Has says whether the app has a file or folder of that name.
func (c *Context) Has(elem ...string) bool {
	_, err := os.Stat(c.Path(elem...))
	return err == nil
}

// Executable is this program, for layers that carry it.
func (c *Context) Executable() string { return c.executable }

func writeTOML(name string, v any) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(toml.NewEncoder(f).Encode(v), f.Close())
}

// Log writes what the developer reads while the app is staged.
type Log struct{ w io.Writer }

// NewLog makes a Log that writes to w.
func NewLog(w io.Writer) *Log { return &Log{w} }

// Step announces what is done next.
func (l *Log) Step(format string, args ...any) { fmt.Fprintf(l.w, "-----> "+format+"\n", args...) }

// Info tells more about the current step.
func (l *Log) Info(format string, args ...any) { fmt.Fprintf(l.w, "       "+format+"\n", args...) }

// Warn tells what should be mended.
func (l *Log) Warn(format string, args ...any) {
	fmt.Fprintf(l.w, "       WARNING: "+format+"\n", args...)
}

// Error tells why the build fails.
func (l *Log) Error(format string, args ...any) { fmt.Fprintf(l.w, "ERROR: "+format+"\n", args...) }
