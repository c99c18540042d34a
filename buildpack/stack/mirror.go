package stack

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// mirrors are where packages come from. An empty Main leaves the choice to debootstrap.
type mirrors struct{ Main, Security string }

// chooseMirrors fills what the options leave open from the host's apt sources, when the host is Debian. root is "/"
// outside tests.
func chooseMirrors(opts Options, root string) mirrors {
	m := mirrors{Main: strings.TrimSuffix(opts.Mirror, "/"), Security: strings.TrimSuffix(opts.SecurityMirror, "/")}
	if m.Main == "" {
		host := hostMirrors(root)
		m.Main = host.Main
		if m.Security == "" {
			m.Security = host.Security
		}
	}
	return m
}

// securityOf derives the security archive's address from a mirror's by the usual path.
func securityOf(mirror string) string {
	return strings.TrimSuffix(strings.TrimSuffix(mirror, "/"), "/debian") + "/debian-security"
}

// hostMirrors reads the host's apt sources. Both are empty when the host is not Debian or none is of use.
func hostMirrors(root string) mirrors {
	if r, err := readRelease(root); err != nil || r.ID != "debian" {
		return mirrors{}
	}
	files, _ := filepath.Glob(filepath.Join(root, "etc/apt/sources.list.d/*.sources"))
	lists, _ := filepath.Glob(filepath.Join(root, "etc/apt/sources.list.d/*.list"))
	files = append(append(files, filepath.Join(root, "etc/apt/sources.list")), lists...)
	var m mirrors
	for _, file := range files {
		for _, uri := range sourceURIs(file) {
			switch {
			case m.Main == "" && strings.HasSuffix(uri, "/debian"):
				m.Main = uri
			case m.Security == "" && strings.HasSuffix(uri, "/debian-security"):
				m.Security = uri
			}
		}
	}
	return m
}

// sourceURIs lists the http and https addresses in a sources file of either format, without a trailing slash.
func sourceURIs(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var uris []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || (fields[0] != "deb" && !strings.EqualFold(fields[0], "URIs:")) {
			continue
		}
		for _, field := range fields[1:] {
			if strings.HasPrefix(field, "http://") || strings.HasPrefix(field, "https://") {
				uris = append(uris, strings.TrimSuffix(field, "/"))
			}
		}
	}
	return uris
}

// release is what a root folder's os-release says.
type release struct{ ID, VersionID, Codename, PrettyName string }

// stackID is the stack's name, such as "cupola-13".
func (r *release) stackID() string {
	if r.VersionID == "" {
		return "cupola-" + r.Codename
	}
	return "cupola-" + r.VersionID
}

func readRelease(root string) (*release, error) {
	b, err := os.ReadFile(filepath.Join(root, "etc/os-release"))
	if os.IsNotExist(err) {
		b, err = os.ReadFile(filepath.Join(root, "usr/lib/os-release"))
	}
	if err != nil {
		return nil, err
	}
	var r release
	fields := map[string]*string{"ID": &r.ID, "VERSION_ID": &r.VersionID, "VERSION_CODENAME": &r.Codename, "PRETTY_NAME": &r.PrettyName}
	for _, line := range strings.Split(string(b), "\n") {
		key, value, _ := strings.Cut(line, "=")
		if field := fields[key]; field != nil {
			*field = strings.Trim(value, `"'`)
		}
	}
	return &r, nil
}
