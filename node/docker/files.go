package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cupola-paas/cupola/node"
)

// Files of a workload lie in its container's own layer: nothing of the host is mounted, and they come and go
// with it. The files of one folder are kept in a folder of their own beside it, to which a link leads that is
// replaced once all of them are there; what the workload opens are links through that one.
const (
	currentLink = "..current"
	keptBytes   = 64 << 20 // of an archive of the files that move to a new container
)

// UpdateFiles implements node.Engine.
func (d *Docker) UpdateFiles(ctx context.Context, id string, files map[string][]byte) error {
	i := d.find(id)
	if i == nil {
		return fmt.Errorf("files of workload %s: %w", id, node.ErrNotFound)
	}
	// The scheduler has written plain files: the first change makes links of them, one by one.
	err := d.putFiles(ctx, i.containerID(), files, i.attached() && !i.linked.Load())
	if err == nil {
		i.linked.Store(true)
	}
	if notFound(err) {
		err = node.ErrNotFound
	}
	return failed("files of workload "+id, err)
}

func folders(files map[string][]byte) []string {
	all := map[string]bool{}
	for name := range files {
		all[path.Dir(name)] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// Roots are the folders that hold all files of a workload and nothing else: the second one of each path, such as
// /etc/given, or the first if there is no second.
func Roots(files map[string][]byte) []string {
	all := map[string]bool{}
	for _, dir := range folders(files) {
		parts := strings.SplitN(dir, "/", 4)
		all[strings.Join(parts[:min(3, len(parts))], "/")] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// putFiles puts new files or, unless fresh, new contents of files that are there.
func (d *Docker) putFiles(ctx context.Context, containerID string, files map[string][]byte, fresh bool) error {
	archive, err := packFiles(files, fresh)
	if err != nil {
		return err
	}
	return d.api.CopyToContainer(ctx, containerID, "/", bytes.NewReader(archive), container.CopyToContainerOptions{})
}

// packFiles writes, folder by folder, first the contents, then the link that makes them current.
func packFiles(files map[string][]byte, fresh bool) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, root := range Roots(files) { // for the folders below it, everybody may look into it
		h := tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(root, "/"), Mode: 0o755, ModTime: time.Now()}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	for _, dir := range folders(files) {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" {
			return nil, fmt.Errorf("folder %q: name it by an absolute path", dir)
		}
		if err := packFolder(w, dir, files, fresh); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func packFolder(w *tar.Writer, dir string, files map[string][]byte, fresh bool) error {
	var names []string
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
			sum.Write(files[name])
		}
	}
	version := ".." + hex.EncodeToString(sum.Sum(nil)[:8])
	entries := []tar.Header{
		{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: path.Join(dir, version), Mode: 0o755},
	}
	for _, name := range names {
		entries = append(entries, tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dir, version, name), Mode: 0o444, Size: int64(len(files[path.Join(dir, name)]))})
	}
	entries = append(entries, tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join(dir, currentLink), Linkname: version, Mode: 0o777})
	for _, name := range names {
		if fresh {
			entries = append(entries, tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join(dir, name), Linkname: path.Join(currentLink, name), Mode: 0o777})
		}
	}
	for _, h := range entries {
		content := files[path.Join(dir, path.Base(h.Name))]
		h.Name, h.ModTime = strings.TrimPrefix(h.Name, "/"), time.Now()
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				return err
			}
		}
	}
	return nil
}

// keptFolder is a folder that was put into a container, as an archive to be unpacked in its parent.
type keptFolder struct {
	parent  string
	archive []byte
}

// takeOut reads the folders that were put into a container, for a container that takes its place.
func (d *Docker) takeOut(ctx context.Context, containerID string, labels map[string]string) ([]keptFolder, error) {
	var kept []keptFolder
	for dir := range strings.SplitSeq(labels[labelFiles], ":") {
		if dir == "" {
			continue
		}
		body, _, err := d.api.CopyFromContainer(ctx, containerID, dir)
		if err != nil {
			return nil, fmt.Errorf("files in %s: %w", dir, err)
		}
		archive, err := io.ReadAll(io.LimitReader(body, keptBytes+1))
		if err := body.Close(); err != nil {
			return nil, err
		}
		if len(archive) > keptBytes {
			err = fmt.Errorf("an archive of more than %d bytes", keptBytes)
		}
		if err != nil {
			return nil, fmt.Errorf("files in %s: %w", dir, err)
		}
		kept = append(kept, keptFolder{path.Dir(dir), archive})
	}
	return kept, nil
}

func (d *Docker) putBack(ctx context.Context, containerID string, kept []keptFolder) error {
	for _, k := range kept {
		if err := d.api.CopyToContainer(ctx, containerID, k.parent, bytes.NewReader(k.archive), container.CopyToContainerOptions{}); err != nil {
			return fmt.Errorf("files in %s: %w", k.parent, err)
		}
	}
	return nil
}
