package binary

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// elf is the head of an ELF file of a kind: 1 object, 2 program, 3 library or position-independent program.
func elf(kind byte) string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16] = kind
	return string(head)
}

type file struct {
	text string
	mode os.FileMode
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]file
		pass  bool
	}{
		{"nothing", map[string]file{"notes.txt": {"x", 0o644}}, false},
		{"empty folder", nil, false},
		{"a program", map[string]file{"server": {elf(2), 0o755}}, true},
		{"a program that lost its bit", map[string]file{"server": {elf(2), 0o644}}, true},
		{"a position-independent program", map[string]file{"server": {elf(3), 0o755}}, true},
		{"a library", map[string]file{"lib.so": {elf(3), 0o644}}, false},
		{"an object file", map[string]file{"x.o": {elf(1), 0o755}}, false},
		{"a script", map[string]file{"run": {"#!/bin/bash\n", 0o755}}, true},
		{"a script without the bit", map[string]file{"run": {"#!/bin/bash\n", 0o644}}, false},
		{"two programs", map[string]file{"a": {elf(2), 0o755}, "b": {elf(2), 0o755}}, false},
		{"two programs and a Procfile", map[string]file{"a": {elf(2), 0o755}, "b": {elf(2), 0o755}, "Procfile": {"web: ./a", 0o644}}, true},
		{"a program deeper down", map[string]file{"bin/a": {elf(2), 0o755}}, false},
		{"a program deeper down and a Procfile", map[string]file{"bin/a": {elf(2), 0o755}, "Procfile": {"web: bin/a", 0o644}}, true},
		{"a Procfile alone", map[string]file{"Procfile": {"web: x", 0o644}}, false},
		{"executable text", map[string]file{"notes.txt": {"hello", 0o755}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, f := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
					t.Fatal(err)
				}
			}
			ctx := &cnb.Context{AppDir: dir}
			err := Buildpack{}.Detect(ctx)
			var pass *cnb.Pass
			if err != nil && !errors.As(err, &pass) {
				t.Fatal(err)
			}
			if (err == nil) != c.pass {
				t.Errorf("detect = %v, want it to take part: %v", err, c.pass)
			}
			if err := (Buildpack{Named: true}).Detect(ctx); err != nil {
				t.Errorf("named, it refuses: %v", err)
			}
		})
	}
}
