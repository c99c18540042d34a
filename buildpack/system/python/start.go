package python

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// start finds the start command: BP_PYTHON_START, else a server that is installed with an app that it can
// load, else one of the usual programs. A Procfile has the last word, in cnb.
func (b *build) start() (*cnb.Launch, error) {
	if line := b.c.Env("BP_PYTHON_START"); line != "" {
		return cnb.Web(cnb.Command(line)...), nil
	}
	command := b.guess()
	if command == nil {
		if !b.c.Has("Procfile") {
			b.c.Log.Warn("no start command was found: add a Procfile, set BP_PYTHON_START, or push with -c COMMAND")
		}
		return &cnb.Launch{}, nil
	}
	b.c.Log.Step("Start command: %s", strings.Join(command, " "))
	return cnb.Web(command...), nil
}

func (b *build) guess() []string {
	if app := b.findASGI(); app != "" && b.installed("uvicorn") {
		return []string{"bash", "-c", `exec uvicorn --host 0.0.0.0 --port "${PORT:-8080}" ` + app}
	}
	if b.installed("gunicorn") {
		// gunicorn listens on 0.0.0.0:$PORT by itself.
		if app := b.findWSGI(); app != "" {
			return []string{"gunicorn", app}
		}
	}
	for _, f := range []string{"app.py", "main.py", "server.py"} {
		if b.c.Has(f) {
			return []string{"python3", f}
		}
	}
	return nil
}

// installed says whether the environment has a program.
func (b *build) installed(program string) bool {
	if b.venv == nil {
		return false
	}
	_, err := os.Stat(b.venv.Path("bin", program))
	return err == nil
}

var (
	wsgiApp = regexp.MustCompile(`(?m)^(app|application)\s*(?::[^=\n]*)?=`)
	asgiApp = regexp.MustCompile(`(?m)^(app|application)\s*(?::[^=\n]*)?=\s*(?:\w+\.)?(?:FastAPI|Starlette|Litestar|Quart|get_asgi_application)\(`)
)

// candidates are modules that usually hold the app, the most telling first.
func (b *build) candidates() []string {
	names := []string{"wsgi", "asgi", "app", "main", "server"}
	for _, f := range []string{"wsgi.py", "asgi.py"} { // Django keeps them in the project's package
		found, err := filepath.Glob(b.c.Path("*", f))
		if err != nil {
			continue
		}
		for _, name := range found {
			pkg := filepath.Base(filepath.Dir(name))
			names = append(names, pkg+"."+strings.TrimSuffix(f, ".py"))
		}
	}
	return names
}

func (b *build) findWSGI() string { return b.find(wsgiApp, "asgi") }

func (b *build) findASGI() string { return b.find(asgiApp, "wsgi") }

// find looks for a module that sets an app, but not in modules of the other kind.
func (b *build) find(pattern *regexp.Regexp, not string) string {
	for _, module := range b.candidates() {
		if strings.HasSuffix(module, not) {
			continue
		}
		text, err := os.ReadFile(b.c.Path(strings.ReplaceAll(module, ".", "/") + ".py"))
		if err != nil {
			continue
		}
		if m := pattern.FindSubmatch(text); m != nil {
			return module + ":" + string(m[1])
		}
	}
	return ""
}
