package ruby

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// lock is what concerns us of a Gemfile.lock.
type lock struct {
	found bool
	gems  map[string]string // versions by name
}

var lockedGem = regexp.MustCompile(`^    ([A-Za-z0-9._-]+) \(([^)]+)\)$`)

func readLock(name string) (lock, error) {
	l := lock{gems: map[string]string{}}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.found = true
	for _, line := range strings.Split(string(text), "\n") {
		if m := lockedGem.FindStringSubmatch(strings.TrimRight(line, "\r")); m != nil {
			l.gems[m[1]] = m[2]
		}
	}
	return l, nil
}

// has says whether a gem is in the bundle.
func (l lock) has(gem string) bool { return l.gems[gem] != "" }

// major is the first number of a gem's version.
func (l lock) major(gem string) string {
	major, _, _ := strings.Cut(l.gems[gem], ".")
	return major
}

// minor is "3.3" of "3.3.8".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// exact is a Gemfile's line that insists on one version of Ruby.
var exact = regexp.MustCompile(`(?m)^([ \t]*ruby[ (]+)(["'])(\d+\.\d+\.\d+)(?:p\d+)?["']`)

// checkVersions compares the versions that the app names with the stack's. Bundler refuses any other than a Gemfile's
// exact one, so that the next patch by rebase would end the app; where the minor version is the stack's, the file is
// changed to accept all patches of it.
func (b *build) checkVersions() error {
	if err := b.checkVersionFile(); err != nil {
		return err
	}
	name := b.c.Path("Gemfile")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m := exact.FindSubmatch(text)
	if m == nil {
		return nil
	}
	want := string(m[3])
	if minor(want) != minor(b.version) {
		return fmt.Errorf("the Gemfile asks for Ruby %s and the stack has %s: change the line to `ruby \"~> %s.0\"` and run `bundle lock`", want, b.version, minor(b.version))
	}
	if want != b.version {
		b.c.Log.Warn("the Gemfile asks for Ruby %s; the stack has %s, which is used", want, b.version)
	}
	changed := exact.ReplaceAll(text, []byte("${1}${2}~> "+minor(b.version)+".0${2}"))
	if err := os.WriteFile(name, changed, 0o644); err != nil {
		return err
	}
	return b.lockVersion()
}

var lockedRuby = regexp.MustCompile(`(?m)^RUBY VERSION\r?\n   ruby .*$`)

// lockVersion writes the stack's version into Gemfile.lock, which Bundler wants to agree with a Gemfile that names one.
func (b *build) lockVersion() error {
	name := b.c.Path("Gemfile.lock")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	section := "RUBY VERSION\n   ruby " + b.version
	if lockedRuby.Match(text) {
		text = lockedRuby.ReplaceAll(text, []byte(section))
	} else {
		head, tail, _ := strings.Cut(string(text), "BUNDLED WITH")
		text = []byte(head + section + "\n\nBUNDLED WITH" + tail)
		if tail == "" {
			text = []byte(strings.TrimRight(head, "\n") + "\n\n" + section + "\n")
		}
	}
	return os.WriteFile(name, text, 0o644)
}

// checkVersionFile does the same for .ruby-version, which a Gemfile may refer to.
func (b *build) checkVersionFile() error {
	name := b.c.Path(".ruby-version")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // there is none
	}
	want := strings.TrimPrefix(strings.TrimSpace(string(text)), "ruby-")
	if want == "" || want == b.version {
		return nil
	}
	b.c.Log.Warn(".ruby-version asks for Ruby %s; the stack has %s, which is used", want, b.version)
	if minor(want) != minor(b.version) {
		return nil
	}
	return os.WriteFile(name, []byte(b.version+"\n"), 0o644)
}
