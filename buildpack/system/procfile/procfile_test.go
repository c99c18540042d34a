package procfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	c := &cnb.Context{AppDir: dir}
	var pass *cnb.Pass
	if err := (Buildpack{}).Detect(c); !errors.As(err, &pass) {
		t.Errorf("Detect without a Procfile = %v, want a pass that says so", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: ./run\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Buildpack{}).Detect(c); err != nil {
		t.Errorf("Detect with a Procfile = %v", err)
	}
}

func TestABrokenProcfileFailsTheBuild(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Procfile"), []byte("this is no process type\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (Buildpack{}).Build(&cnb.Context{AppDir: dir}); err == nil {
		t.Error("Build with a broken Procfile = nil, want an error")
	}
}
