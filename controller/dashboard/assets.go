package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets/*
var assetFiles embed.FS

// assets are served under names that hold the hash of their content, so that browsers may keep them for ever.
type assets struct {
	served map[string]asset  // by the name with the hash
	named  map[string]string // URL by plain name
}

// contentTypes are our own: the system's table may say anything.
var contentTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

type asset struct {
	contentType string
	body        []byte
}

func loadAssets() (*assets, error) {
	files, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		return nil, err
	}
	a := &assets{map[string]asset{}, map[string]string{}}
	for _, f := range files {
		body, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(f.Name())
		name := strings.TrimSuffix(f.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.served[name] = asset{contentTypes[ext], body}
		a.named[f.Name()] = "/assets/" + name
	}
	return a, nil
}

// url is where the asset is. Only templates ask, so an unknown name is a bug that every test of a page finds.
func (a *assets) url(name string) (string, error) {
	if u, ok := a.named[name]; ok {
		return u, nil
	}
	return "", fmt.Errorf("there is no asset %s", name)
}

// ServeHTTP serves an asset by its hashed name.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.served[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
