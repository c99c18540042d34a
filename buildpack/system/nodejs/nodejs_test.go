package nodejs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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

func TestResolve(t *testing.T) {
	list := []string{"18.20.8", "20.9.0", "20.19.4", "22.1.0", "22.23.3", "24.0.0", "24.11.1", "25.2.0", "26.0.0-rc.1", "26.1.0"}
	mid2026 := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ want, got string }{
		{"lts/*", "24.11.1"},
		{"22.x", "22.23.3"},
		{"22", "22.23.3"},
		{"v22", "22.23.3"},
		{"v20.9.0", "20.9.0"},
		{"20.9", "20.9.0"},
		{"^20.9.0", "20.19.4"},
		{"~22.1", "22.1.0"},
		{">=18", "24.11.1"}, // the LTS fits
		{">= 18 < 21", "20.19.4"},
		{">=25", "26.1.0"}, // no LTS fits: the newest
		{"18 || 20", "20.19.4"},
		{"18 - 20", "20.19.4"},
		{"*", "24.11.1"},
		{"latest", "26.1.0"},
		{"node", "26.1.0"},
		{"lts/Jod", "22.23.3"},
		{"LTS/iron", "20.19.4"},
		{"16.x", ""},
		{"lts/nobody", ""},
		{"one of the good ones", ""},
	} {
		got, err := resolve(c.want, list, mid2026)
		if got != c.got || (err == nil) != (c.got != "") {
			t.Errorf("resolve(%q) = %q, %v, want %q", c.want, got, err, c.got)
		}
	}
}

func TestIsLTS(t *testing.T) {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		major int
		now   time.Time
		want  bool
	}{
		{22, day(2024, 10, 1), false},
		{22, day(2024, 11, 1), true},
		{25, day(2026, 12, 1), false},
		{26, day(2026, 10, 1), false},
		{26, day(2026, 11, 2), true},
		{27, day(2027, 5, 1), false},
		{27, day(2027, 11, 1), true},
	} {
		if got := isLTS(c.major, c.now); got != c.want {
			t.Errorf("isLTS(%d, %s) = %v", c.major, c.now.Format(time.DateOnly), got)
		}
	}
}

func TestWantedNode(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"package.json": `{"engines":{"node":"20.x"}}`, ".nvmrc": "18"}, "20.x"},
		{map[string]string{"package.json": `{}`, ".nvmrc": "# a comment\nv18.1.0 # here\n"}, "v18.1.0"},
		{map[string]string{"package.json": `{"engines":["node"]}`, ".node-version": "22\n"}, "22"},
		{map[string]string{"package.json": `{}`}, "lts/*"},
	} {
		ctx := app(t, c.files)
		pkg, err := readPackage(ctx.Path("package.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := (&build{c: ctx, pkg: pkg}).wantedNode(); got != c.want {
			t.Errorf("%v: wanted %q, want %q", c.files, got, c.want)
		}
	}
}

func TestReadPackageNamesTheLine(t *testing.T) {
	ctx := app(t, map[string]string{"package.json": "{\n  \"name\": \"x\",\n  oops\n}"})
	if _, err := readPackage(ctx.Path("package.json")); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("got %v, want an error that names line 3", err)
	}
}

