package java

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct{ limit, users, want string }{
		{"1024m", "", "-Xmx573m -XX:ReservedCodeCacheSize=128m -XX:MaxDirectMemorySize=64m -XX:+ExitOnOutOfMemoryError"},
		{"256m", "-Dx=y", "-Xmx116m -XX:ReservedCodeCacheSize=32m -XX:MaxDirectMemorySize=16m -XX:+ExitOnOutOfMemoryError"},
		{"64m", "", "-Xmx21m -XX:ReservedCodeCacheSize=32m -XX:MaxDirectMemorySize=16m -XX:+ExitOnOutOfMemoryError"},
		{"8192m", "", "-Xmx7079m -XX:ReservedCodeCacheSize=240m -XX:MaxDirectMemorySize=64m -XX:+ExitOnOutOfMemoryError"},
		{"1024m", "-Xmx200m", ""}, {"1024m", "-XX:MaxRAMPercentage=50", ""}, {"", "", ""}, {"much", "", ""},
	} {
		if got := strings.Join(sizes(c.limit, c.users), " "); got != c.want {
			t.Errorf("sizes(%q, %q) = %q, want %q", c.limit, c.users, got, c.want)
		}
	}
}

func TestMemoryKeepsTheAppsOptions(t *testing.T) {
	env := map[string]string{"JAVA_OPTS": `-Da="b c"`, "JAVA_TOOL_OPTIONS": "-Xmx100m", "PORT": "8080"}
	var out bytes.Buffer
	if err := Memory(func(name string) string { return env[name] }, &out); err != nil {
		t.Fatal(err)
	}
	if want := "JAVA_TOOL_OPTIONS = \"-Xmx100m -Da=\\\"b c\\\"\"\nSERVER_PORT = \"8080\"\n"; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

func TestManifest(t *testing.T) {
	m, err := parseManifest(strings.NewReader("Manifest-Version: 1.0\r\nMain-Class: com.example.VeryLong\r\n Name\r\nClass-Path: lib/a.jar\r\n  lib/b.jar\r\n\r\nName: x\r\nMain-Class: no\r\n"))
	if err != nil || m["Main-Class"] != "com.example.VeryLongName" || m["Class-Path"] != "lib/a.jar lib/b.jar" {
		t.Errorf("%v, %v", m, err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add("Main-Class: x\n y")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseManifest(strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	})
}

func archive(t *testing.T, name string, files map[string]string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for file, text := range files {
		w, err := z.Create(file)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	const runnable = "Main-Class: x.Main\n"
	for _, c := range []struct {
		name     string
		files    map[string]string
		archives map[string]map[string]string
		want     *app
	}{
		{"an unpacked JAR", map[string]string{"META-INF/MANIFEST.MF": runnable + "Class-Path: a.jar b.jar\n"}, nil, &app{main: "x.Main", classPath: []string{"a.jar", "b.jar"}}},
		{"an unpacked WAR", map[string]string{"WEB-INF/web.xml": "", "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n"}, nil, &app{}},
		{"a WAR that runs itself", map[string]string{"WEB-INF/web.xml": "", "META-INF/MANIFEST.MF": runnable}, nil, &app{main: "x.Main", classPath: []string{}}},
		{"a JAR beside a library", nil, map[string]map[string]string{"app.jar": {"META-INF/MANIFEST.MF": runnable}, "lib.jar": {"x": ""}}, &app{file: "app.jar", main: "x.Main"}},
		{"a WAR file", nil, map[string]map[string]string{"shop.war": {"WEB-INF/web.xml": ""}}, &app{file: "shop.war"}},
		{"two JARs", nil, map[string]map[string]string{"a.jar": {"META-INF/MANIFEST.MF": runnable}, "b.jar": {"META-INF/MANIFEST.MF": runnable}}, nil},
		{"a source tree", map[string]string{"pom.xml": ""}, nil, nil},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		for name, files := range c.archives {
			archive(t, filepath.Join(dir, name), files)
		}
		if got, err := find(dir); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestUnpackWARStaysInside(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(t.TempDir(), "good.war"), filepath.Join(t.TempDir(), "bad.war")
	archive(t, good, map[string]string{"WEB-INF/web.xml": "x", "Ω.jsp": "y"})
	archive(t, bad, map[string]string{"../out": "x"})
	if err := unpackWAR(good, dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "Ω.jsp")); err != nil || string(text) != "y" {
		t.Errorf("%q, %v", text, err)
	}
	if err := unpackWAR(bad, dir); err == nil {
		t.Error("a file outside was written")
	}
}

func TestConfigurationIsWellFormed(t *testing.T) {
	for _, text := range []string{serverXML, webXML} {
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}
