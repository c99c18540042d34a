package dashboard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestPushLeavesOutInABrowser drops a folder on the page: what .cfignore names is no part of what would be sent. The patterns
// mean what they mean to the command line.
func TestPushLeavesOutInABrowser(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Join(t.TempDir(), "shop")
	for name, text := range map[string]string{
		".cfignore": ".env\n*.log\n!keep.log\n/build/\n", ".env": "TOKEN=s3cr3t", "server.js": "", "keep.log": "", "logs/a.log": "", "build/out.js": "", "src/build/in.js": "",
		"manifest.yml": "", "node_modules/left-pad/index.js": "", ".git/HEAD": "",
	} {
		path := filepath.Join(folder, name)
		w.must(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600))
	}
	b := w.chromium()
	b.signIn("admin", "secret")
	b.visit("/push")
	drop := &input.DragData{Items: []*input.DragDataItem{}, Files: []string{folder}, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{input.DragEnter, input.DragOver, input.Drop} {
		b.Run(input.DispatchDragEvent(kind, 640, 300, drop))
	}
	b.See("#push-status", "3 of 8 files, ") // server.js, keep.log, src/build/in.js
	b.See("#push-status", "Ready to push.")
	if got := b.eval(`document.getElementById("name").value`); got != "shop" {
		t.Errorf("the app is called %q", got)
	}

	type pattern struct {
		Lines, Path string
		Out         bool
	}
	all := []pattern{
		{"tmp", "a/b/tmp", true}, {"tmp", "a/tmp/x/y", true}, {"tmp", "a/tmpfile", false}, {"*.log", "logs/a.log", true}, {"/*.log", "logs/a.log", false},
		{"a/b", "x/a/b", false}, {"a/b", "a/b/c", true}, {"**/b", "x/y/b", true}, {"a/**", "a/b/c", true}, {"a/**/c", "a/c", true}, {"a/**/c", "a/x/y/c", true},
		{"build/", "build", false}, {"build/", "x/build/out.o", true}, {"*.log\n!keep.log", "keep.log", false}, {"*.log\n!keep.log\nkeep.*", "keep.log", true},
		{"*\n!dist/", "dist/app.js", false}, {"*\n!dist/", "src/app.js", true}, {"a?c", "abc", true}, {"a?c", "a/c", false}, {"[ab].txt", "b.txt", true},
		{"[!ab].txt", "b.txt", false}, {"[!ab].txt", "c.txt", true}, {"[]x].txt", "].txt", true}, {"[ab.txt", "[ab.txt", true}, {"[0-9].txt", "7.txt", true}, {"[z-a]", "[z-a]", true},
		{`\!x`, "!x", true}, {`\#x`, "#x", true}, {"# x", "# x", false}, {"x   ", "x", true}, {`x\ `, "x ", true}, {"x\r", "x", true}, {"a+(b).c", "a+(b).c", true},
		{"日*.txt", "x/日本.txt", true}, {"", "x", false}, {"/", "x", false}, {"", "a/.git/x", true}, {"", "config/manifest.yml", false}, {"\ufeffx", "x", true},
	}
	given, err := json.Marshal(all)
	w.must(err)
	module, err := w.dashboard.assets.url("ignore.js")
	w.must(err)
	var got []bool
	b.Run(chromedp.Evaluate(`import("`+module+`").then((m) => `+string(given)+`.map((p) => !m.keeper([p.Lines])(p.Path)))`, &got, await))
	if len(got) != len(all) {
		t.Fatalf("%d answers to %d questions", len(got), len(all))
	}
	for i, p := range all {
		if got[i] != p.Out {
			t.Errorf("patterns %q: %q is out: %v, want %v", p.Lines, p.Path, got[i], p.Out)
		}
	}
	b.healthy()
}