func TestFindManager(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  manager
	}{
		{"none", map[string]string{"package.json": "{}"}, manager{name: "npm"}},
		{"npm", map[string]string{"package.json": "{}", "package-lock.json": "{}"}, manager{name: "npm", lock: "package-lock.json"}},
		{"npm by field", map[string]string{"package.json": `{"packageManager":"npm@11.4.0"}`, "package-lock.json": "{}"}, manager{name: "npm", lock: "package-lock.json", spec: "npm@11.4.0"}},
		{"yarn 1", map[string]string{"package.json": "{}", "yarn.lock": "# yarn lockfile v1"}, manager{name: "yarn", lock: "yarn.lock", spec: "yarn@1"}},
		{"yarn by lock", map[string]string{"package.json": "{}", "yarn.lock": "__metadata:\n  version: 8"}, manager{name: "yarn", lock: "yarn.lock", spec: "@yarnpkg/cli-dist@4", berry: true}},
		{"yarn by field", map[string]string{"package.json": `{"packageManager":"yarn@3.6.1+sha224.abc"}`, "yarn.lock": "__metadata:"}, manager{name: "yarn", lock: "yarn.lock", spec: "@yarnpkg/cli-dist@3.6.1", berry: true}},
		{"yarn in the app", map[string]string{"package.json": "{}", "yarn.lock": "__metadata:", ".yarnrc.yml": "yarnPath: .yarn/releases/yarn.cjs\n", ".yarn/releases/yarn.cjs": ""}, manager{name: "yarn", lock: "yarn.lock", spec: "@yarnpkg/cli-dist@4", file: ".yarn/releases/yarn.cjs", berry: true}},
		{"pnpm 9", map[string]string{"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '9.0'"}, manager{name: "pnpm", lock: "pnpm-lock.yaml", spec: "pnpm@10"}},
		{"pnpm 6", map[string]string{"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '6.0'"}, manager{name: "pnpm", lock: "pnpm-lock.yaml", spec: "pnpm@8"}},
		{"field of another manager", map[string]string{"package.json": `{"packageManager":"pnpm@9.0.0"}`, "package-lock.json": "{}"}, manager{name: "npm", lock: "package-lock.json"}},
	} {
		ctx := app(t, c.files)
		pkg, err := readPackage(ctx.Path("package.json"))
		if err != nil {
			t.Fatal(err)
		}
		got := findManager(ctx, pkg)
		got.why = ""
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestYarnPathStaysInside(t *testing.T) {
	ctx := app(t, map[string]string{".yarnrc.yml": "yarnPath: ../../etc/passwd\n"})
	if got := yarnPath(ctx); got != "" {
		t.Errorf("yarnPath = %q", got)
	}
}

func TestModulesKeyIgnoresTheAppsOwnFiles(t *testing.T) {
	files := map[string]string{"package.json": `{"name":"x","version":"1.0.0","dependencies":{"ms":"2.1.3"}}`, "package-lock.json": "{}", "server.js": "1"}
	key := func(change map[string]string) string {
		t.Helper()
		all := map[string]string{}
		for k, v := range files {
			all[k] = v
		}
		for k, v := range change {
			all[k] = v
		}
		ctx := app(t, all)
		pkg, err := readPackage(ctx.Path("package.json"))
		if err != nil {
			t.Fatal(err)
		}
		k, err := (&build{c: ctx, pkg: pkg, version: "22.1.0"}).modulesKey(true)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := key(nil)
	for _, c := range []struct {
		change map[string]string
		differ bool
	}{
		{map[string]string{"server.js": "2"}, false},
		{map[string]string{"package.json": `{"name":"x","version":"1.0.1","scripts":{"start":"node ."},"dependencies":{"ms":"2.1.3"}}`}, false},
		{map[string]string{"package.json": `{"name":"x","version":"1.0.0","dependencies":{"ms":"2.1.2"}}`}, true},
		{map[string]string{"package-lock.json": `{"x":1}`}, true},
		{map[string]string{".npmrc": "registry=x"}, true},
	} {
		if differs := key(c.change) != same; differs != c.differ {
			t.Errorf("changing %v: key differs = %v, want %v", c.change, differs, c.differ)
		}
	}
}

func TestStartCommand(t *testing.T) {
	for _, c := range []struct {
		start, pre string
		want       []string
	}{
		{"node server.js", "", []string{"node", "server.js"}},
		{"node server.js --port $PORT", "", []string{"bash", "-c", "exec node server.js --port $PORT"}},
		{"node server.js", "node migrate.js", []string{"bash", "-c", "{ node migrate.js\n} && exec node server.js"}},
		{"cd web && node .", "node migrate.js", []string{"bash", "-c", "{ node migrate.js\n} && { cd web && node .\n}"}},
	} {
		if got := startCommand(map[string]string{"start": c.start, "prestart": c.pre}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("start %q, prestart %q: got %q, want %q", c.start, c.pre, got, c.want)
		}
	}
}

func TestHeapOptions(t *testing.T) {
	for _, c := range []struct{ options, limit, want string }{
		{"", "512M", "--max-old-space-size=409"},
		{"", "1g", "--max-old-space-size=819"},
		{"", "2GB", "--max-old-space-size=1638"},
		{"--enable-source-maps", "100m", "--enable-source-maps --max-old-space-size=80"},
		{"--max-old-space-size=64", "512M", ""},
		{"--max_old_space_size=64", "512M", ""},
		{"", "", ""},
		{"", "lots", ""},
		{"", "-5M", ""},
	} {
		if got, _ := heapOptions(c.options, c.limit); got != c.want {
			t.Errorf("heapOptions(%q, %q) = %q, want %q", c.options, c.limit, got, c.want)
		}
	}
}

func TestInPlace(t *testing.T) {
	for text, want := range map[string]bool{
		`{"dependencies":{"a":"^1.0.0"}}`:      false,
		`{"workspaces":["packages/*"]}`:        true,
		`{"dependencies":{"a":"file:../a"}}`:   true,
		`{"devDependencies":{"a":"link:./a"}}`: true,
		`{"dependencies":{"a":"npm:b@1.0.0"}}`: false,
		`{"dependencies":{"a":"github:a/b"}}`:  false,
	} {
		ctx := app(t, map[string]string{"package.json": text})
		pkg, err := readPackage(ctx.Path("package.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := pkg.inPlace() != ""; got != want {
			t.Errorf("%s: in place = %v, want %v", text, got, want)
		}
	}
}
