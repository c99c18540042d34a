package export

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// appFile is a file, folder or link of the app, with its slice's number; rest is the number for what no
// slice took.
type appFile struct {
	rel   string // slash-separated, below the app's folder
	info  fs.FileInfo
	slice int
}

const rest = -1

// readApp lists the app's folder in lexical order, and gives every file to the first slice that matches it
// or a folder above it (Buildpack API, Slice Layers). Matching is done on the names alone, so that no link
// is ever followed.
func readApp(dir, appPath string, slices []launcher.Slice) ([]appFile, error) {
	patterns, err := relativePatterns(appPath, slices)
	if err != nil {
		return nil, err
	}
	var files []appFile
	taken := map[string]int{} // folders that a slice matched
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(file[len(dir)+1:])
		n, ok := taken[path.Dir(rel)]
		if !ok {
			n = matching(patterns, rel)
		}
		if d.IsDir() && n != rest {
			taken[rel] = n
		}
		files = append(files, appFile{rel, info, n})
		return nil
	})
	return files, err
}

func matching(patterns [][]string, rel string) int {
	for i, list := range patterns {
		for _, pattern := range list {
			if ok, err := path.Match(pattern, rel); err == nil && ok {
				return i
			}
		}
	}
	return rest
}

// relativePatterns checks the globs and makes them relative to the app's folder.
func relativePatterns(appPath string, slices []launcher.Slice) ([][]string, error) {
	patterns := make([][]string, len(slices))
	for i, s := range slices {
		for _, p := range s.Paths {
			rel, err := relativePattern(appPath, p)
			if err != nil {
				return nil, fmt.Errorf("launch.toml: slice path %q: %w", p, err)
			}
			patterns[i] = append(patterns[i], rel)
		}
	}
	return patterns, nil
}

func relativePattern(appPath, pattern string) (string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return "", err
	}
	clean := path.Clean(pattern)
	if path.IsAbs(clean) {
		below, ok := strings.CutPrefix(clean, appPath+"/")
		if !ok {
			return "", errors.New("it is outside the app's folder")
		}
		return below, nil
	}
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errors.New("it is outside the app's folder")
	}
	return clean, nil
}

// appLayer writes the files of one slice, below the folders that lead to them.
func (p *packer) appLayer(dir, appPath string, files []appFile, slice int) error {
	root := tarName(appPath)
	above := path.Dir(root)
	if above != "." {
		if err := p.parents(above); err != nil {
			return err
		}
		if err := p.folder(above, p.owner); err != nil {
			return err
		}
	}
	if err := p.folder(root, p.owner); err != nil {
		return err
	}
	folders := map[string]appFile{}
	written := map[string]bool{".": true}
	for _, f := range files {
		if f.info.IsDir() {
			folders[f.rel] = f
		}
		if f.slice != slice {
			continue
		}
		for _, up := range missing(path.Dir(f.rel), written) {
			if err := p.entry(filepath.Join(dir, up), path.Join(root, up), folders[up].info); err != nil {
				return err
			}
		}
		written[f.rel] = true
		if err := p.entry(filepath.Join(dir, f.rel), path.Join(root, f.rel), f.info); err != nil {
			return err
		}
	}
	return nil
}

// missing lists the folders from the top down to rel that are not written yet, and marks them.
func missing(rel string, written map[string]bool) []string {
	if written[rel] {
		return nil
	}
	written[rel] = true
	return append(missing(path.Dir(rel), written), rel)
}
