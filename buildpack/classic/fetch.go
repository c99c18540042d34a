package classic

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds of a buildpack by URL.
const (
	fetchBytes   = 2 << 30
	fetchSeconds = 300
)

// CheckURL says whether a text is the URL of a buildpack: of a git repository, with a branch or tag after #, or of a
// zip. The schemes are those that cannot reach files of the machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("it is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "git":
		return fmt.Errorf("its scheme %q is not one of https, http and git", u.Scheme)
	case strings.HasPrefix(u.Fragment, "-") || strings.HasPrefix(u.Host, "-"):
		return errors.New("its host and its branch may not begin with a dash")
	}
	return nil
}

// Public is a URL without a password that may be in it, for logs and records.
func Public(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}

// fetch gets a buildpack by URL into the build's temporary folder.
func (r *run) fetch() error {
	if r.Dir != "" {
		return nil
	}
	if err := CheckURL(r.URL); err != nil {
		return &phaseError{ExitFetch, fmt.Errorf("the buildpack %s: %w", r.Name, err)}
	}
	work, err := os.MkdirTemp("", "buildpack-")
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "-----> Downloading buildpack %s\n", r.Name)
	r.fetched = filepath.Join(work, "buildpack")
	address, branch, _ := strings.Cut(r.URL, "#")
	if u, _ := url.Parse(address); strings.HasSuffix(strings.ToLower(u.Path), ".zip") {
		err = r.download(address, work)
	} else {
		err = r.clone(address, branch)
	}
	if err != nil {
		return &phaseError{ExitFetch, fmt.Errorf("download buildpack %s: %w", r.Name, err)}
	}
	return r.makeExecutable()
}

// clone asks for the newest commit alone, and for all of them where a server cannot do that.
func (r *run) clone(address, branch string) error {
	args := []string{"-c", "core.longpaths=true", "-c", "protocol.allow=never"}
	for _, scheme := range []string{"https", "http", "git"} {
		args = append(args, "-c", "protocol."+scheme+".allow=always")
	}
	args = append(args, "clone", "--quiet", "--recursive", "--single-branch")
	if branch != "" {
		args = append(args, "--branch", branch)
	}
	shallow := append(args[:len(args):len(args)], "--depth", "1", "--shallow-submodules")
	if _, err := r.program("git", append(shallow, "--", address, r.fetched)...); err == nil {
		return nil
	}
	if err := os.RemoveAll(r.fetched); err != nil {
		return err
	}
	_, err := r.program("git", append(args, "--", address, r.fetched)...)
	return err
}

// download gets a zip and unpacks it. What it unpacks to is bounded by the build's disk limit.
func (r *run) download(address, work string) error {
	file := filepath.Join(work, "buildpack.zip")
	_, err := r.program("curl", "--fail", "--silent", "--show-error", "--location", "--proto", "=https,http", "--proto-redir", "=https,http",
		"--max-filesize", strconv.Itoa(fetchBytes), "--max-time", strconv.Itoa(fetchSeconds), "--output", file, "--url", address)
	if err != nil {
		return err
	}
	if _, err := r.program("unzip", "-q", file, "-d", r.fetched); err != nil {
		return err
	}
	return os.Remove(file)
}

// program runs one of the stack's own and quotes what it said when it fails.
func (r *run) program(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(r.env[:len(r.env):len(r.env)], "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		said := strings.TrimSpace(string(out))
		if u, _, ok := strings.Cut(r.URL, "#"); ok || u != "" {
			said = strings.ReplaceAll(said, u, Public(u))
		}
		return "", fmt.Errorf("%s: %w: %s", name, err, said[max(0, len(said)-1000):])
	}
	return string(out), nil
}

// makeExecutable gives the scripts of an archive without modes what they need.
func (r *run) makeExecutable() error {
	entries, err := os.ReadDir(filepath.Join(r.fetched, "bin"))
	if err != nil {
		return &phaseError{ExitFetch, fmt.Errorf("%s has no folder bin: it is no buildpack", r.Name)}
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := os.Chmod(filepath.Join(r.fetched, "bin", e.Name()), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}
