package bits

import (
	"strings"
	"testing"
)

func TestIgnoreMatch(t *testing.T) {
	tests := []struct {
		name     string
		patterns string
		path     string
		folder   bool
		want     bool
	}{
		{"a name anywhere", "tmp", "a/b/tmp", false, true},
		{"what is in a folder of that name", "tmp", "a/tmp/x/y", false, true},
		{"not a part of a name", "tmp", "a/tmpfile", false, false},
		{"star stops at slashes", "*.log", "logs/a.log", false, true},
		{"anchored star", "/*.log", "logs/a.log", false, false},
		{"an inner slash anchors", "a/b", "x/a/b", false, false},
		{"an inner slash at the root", "a/b", "a/b/c", false, true},
		{"two stars in front", "**/b", "x/y/b", false, true},
		{"two stars at the end need something", "a/**", "a", true, false},
		{"two stars at the end", "a/**", "a/b/c", false, true},
		{"two stars in the middle match nothing too", "a/**/c", "a/c", false, true},
		{"two stars in the middle", "a/**/c", "a/x/y/c", false, true},
		{"a folder pattern leaves files", "build/", "build", false, false},
		{"a folder pattern", "build/", "build", true, true},
		{"what is in a folder", "build/", "x/build/out.o", false, true},
		{"taken back", "*.log\n!keep.log", "keep.log", false, false},
		{"the last match decides", "*.log\n!keep.log\nkeep.*", "keep.log", false, true},
		{"into an ignored folder, as cf does", "*\n!dist/", "dist/app.js", false, false},
		{"beside it", "*\n!dist/", "src/app.js", false, true},
		{"question mark", "a?c", "abc", false, true},
		{"question mark is no slash", "a?c", "a/c", false, false},
		{"class", "[ab].txt", "b.txt", false, true},
		{"negated class", "[!ab].txt", "b.txt", false, false},
		{"negated class matches others", "[!ab].txt", "c.txt", false, true},
		{"a bracket first in a class", "[]x].txt", "].txt", false, true},
		{"an unclosed class is itself", "[ab.txt", "[ab.txt", false, true},
		{"a range", "[0-9].txt", "7.txt", false, true},
		{"escaped exclamation", `\!x`, "!x", false, true},
		{"escaped hash", `\#x`, "#x", false, true},
		{"comment", "# x", "# x", false, false},
		{"spaces at the end", "x   ", "x", false, true},
		{"an escaped space at the end", `x\ `, "x ", false, true},
		{"carriage return", "x\r", "x", false, true},
		{"regular expression characters", "a+(b).c", "a+(b).c", false, true},
		{"wide runes", "日*.txt", "x/日本.txt", false, true},
		{"nothing", "", "x", false, false},
		{"only a slash", "/", "x", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ig := ParseIgnore(strings.Split(tt.patterns, "\n")...)
			if got := ig.Match(tt.path, tt.folder); got != tt.want {
				t.Errorf("patterns %q: Match(%q, %v) = %v, want %v", tt.patterns, tt.path, tt.folder, got, tt.want)
			}
		})
	}
}

func TestIgnoreDefaults(t *testing.T) {
	ig, err := LoadIgnore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		".git/config": true, "a/.git/x": true, "manifest.yml": true, "config/manifest.yml": false, ".cfignore": true,
		".DS_Store": true, "node_modules/a/index.js": false, "main.go": false,
	} {
		if got := ig.Match(path, false); got != want {
			t.Errorf("Match(%q) = %v, want %v", path, got, want)
		}
	}
}

// FuzzIgnore: no pattern panics, and what Prunes cuts off Match ignores.
func FuzzIgnore(f *testing.F) {
	for _, seed := range []string{"*", "**/", "[", "[!]", "[]]", `\`, "!", "a/**/b", "[z-a]", "[[:alpha:]]", "é[à-ü]"} {
		f.Add(seed, "a/b/c.txt")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		ig := ParseIgnore(pattern)
		if ig.Prunes(path) && !ig.Match(path+"/x", false) {
			t.Errorf("pattern %q: prunes %q but keeps what is in it", pattern, path)
		}
	})
}
