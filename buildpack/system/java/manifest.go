package java

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"strings"
)

const manifestBytes = 1 << 20

// readManifest reads the main section of a MANIFEST.MF; one that is not there is empty.
func readManifest(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseManifest(f)
}

// readArchiveManifest reads the one in a JAR or WAR.
func readArchiveManifest(name string) (map[string]string, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	f, err := z.Open("META-INF/MANIFEST.MF")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseManifest(f)
}

// parseManifest reads "Name: value" lines up to the first empty one. A line that begins with a space goes on with the
// line before it (JAR File Specification).
func parseManifest(r io.Reader) (map[string]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, manifestBytes))
	if err != nil {
		return nil, err
	}
	main, name := map[string]string{}, ""
	for _, line := range strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n") {
		if line == "" {
			break
		}
		if rest, more := strings.CutPrefix(line, " "); more {
			main[name] += rest
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if ok {
			name = key
			main[name] = value
		}
	}
	for key, value := range main {
		main[key] = strings.TrimSpace(value)
	}
	return main, nil
}
