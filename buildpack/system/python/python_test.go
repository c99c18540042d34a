package python

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

func app(t *testing.T, files map[string]string) *cnb.Context {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &cnb.Context{AppDir: dir, LayersDir: t.TempDir(), Log: &cnb.Log{}}
}

func TestFindDependencies(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  dependencies
		fails string
	}{
		{"nothing", map[string]string{"app.py": ""}, dependencies{}, ""},
		{"requirements first", map[string]string{"requirements.txt": "x", "pyproject.toml": "not toml ["}, dependencies{from: "requirements.txt", file: "requirements.txt"}, ""},
		{"pyproject", map[string]string{"pyproject.toml": "[project]\nrequires-python = \">=3.9\"\ndependencies = [\"flask>=3\"]\n"},
			dependencies{from: "pyproject.toml", lines: []string{"flask>=3"}, requires: ">=3.9"}, ""},
		{"pyproject with uv.lock", map[string]string{
			"pyproject.toml": "[project]\ndependencies = [\"flask>=3\"]\n",
			"uv.lock":        "[[package]]\nname=\"flask\"\nversion=\"3.0.1\"\n[[package]]\nname=\"two\"\nversion=\"1\"\n[[package]]\nname=\"two\"\nversion=\"2\"\n",
		}, dependencies{from: "pyproject.toml with uv.lock", lines: []string{"flask>=3"}, pins: []string{"flask==3.0.1"}}, ""},
		{"poetry", map[string]string{
			"pyproject.toml": "[tool.poetry.dependencies]\npython = \"^3.11\"\nflask = \"^3\"\nopt = {version=\"1\", optional=true}\nx = {version=\"1\", extras=[\"a\",\"b\"]}\n",
			"poetry.lock":    "[[package]]\nname=\"flask\"\nversion=\"3.0.1\"\n",
		}, dependencies{from: "pyproject.toml with poetry.lock", lines: []string{"flask", "x[a,b]"}, pins: []string{"flask==3.0.1"}}, ""},
		{"poetry without lock", map[string]string{"pyproject.toml": "[tool.poetry.dependencies]\nflask = \"^3\"\n"}, dependencies{}, "poetry lock"},
		{"pipfile lock", map[string]string{"Pipfile.lock": `{"default":{"b":{"version":"==1.0","markers":"os_name == 'x'"},"a":{"version":"==2","extras":["e"]}},"develop":{"d":{"version":"==1"}}}`},
			dependencies{from: "Pipfile.lock", lines: []string{"a[e]==2", "b==1.0 ; os_name == 'x'"}}, ""},
		{"pipfile alone", map[string]string{"Pipfile": ""}, dependencies{}, "pipenv lock"},
		{"broken pyproject", map[string]string{"pyproject.toml": "[project\n"}, dependencies{}, "pyproject.toml"},
	} {
		got, err := findDependencies(app(t, c.files))
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: got %v, want an error with %q", c.name, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, *got, c.want)
		}
	}
}

func TestKeyFollowsIncludes(t *testing.T) {
	files := map[string]string{"requirements.txt": "-r base.txt\nflask\n", "base.txt": "-c pins.txt\n-r requirements.txt\n", "pins.txt": "flask==3.0.0", "app.py": "1", "vendor/a.whl": "1"}
	key := func(name, text string) string {
		t.Helper()
		all := map[string]string{}
		for k, v := range files {
			all[k] = v
		}
		all[name] = text
		c := app(t, all)
		d, err := findDependencies(c)
		if err != nil {
			t.Fatal(err)
		}
		k, err := d.key(c, "3.13")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := key("app.py", "1")
	for name, want := range map[string]bool{"app.py": false, "requirements.txt": true, "base.txt": true, "pins.txt": true, "vendor/a.whl": true} {
		if got := key(name, "changed") != same; got != want {
			t.Errorf("changing %s: key differs = %v, want %v", name, got, want)
		}
	}
}

func TestCheckPython(t *testing.T) {
	for _, c := range []struct {
		requires string
		fits     bool
	}{
		{"", true},
		{">=3.9", true},
		{">=3.9,<4", true},
		{">=3.14", false},
		{"==3.13.*", true},
		{"==3.12.*", false},
		{"~=3.11", true},
		{"~=3.14", false},
		{"~= 3.13.1", true},
		{"~=3.12.1", false},
		{"what is this", true}, // pip will tell
	} {
		if err := checkPython(c.requires, "3.13.5"); (err == nil) != c.fits {
			t.Errorf("checkPython(%q) = %v, want it to fit: %v", c.requires, err, c.fits)
		}
	}
}

func TestGuess(t *testing.T) {
	for _, c := range []struct {
		name     string
		files    map[string]string
		programs []string
		want     string
	}{
		{"plain program", map[string]string{"main.py": "print(1)"}, nil, "python3 main.py"},
		{"flask without gunicorn", map[string]string{"app.py": "app = Flask(__name__)"}, nil, "python3 app.py"},
		{"flask", map[string]string{"app.py": "app = Flask(__name__)"}, []string{"gunicorn"}, "gunicorn app:app"},
		{"wsgi wins", map[string]string{"app.py": "app = Flask(__name__)", "wsgi.py": "application = app"}, []string{"gunicorn"}, "gunicorn wsgi:application"},
		{"django", map[string]string{"manage.py": "", "site/wsgi.py": "application = get_wsgi_application()", "site/asgi.py": "application = get_asgi_application()"}, []string{"gunicorn"}, "gunicorn site.wsgi:application"},
		{"fastapi", map[string]string{"main.py": "app: FastAPI = FastAPI()"}, []string{"uvicorn"}, `bash -c exec uvicorn --host 0.0.0.0 --port "${PORT:-8080}" main:app`},
		{"no server knows it", map[string]string{"lib.py": "x = 1"}, []string{"gunicorn"}, ""},
	} {
		ctx := app(t, c.files)
		b := &build{c: ctx}
		if len(c.programs) > 0 {
			venv, err := ctx.Layer("venv")
			if err != nil {
				t.Fatal(err)
			}
			b.venv = venv
			for _, p := range c.programs {
				if err := os.MkdirAll(venv.Path("bin"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(venv.Path("bin", p), nil, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := strings.Join(b.guess(), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
