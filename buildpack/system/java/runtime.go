package java

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Where Debian's packages put things in the build image.
const (
	jvmFolder    = "/usr/lib/jvm"
	tomcatFolder = "/usr/share/tomcat10"
	javaFolder   = "/usr/share/java"
)

const layerFormat = "1"

var versionLine = regexp.MustCompile(`(?m)^JAVA_VERSION="([^"]+)"`)

// runtime copies the Java runtime of the build image into a layer, which is kept until the stack has another.
func (b *build) runtime() error {
	home, err := findRuntime()
	if err != nil {
		return err
	}
	release, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return fmt.Errorf("the stack's Java runtime: %w", err)
	}
	version := "of unknown version"
	if m := versionLine.FindSubmatch(release); m != nil {
		version = string(m[1])
	}
	layer, err := b.c.Layer("jre")
	if err != nil {
		return err
	}
	layer.Launch, layer.Build, layer.Cache = true, true, true
	var key cnb.Key
	key.Text(layerFormat, string(release))
	if layer.Fits("key", key.Sum()) {
		b.c.Log.Step("OpenJDK %s from the cache", version)
		return layer.Write()
	}
	b.c.Log.Step("OpenJDK %s of the stack", version)
	if err := layer.Reset(); err != nil {
		return err
	}
	if err := copyTree(home, layer.Dir, "docs", "man"); err != nil {
		return err
	}
	if err := layer.LaunchEnv("JAVA_HOME", "default", layer.Dir); err != nil {
		return err
	}
	layer.Metadata["key"] = key.Sum()
	return layer.Write()
}

func findRuntime() (string, error) {
	found, err := filepath.Glob(filepath.Join(jvmFolder, "java-*-openjdk-*", "release"))
	if err != nil {
		return "", err
	}
	best := ""
	for _, name := range found {
		home := filepath.Dir(name)
		if info, err := os.Lstat(home); err == nil && info.IsDir() && home > best {
			best = home
		}
	}
	if best == "" {
		return "", errors.New("the stack has no Java runtime: its build image must have one of Debian's openjdk packages")
	}
	return best, nil
}

// copyTree copies a folder; links are followed, since Debian's lead to folders that a layer does not have. Entries at
// the top that are named in skip are left out.
func copyTree(from, to string, skip ...string) error {
	return copyFolder(from, to, func(name string) bool {
		for _, s := range skip {
			if name == filepath.Join(from, s) {
				return true
			}
		}
		return false
	})
}

func copyFolder(from, to string, skipped func(string) bool) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if skipped(source) {
			continue
		}
		info, err := os.Stat(source)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // a link to what the package leaves out
		case err != nil:
			return err
		case info.IsDir():
			err = copyFolder(source, target, skipped)
		case info.Mode().IsRegular():
			err = copyFile(source, target, info.Mode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode.Perm()|0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// settings puts the program into the image that sizes the JVM when it starts.
func (b *build) settings() error {
	layer, err := b.c.Layer("settings")
	if err != nil {
		return err
	}
	if err := layer.Reset(); err != nil {
		return err
	}
	layer.Launch = true
	if err := layer.AddSelf(b.c, "exec.d", MemoryProgram); err != nil {
		return err
	}
	return layer.Write()
}
