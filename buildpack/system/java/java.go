// Package java is the buildpack cupola/java: it runs built apps on Debian's OpenJDK.
//
// What it takes is a JAR with a Main-Class, a WAR, or either unpacked, as `cf push -p app.jar` uploads it. A WAR without
// a Main-Class runs on Debian's Tomcat 10, so that it must be one of Jakarta EE. The runtime and Tomcat are copied from
// the build image into layers, which are the same for all apps. Settings: JAVA_OPTS.
package java

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Buildpack builds Java apps.
type Buildpack struct{}

var _ cnb.Buildpack = Buildpack{}

// Detect passes apps that can be run: sources must have been built.
func (Buildpack) Detect(c *cnb.Context) error {
	a, err := find(c.AppDir)
	if err != nil {
		return err
	}
	if a != nil {
		return nil
	}
	for _, f := range []string{"pom.xml", "build.gradle", "build.gradle.kts"} {
		if c.Has(f) {
			return cnb.Passf("%s but no runnable JAR or WAR: build the app first and push what was built, with -p target/app.jar", f)
		}
	}
	return cnb.Passf("no JAR with a Main-Class and no WAR")
}

// Build makes the layers and the start command.
func (Buildpack) Build(c *cnb.Context) (*cnb.Launch, error) {
	a, err := find(c.AppDir)
	if err != nil {
		return nil, err
	}
	b := &build{c: c}
	if err := b.runtime(); err != nil {
		return nil, err
	}
	if err := b.settings(); err != nil {
		return nil, err
	}
	if a == nil {
		c.Log.Info("the app is no JAR with a Main-Class and no WAR: the runtime is there for its own command")
		return nil, nil
	}
	command := []string{"java"}
	switch {
	case a.main == "":
		tomcat, err := b.tomcat(a)
		if err != nil {
			return nil, err
		}
		command = append(command, tomcat...)
	case a.file != "":
		command = append(command, "-jar", a.file)
	default:
		command = append(command, "-cp", strings.Join(append([]string{"."}, a.classPath...), ":"), a.main)
	}
	c.Log.Step("Start command: %s", strings.Join(command, " "))
	return cnb.Web(command...), nil
}

// build is one run of the buildpack.
type build struct {
	c *cnb.Context
}

// app is what is to be run: a file, or, without one, the app's folder itself. Without main it is a WAR for a server.
type app struct {
	file      string
	main      string
	classPath []string
}

// find looks for what can be run; nil if there is nothing.
func find(dir string) (*app, error) {
	m, err := readManifest(filepath.Join(dir, "META-INF", "MANIFEST.MF"))
	if err != nil {
		return nil, err
	}
	if m["Main-Class"] != "" {
		return &app{main: m["Main-Class"], classPath: strings.Fields(m["Class-Path"])}, nil
	}
	if info, err := os.Stat(filepath.Join(dir, "WEB-INF")); err == nil && info.IsDir() {
		return &app{}, nil
	}
	return findArchive(dir)
}

// findArchive looks for one runnable JAR or WAR at the top.
func findArchive(dir string) (*app, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []*app
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !e.Type().IsRegular() || ext != ".jar" && ext != ".war" {
			continue
		}
		m, err := readArchiveManifest(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if main := m["Main-Class"]; main != "" || ext == ".war" {
			found = append(found, &app{file: e.Name(), main: main})
		}
	}
	if len(found) != 1 {
		return nil, nil // none, or several: a Procfile must say which
	}
	return found[0], nil
}
