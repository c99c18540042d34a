package stack

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var testRelease = &release{ID: "debian", VersionID: "13", Codename: "trixie", PrettyName: "Debian GNU/Linux 13 (trixie)"}

// tree writes files below a new folder: a name that ends in / is a folder, "-> x" a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(link, path)
		} else if dir != path && !strings.HasSuffix(name, "/") {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestProgressOnlyGrows(t *testing.T) {
	var seen []int
	p := newProgress(func(_ string, done, total int) {
		if total != progressTotal {
			t.Fatalf("total = %d", total)
		}
		seen = append(seen, done)
	})
	p.begin("one", 500, 2)
	for _, l := range []string{"I: Retrieving a", "noise", "I: Extracting a", "I: Extracting b", "I: Extracting c"} {
		p.line(l)
	}
	p.begin("two", 1000, 1)
	for _, l := range []string{"0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.", "Get:1 x", "Get:2 y", "Unpacking x", "Unpacking y", "Setting up x", "Setting up y"} {
		p.line(l)
	}
	if last := 0; len(seen) == 0 || seen[len(seen)-1] != 1000 {
		t.Errorf("seen %v, want it to end at 1000", seen)
	} else {
		for _, n := range seen {
			if n < last {
				t.Errorf("seen %v goes back", seen)
			}
			last = n
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		line string
		want error
	}{
		{"E: Failed getting release file http://x/dists/trixie/Release", ErrMirror},
		{"E: Unable to fetch some archives: Temporary failure resolving 'x'", ErrMirror},
		{"tar: write error: No space left on device", ErrNoSpace},
		{"E: You don't have enough free space in /var/cache/apt/archives/.", ErrNoSpace},
	} {
		if err := explain(&CommandError{Program: "apt-get", Tail: []string{c.line}, Err: errors.New("exit status 100")}); !errors.Is(err, c.want) {
			t.Errorf("%q is explained as %v, want %v", c.line, err, c.want)
		}
	}
	plain := explain(&CommandError{Program: "apt-get", Tail: []string{"E: something else"}, Err: errors.New("exit status 1")})
	if errors.Is(plain, ErrMirror) || errors.Is(plain, ErrNoSpace) || !strings.Contains(plain.Error(), "something else") {
		t.Errorf("an unknown failure is explained as %v", plain)
	}
}

func TestCommandLeavesNothingBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	c := command{args: []string{"true"}, env: hostEnv()}
	if err := c.run(context.Background()); err != nil {
		t.Skipf("this machine allows no namespaces: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pid := make(chan string, 1)
	c = command{args: []string{"bash", "-c", "setsid sleep 98317 & cat /proc/$!/stat; wait"}, env: hostEnv(), line: func(s string) { pid <- s; cancel() }}
	if err := c.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	<-pid
	if out, err := exec.Command("pgrep", "-f", "^sleep 98317$").Output(); err == nil {
		t.Errorf("still running: %s", out)
	}
	err := command{args: []string{"bash", "-c", "echo 'E: Failed getting release file x'; exit 1"}, env: hostEnv()}.run(context.Background())
	if !errors.Is(err, ErrMirror) {
		t.Errorf("a mirror that can't be reached gives %v", err)
	}
}

func TestInstalledAndVersion(t *testing.T) {
	r := recipeFor("trixie")
	a := r.version([]Package{{"a", "1"}})
	if b := r.version([]Package{{"a", "2"}}); a == b {
		t.Error("the version is the same with another package version")
	}
	if b := recipeFor("forky").version([]Package{{"a", "1"}}); a == b {
		t.Error("the version is the same with another recipe")
	}
}

func TestDpkgConfigKeepsWhatInstallationsNeed(t *testing.T) {
	config := dpkgConfig(recipeFor("trixie"))
	if !strings.Contains(config, "path-exclude=/usr/share/man/*\n") {
		t.Error("manual pages are unpacked")
	}
	for _, not := range []string{"i18n", "nodejs", "path-exclude=/var", "path-exclude=/dev"} {
		if strings.Contains(config, not) {
			t.Errorf("dpkg is told to leave out %s", not)
		}
	}
}
