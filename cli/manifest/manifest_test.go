package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func mustParse(t *testing.T, text string, vars Variables) *Manifest {
	t.Helper()
	m, err := Parse("manifest.yml", []byte(text), vars)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return m
}

func rendered(t *testing.T, m *Manifest) string {
	t.Helper()
	out, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "manifest.yml:1:1: the file is empty"},
		{"not YAML", "applications:\n- name: a\n  memory: [1\n", "manifest.yml:3:11: not valid YAML"},
		{"bad indentation", "applications:\n- name: a\n   memory: 1G\n", "manifest.yml:3:"},
		{"a tab", "applications:\n- name: a\n\tmemory: 1G\n", "indent with spaces"},
		{"a list at the top", "- name: a\n", "manifest.yml:1:1: a manifest is a mapping"},
		{"no applications", "version: 1\n", "the key applications is missing"},
		{"applications is no list", "applications:\n  name: a\n", "manifest.yml:2:3: applications must be a list"},
		{"no apps", "applications: []\n", "applications is empty"},
		{"no name", "applications:\n- memory: 1G\n", "manifest.yml:2:3: the app has no name"},
		{"a long name", "applications:\n- name: " + strings.Repeat("x", 300), "has 300 characters: use at most 255"},
		{"memory without unit", "applications:\n- name: a\n  memory: 64\n", `manifest.yml:3:11: memory must be a size with its unit`},
		{"instances", "applications:\n- name: a\n  instances: many\n", "manifest.yml:3:14: instances must be a whole number"},
		{"routes", "applications:\n- name: a\n  routes:\n  - a.example.com\n", "manifest.yml:4:5: a route is written as"},
		{"scheme", "applications:\n- name: a\n  routes:\n  - route: https://a.b\n", "must not begin with a scheme"},
		{"health check", "applications:\n- name: a\n  health-check-type: tcp\n", "manifest.yml:3:22: health-check-type must be one of port, http"},
		{"env", "applications:\n- name: a\n  env:\n    A: [1]\n", "manifest.yml:4:8: env A must be a text"},
		{"env is no mapping", "applications:\n- name: a\n  env: x\n", "env must be a mapping"},
		{"twice", "applications:\n- name: a\n- name: a\n", `manifest.yml:3:9: the app "a" appears twice`},
		{"key twice", "applications:\n- name: a\n  memory: 1G\n  memory: 2G\n", `manifest.yml:4:3: the key "memory" appears twice`},
		{"processes", "applications:\n- name: a\n  processes:\n  - instances: 2\n", "a process is a mapping that begins with type"},
		{"process memory", "applications:\n- name: a\n  processes:\n  - type: web\n    memory: lots\n", "manifest.yml:5:13: memory must be"},
		{"route conflict", "applications:\n- name: a\n  no-route: true\n  routes:\n  - route: a.b\n", "exclude each other"},
		{"service parameters", "applications:\n- name: a\n  services:\n  - {name: d, create_parameters: many}\n", "manifest.yml:4:34: create_parameters must be a mapping"},
		{"missing variable", "applications:\n- name: ((name))\n  memory: ((mem))\n", "manifest.yml:2:9: no value for name, mem"},
		{"an anchor in itself", "a: &a\n  b: *a\napplications:\n- name: x\n", "contains itself"},
		{"merge of a scalar", "applications:\n- name: a\n  <<: 3\n", "the value of << must be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("manifest.yml", []byte(tt.text), Variables{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestParseRefusesLaughs(t *testing.T) {
	text := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 8 {
		text += string(rune('b'+i)) + ": &" + string(rune('b'+i)) + " [" + strings.Repeat("*"+string(rune('a'+i))+",", 9) + "x]\n"
	}
	_, err := Parse("manifest.yml", []byte(text+"applications:\n- name: a\n"), Variables{})
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("Parse = %v, want an *Error", err)
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	m := mustParse(t, `
defaults: &defaults
  memory: 256M
  env: &env
    A: "1"
applications:
- <<: *defaults
  name: one
- name: two
  <<: [{memory: 1G}, *defaults]
  env:
    <<: *env
    B: two
`, Variables{})
	want := `applications:
  - name: one
    memory: 256M
    env:
      A: "1"
  - name: two
    env:
      B: two
      A: "1"
    memory: 1G
`
	if got := rendered(t, m); got != want {
		t.Errorf("YAML() =\n%s\nwant\n%s", got, want)
	}
}

func TestVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vars.yml")
	if err := os.WriteFile(file, []byte("host: web\ninstances: 3\ndb:\n  port: 5432\nenv:\n  A: \"1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars, err := LoadVariables([]string{file}, []string{"host=api", "on=true", "odd=a: b: c"})
	if err != nil {
		t.Fatal(err)
	}
	m := mustParse(t, `
applications:
- name: ((host))-app
  instances: ((instances))
  env:
    PORT: ((db.port))
    URL: "http://((host)).x:((db.port))"
    QUOTED: "((instances))"
    ON: ((on))
    ODD: ((odd))
`, vars)
	want := `applications:
  - name: api-app
    instances: 3
    env:
      PORT: 5432
      URL: http://api.x:5432
      QUOTED: "3"
      ON: true
      ODD: 'a: b: c'
`
	if got := normal(t, rendered(t, m)); got != normal(t, want) {
		t.Errorf("YAML() =\n%s\nwant\n%s", got, want)
	}
}

// normal is text without a choice of quotes.
func normal(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestVariablesErrors(t *testing.T) {
	if _, err := LoadVariables(nil, []string{"novalue"}); err == nil || !strings.Contains(err.Error(), "NAME=VALUE") {
		t.Errorf("LoadVariables = %v", err)
	}
	if _, err := LoadVariables([]string{"/nowhere/vars.yml"}, nil); err == nil || !strings.Contains(err.Error(), "/nowhere/vars.yml") {
		t.Errorf("LoadVariables = %v", err)
	}
}

func TestUnknownAttributeIsAWarning(t *testing.T) {
	m := mustParse(t, "applications:\n- name: a\n  memroy: 1G\n", Variables{})
	if len(m.Warnings) != 1 || m.Warnings[0].Error() != `manifest.yml:3:3: the attribute "memroy" is not known and is ignored: did you mean "memory"?` {
		t.Errorf("Warnings = %v", m.Warnings)
	}
}

func TestSelect(t *testing.T) {
	two := "applications:\n- name: a\n- name: b\n"
	m := mustParse(t, two, Variables{})
	if err := m.Select("b"); err != nil || len(m.Apps) != 1 || m.Apps[0].Name != "b" {
		t.Errorf("Select(b) = %v, apps %v", err, m.Apps)
	}
	if err := mustParse(t, two, Variables{}).Select("c"); err == nil || !strings.Contains(err.Error(), `there is no app "c", only "a", "b"`) {
		t.Errorf("Select(c) = %v", err)
	}
	one := mustParse(t, "applications:\n- name: a\n", Variables{})
	if err := one.Select("other"); err != nil || !strings.Contains(rendered(t, one), "name: other") {
		t.Errorf("Select(other) = %v\n%s", err, rendered(t, one))
	}
}

func TestOverride(t *testing.T) {
	two := 2
	tests := []struct {
		name, text string
		flags      Overrides
		want       string
	}{
		{"nothing asks for a default route", "applications:\n- name: a\n", Overrides{},
			"applications:\n  - name: a\n    default-route: true\n"},
		{"routes stay", "applications:\n- name: a\n  routes:\n  - route: a.b\n", Overrides{RandomRoute: true},
			"applications:\n  - name: a\n    routes:\n      - route: a.b\n"},
		{"no route", "applications:\n- name: a\n  random-route: true\n", Overrides{NoRoute: true},
			"applications:\n  - name: a\n    no-route: true\n"},
		{"random route", "applications:\n- name: a\n", Overrides{RandomRoute: true},
			"applications:\n  - name: a\n    random-route: true\n"},
		{"all at the app", "applications:\n- name: a\n  no-route: true\n  memory: 1G\n  buildpack: x\n",
			Overrides{Memory: "64M", Disk: "1G", Instances: &two, Command: "run", Buildpacks: []string{"p", "q"}, Stack: "s", HealthCheckType: "http", Endpoint: "/h", Timeout: 9},
			"applications:\n  - name: a\n    no-route: true\n    memory: 64M\n    command: run\n    disk_quota: 1G\n    health-check-type: http\n    health-check-http-endpoint: /h\n    instances: 2\n    timeout: 9\n    stack: s\n    buildpacks:\n      - p\n      - q\n"},
		{"at the web process", "applications:\n- name: a\n  no-route: true\n  processes:\n  - type: web\n    memory: 1G\n", Overrides{Memory: "64M"},
			"applications:\n  - name: a\n    no-route: true\n    processes:\n      - type: web\n        memory: 64M\n"},
		{"reset command and buildpack", "applications:\n- name: a\n  no-route: true\n", Overrides{Command: "null", Buildpacks: []string{"default"}},
			"applications:\n  - name: a\n    no-route: true\n    command: null\n    buildpacks: []\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := mustParse(t, tt.text, Variables{})
			if err := m.Override(tt.flags); err != nil {
				t.Fatal(err)
			}
			if got := rendered(t, m); got != tt.want {
				t.Errorf("YAML() =\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestOverrideErrors(t *testing.T) {
	m := mustParse(t, "applications:\n- name: a\n- name: b\n", Variables{})
	if err := m.Override(Overrides{Memory: "1G"}); !errors.Is(err, ErrSeveralApps) {
		t.Errorf("Override = %v, want ErrSeveralApps", err)
	}
	if err := ForApp("a").Override(Overrides{Memory: "lots"}); err == nil || !strings.Contains(err.Error(), `-m must be a size with its unit, such as 256M or 1G, not "lots"`) {
		t.Errorf("Override = %v", err)
	}
}

func TestDocker(t *testing.T) {
	m := mustParse(t, "applications:\n- name: a\n  docker: {image: reg/app:1, username: u}\n- name: b\n", Variables{})
	if image, user := m.Apps[0].Docker(); image != "reg/app:1" || user != "u" {
		t.Errorf("Docker() = %q, %q", image, user)
	}
	if image, _ := m.Apps[1].Docker(); image != "" {
		t.Errorf("Docker() of source = %q", image)
	}
}

func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "manifest.yml")
	if err := os.WriteFile(file, []byte("applications:\n- name: a\n  path: ../src\n- name: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := Locate(dir)
	if err != nil || found != file {
		t.Fatalf("Locate = %s, %v", found, err)
	}
	m, err := Load(found, Variables{})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(dir), "src"); m.Apps[0].Path != want || m.Apps[1].Path != "" {
		t.Errorf("paths = %q, %q, want %q and none", m.Apps[0].Path, m.Apps[1].Path, want)
	}
	if strings.Contains(rendered(t, m), "path:") {
		t.Error("path goes to the server")
	}
	if _, err := Locate(t.TempDir()); !errors.Is(err, ErrNotFound) {
		t.Errorf("Locate of a folder without manifest = %v", err)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "": false, "  ": false, "😀": true, "a\nb": false, strings.Repeat("ä", 255): true, strings.Repeat("ä", 256): false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

// FuzzParse: no input panics, errors know their place, and what is written is read again the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"applications:\n- name: a\n", "a: &a {b: c}\napplications:\n- <<: *a\n  name: x\n", "applications: [{name: ((x))}]", "- [", "a: *b", "? [a]\n: b",
		"applications:\n- name: a\n  env: {A: !!binary aGk=, B: 0x10, C: ~, D: 1e3, E: 2001-01-01}\n", "applications:\n- name: \"\\u0000\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vars := Variables{values: map[string]*yaml.Node{"x": scalar("y")}}
		m, err := Parse("m.yml", data, vars)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		out, err := m.YAML()
		if err != nil {
			t.Fatalf("YAML: %v", err)
		}
		again, err := Parse("m.yml", out, vars)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, out)
		}
		twice, err := again.YAML()
		if err != nil || string(twice) != string(out) {
			t.Fatalf("not stable:\n%s\nthen\n%s", out, twice)
		}
	})
}
