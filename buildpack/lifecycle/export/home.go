package export

import (
	"os"
	"path"
	"path/filepath"
)

// HomeNames are what a classic buildpack leaves beside the app's folder for the app to find when it runs, as the
// droplets of Cloud Foundry have it.
var HomeNames = []string{"deps", "logs", "profile.d", "staging_info.yml", "tmp"}

// homeLayer packs what classic buildpacks left beside the app; nil where there were none. Of tmp and logs the folders
// alone are kept.
func (e *Export) homeLayer() (*Blob, error) {
	if e.HomeDir == "" {
		return nil, nil
	}
	return e.pack(func(p *packer) error {
		home := tarName(e.HomePath)
		if err := p.parents(home); err != nil {
			return err
		}
		if err := p.folder(home, p.owner); err != nil {
			return err
		}
		for _, name := range HomeNames {
			if err := p.homeEntry(filepath.Join(e.HomeDir, name), path.Join(home, name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *packer) homeEntry(from, to string) error {
	info, err := os.Lstat(from)
	switch base := path.Base(to); {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.IsDir() && (base == "tmp" || base == "logs"):
		return p.folder(to, p.owner)
	case info.IsDir():
		return p.tree(from, to)
	case info.Mode().IsRegular() && base == "staging_info.yml":
		return p.entry(from, to, info)
	}
	return nil // a link or a file where a folder belongs is nobody's business
}
