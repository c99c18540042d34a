package stack

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestAdditionKey: whatever decides the content gives another image.
func TestAdditionKey(t *testing.T) {
	base := &Stack{Version: "v1"}
	add := Addition{Name: "example", Packages: []string{"a", "b"}}
	seen := map[string]string{add.key(base): "the first"}
	for what, key := range map[string]string{
		"another stack":   add.key(&Stack{Version: "v2"}),
		"other packages":  Addition{Name: "example", Packages: []string{"a", "c"}}.key(base),
		"fewer files":     Addition{Name: "example", Packages: []string{"a", "b"}, Exclude: []string{"usr/share/x"}}.key(base),
		"a command":       Addition{Name: "example", Packages: []string{"a", "b"}, Prepare: [][]string{{"true"}}, User: "2000:2000"}.key(base),
		"parted packages": Addition{Name: "example", Packages: []string{"ab"}}.key(base),
	} {
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s have the same key", what, other)
		}
		seen[key] = what
	}
}

func TestAdditionRefused(t *testing.T) {
	for _, add := range []Addition{{}, {Name: "x"}, {Name: "../x", Packages: []string{"a"}}, {Name: "X", Packages: []string{"a"}}} {
		if _, err := PrepareAddition(context.Background(), Options{CacheDir: t.TempDir()}, add); err == nil {
			t.Errorf("%+v was prepared", add)
		}
	}
}

// TestOlderAdditionsGo: the newest one but the current stays for who reads it, and others' are not touched.
func TestOlderAdditionsGo(t *testing.T) {
	dir := t.TempDir()
	key := func(c string) string { return strings.Repeat(c, 16) }
	for _, name := range []string{"pg-" + key("1"), "pg-" + key("2"), "pg-" + key("3"), "pg-extra-" + key("1")} {
		if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeOlderAdditions(dir, "pg", dir+"/pg-"+key("1")); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 3 {
		t.Errorf("left are %v, want the current one, one older, and the other addition's", left)
	}
	if _, err := os.Stat(dir + "/pg-" + key("1")); err != nil {
		t.Error("the current one is gone")
	}
}

func TestGenerations(t *testing.T) {
	const first = "/cache/additions/pg-0123456789abcdef"
	for path, want := range map[string]int{first: 1, first + ".2": 2, first + ".10": 10} {
		if got := generation(first, path); got != want {
			t.Errorf("generation of %s = %d, want %d", path, got, want)
		}
	}
	if got := nextGeneration(first, first+".9"); got != first+".10" {
		t.Errorf("after the ninth comes %s", got)
	}
	if got := nextGeneration(first, first); got != first+".2" {
		t.Errorf("after the first comes %s", got)
	}
}
