package buildpack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
)

// The folders of a droplet archive (Cloud Foundry's droplets; layers is ours, for what Cloud Native Buildpacks
// leave) and where they lie in an image.
var dropletFolders = []struct{ archive, image string }{
	{"app", appPath}, {"deps", homePath + "/deps"}, {"logs", homePath + "/logs"}, {"profile.d", homePath + "/profile.d"},
	{"tmp", homePath + "/tmp"}, {"layers", layersPath},
}

// stagingInfo is the file in a droplet archive that says what it starts.
const stagingInfo = "staging_info.yml"

// WriteDroplet writes what an image has above its run image as a gzipped tar in the layout of Cloud Foundry's
// droplets: ./app, ./deps, ./tmp, ./logs, ./profile.d, ./staging_info.yml. start is the command of the web process, for
// an image that says nothing of its own. Nothing was written to w when the image cannot be read.
func (b *Builder) WriteDroplet(ctx context.Context, reference, start string, w io.Writer) error {
	img, _, err := b.registry.Image(ctx, reference)
	if err != nil {
		return err
	}
	layers, err := export.AboveRunImage(img)
	if err != nil {
		return fmt.Errorf("droplet %s: %w", reference, err)
	}
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	out := &dropletWriter{tar: tar.NewWriter(zip), folders: map[string]bool{}}
	for _, f := range dropletFolders[:len(dropletFolders)-1] {
		if err := out.folder("./" + f.archive + "/"); err != nil {
			return err
		}
	}
	for _, l := range layers {
		if err := out.layer(ctx, l); err != nil {
			return fmt.Errorf("droplet %s: %w", reference, err)
		}
	}
	if !out.info {
		if err := out.stagingInfo(start); err != nil {
			return err
		}
	}
	return errors.Join(out.tar.Close(), zip.Close())
}

// dropletWriter writes one archive.
type dropletWriter struct {
	tar     *tar.Writer
	folders map[string]bool // written
	info    bool            // staging_info.yml was written
}

func (d *dropletWriter) folder(name string) error {
	if d.folders[name] {
		return nil
	}
	d.folders[name] = true
	return d.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, Uid: 2000, Gid: 2000})
}

func (d *dropletWriter) stagingInfo(start string) error {
	text, err := json.Marshal(map[string]string{"detected_buildpack": "", "start_command": start})
	if err != nil {
		return err
	}
	if err := d.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./" + stagingInfo, Mode: 0o644, Size: int64(len(text)), Uid: 2000, Gid: 2000}); err != nil {
		return err
	}
	_, err = d.tar.Write(text)
	return err
}

func (d *dropletWriter) layer(ctx context.Context, l v1.Layer) error {
	content, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()
	in := tar.NewReader(content)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := d.entry(h, in); err != nil {
			return err
		}
	}
}

func (d *dropletWriter) entry(h *tar.Header, content io.Reader) error {
	name := archiveName(h.Name)
	if name == "" {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		return d.folder("./" + name + "/")
	}
	d.info = d.info || name == stagingInfo
	out := *h
	out.Name, out.Format = "./"+name, tar.FormatPAX
	if h.Typeflag == tar.TypeLink {
		target := archiveName(h.Linkname)
		if target == "" {
			return nil
		}
		out.Linkname = "./" + target
	}
	if err := d.tar.WriteHeader(&out); err != nil {
		return err
	}
	_, err := io.Copy(d.tar, content)
	return err
}

// archiveName is where a path of the image lies in the archive; empty for what does not belong there.
func archiveName(name string) string {
	abs := path.Clean("/" + name)
	if abs == homePath+"/"+stagingInfo {
		return stagingInfo
	}
	for _, f := range dropletFolders {
		if abs == f.image {
			return f.archive
		}
		if rest, ok := strings.CutPrefix(abs, f.image+"/"); ok {
			return f.archive + "/" + rest
		}
	}
	return ""
}
