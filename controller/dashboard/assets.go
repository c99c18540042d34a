package dashboard

import (
	"bytes"
	"compress/gzip"
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
	packed      []byte // with gzip
}

func loadAssets() (*assets, error) {
	files, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		return nil, err
	}
	a := &assets{map[string]asset{}, map[string]string{}}
	if err := a.add("style.css", styles...); err != nil {
		return nil, err
	}
	for _, name := range scripts {
		if err := a.add(name, name); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if ext := path.Ext(f.Name()); ext == ".css" || ext == ".js" {
			continue
		}
		if err := a.add(f.Name(), f.Name()); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// scripts are the modules, those that others import first: an import is written anew to the name with the hash.
var scripts = []string{"tree.js", "live.js", "page.js", "log.js", "ignore.js", "push.js"}

// styles are the style sheets by concern, served as one file in this order.
var styles = []string{"base.css", "frame.css", "parts.css", "app.css", "map.css", "print.css"}

// add serves files, one after the other, as one asset.
func (a *assets) add(name string, files ...string) error {
	var body []byte
	for _, f := range files {
		b, err := assetFiles.ReadFile("assets/" + f)
		if err != nil {
			return err
		}
		body = append(body, b...)
	}
	for module, at := range a.named {
		body = bytes.ReplaceAll(body, []byte(`from "./`+module+`"`), []byte(`from "`+at+`"`))
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(body); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	a.served[hashed] = asset{contentTypes[ext], body, packed.Bytes()}
	a.named[name] = "/assets/" + hashed
	return nil
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
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "" {
		w.Header().Set("Content-Encoding", "gzip")
		f.body = f.packed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
