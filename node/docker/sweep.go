package docker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
)

// RemoveImages removes our images that keep does not want and no container uses, and returns about how
// many bytes of the disk that freed. Ours are those whose reference begins with Options.ImagePrefix.
func (d *Docker) RemoveImages(ctx context.Context, keep func(ref string) bool) (freed int64, err error) {
	if d.o.ImagePrefix == "" {
		return 0, nil
	}
	images, err := d.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return 0, failed("list images", err)
	}
	used, err := d.usedImages(ctx)
	if err != nil {
		return 0, err
	}
	var gone []image.Summary
	rest := slices.Clone(images)
	for _, img := range images {
		refs, all := d.unwanted(img, keep)
		if used[img.ID] || len(refs) == 0 {
			continue
		}
		sizes := d.layerSizes(ctx, img)
		removed := true
		for _, ref := range refs {
			if _, e := d.api.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true}); e != nil && !notFound(e) {
				removed = false
				if !conflict(e) { // a container that began to use it meanwhile is fine
					err = errors.Join(err, failed("remove image "+ref, e))
				}
			}
		}
		if removed && all {
			gone = append(gone, img)
			rest = slices.DeleteFunc(rest, func(o image.Summary) bool { return o.ID == img.ID })
			freed += d.unshared(ctx, sizes, rest)
		}
	}
	if len(gone) > 0 {
		d.log.Info("images removed", "count", len(gone), "freed_bytes", freed)
	}
	return freed, err
}

// unwanted are the references of an image that are ours and not kept; all says that it has no other.
func (d *Docker) unwanted(img image.Summary, keep func(string) bool) (refs []string, all bool) {
	all = true
	for _, ref := range slices.Concat(img.RepoTags, img.RepoDigests) {
		switch {
		case strings.HasPrefix(ref, "<none>"):
		case strings.HasPrefix(ref, d.o.ImagePrefix) && !keep(ref) && !d.pendingImage(ref):
			refs = append(refs, ref)
		default:
			all = false
		}
	}
	return refs, all
}

func (d *Docker) pendingImage(ref string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, w := range d.pending {
		if w.Image == ref {
			return true
		}
	}
	return false
}

func (d *Docker) usedImages(ctx context.Context) (map[string]bool, error) {
	list, err := d.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, failed("list containers", err)
	}
	used := map[string]bool{}
	for _, c := range list {
		used[c.ImageID] = true
	}
	return used, nil
}

// layerSizes maps the layers of an image to their sizes, by the history that Docker keeps beside them.
func (d *Docker) layerSizes(ctx context.Context, img image.Summary) map[string]int64 {
	full, err := d.api.ImageInspect(ctx, img.ID)
	if err != nil {
		return nil
	}
	history, err := d.api.ImageHistory(ctx, img.ID)
	if err != nil {
		return nil
	}
	var sizes []int64
	for _, h := range slices.Backward(history) {
		if h.Size > 0 {
			sizes = append(sizes, h.Size)
		}
	}
	layers := full.RootFS.Layers
	if len(sizes) != len(layers) { // empty layers blur the order: take the whole for one layer
		return map[string]int64{img.ID: img.Size}
	}
	m := map[string]int64{}
	for n, l := range layers {
		m[l] = sizes[n]
	}
	return m
}

// unshared adds up the layers that no other image has.
func (d *Docker) unshared(ctx context.Context, sizes map[string]int64, others []image.Summary) int64 {
	for _, o := range others {
		full, err := d.api.ImageInspect(ctx, o.ID)
		if err != nil {
			continue
		}
		for _, l := range full.RootFS.Layers {
			delete(sizes, l)
		}
	}
	var sum int64
	for _, s := range sizes {
		sum += s
	}
	return sum
}
