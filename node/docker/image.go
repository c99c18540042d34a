package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"github.com/cupola-paas/cupola/node"
)

// Prepull fetches an image that is not there yet.
func (d *Docker) Prepull(ctx context.Context, ref, user, secret string) error {
	if err := checkReference(ref); err != nil {
		return err
	}
	_, err := d.ensureImage(ctx, ref, user, secret)
	return err
}

// ensureImage pulls an image that is not there; several who want the same wait for one pull.
func (d *Docker) ensureImage(ctx context.Context, ref, user, secret string) (image.InspectResponse, error) {
	img, err := d.api.ImageInspect(ctx, ref)
	if err == nil || !notFound(err) {
		return img, failed("image "+ref, err)
	}
	pulled := d.pulls.DoChan(ref, func() (any, error) {
		// Not the caller's context: others may wait for the same pull.
		return nil, d.pull(d.ctx, ref, user, secret)
	})
	select {
	case <-ctx.Done():
		return img, fmt.Errorf("pull image %s: %w", ref, ctx.Err())
	case r := <-pulled:
		if r.Err != nil {
			return img, failed("pull image "+ref, r.Err)
		}
	}
	img, err = d.api.ImageInspect(ctx, ref)
	return img, failed("image "+ref, err)
}

func (d *Docker) pull(ctx context.Context, ref, user, secret string) error {
	o := image.PullOptions{}
	if user != "" || secret != "" {
		auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: user, Password: secret})
		if err != nil {
			return err
		}
		o.RegistryAuth = auth
	}
	body, err := d.api.ImagePull(ctx, ref, o)
	if err != nil {
		return err
	}
	defer body.Close()
	progress := json.NewDecoder(body)
	for {
		var line struct {
			Error string `json:"error"`
		}
		if err := progress.Decode(&line); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

// userOf is the user that the container will have, and whether it is a number.
func userOf(w node.Workload, img image.InspectResponse) (name string, numeric bool) {
	user := w.User
	if user == "" && img.Config != nil {
		user = img.Config.User
	}
	name, _, _ = strings.Cut(user, ":")
	_, err := strconv.ParseUint(name, 10, 32)
	return name, err == nil
}

func rootError(w node.Workload) error {
	return fmt.Errorf("workload %s: image %s runs as root; give it a user other than root", w.ID, w.Image)
}

// refuseRoot sees what can be told from the name alone.
func refuseRoot(w node.Workload, img image.InspectResponse) error {
	name, numeric := userOf(w, img)
	if w.AllowRoot {
		return nil
	}
	zero := numeric && strings.Trim(name, "0") == ""
	if name == "" || name == "root" || zero {
		return rootError(w)
	}
	return nil
}

// refuseHiddenRoot looks a user's name up in the image: "app" can be uid 0 as well.
func (d *Docker) refuseHiddenRoot(ctx context.Context, w node.Workload, img image.InspectResponse, containerID string) error {
	name, numeric := userOf(w, img)
	if numeric || w.AllowRoot {
		return nil
	}
	key := img.ID + " " + name
	isRoot, known := d.users.Load(key)
	if !known {
		uid, err := d.lookUpUser(ctx, containerID, name)
		if err != nil {
			return fmt.Errorf("workload %s: user %q of image %s: %w", w.ID, name, w.Image, err)
		}
		isRoot = uid == 0
		d.users.Store(key, isRoot)
	}
	if isRoot.(bool) {
		return rootError(w)
	}
	return nil
}

func (d *Docker) lookUpUser(ctx context.Context, containerID, name string) (uint64, error) {
	body, _, err := d.api.CopyFromContainer(ctx, containerID, "/etc/passwd")
	if notFound(err) {
		return 0, errors.New("the image has no /etc/passwd; use a number")
	}
	if err != nil {
		return 0, failed("read /etc/passwd", err)
	}
	defer body.Close()
	archive := tar.NewReader(body)
	h, err := archive.Next()
	if err != nil || h.Typeflag != tar.TypeReg {
		return 0, errors.New("the image's /etc/passwd is no ordinary file; use a number")
	}
	text, err := io.ReadAll(io.LimitReader(archive, 1<<20))
	if err != nil {
		return 0, failed("read /etc/passwd", err)
	}
	return findUser(string(text), name)
}

func findUser(passwd, name string) (uint64, error) {
	for line := range strings.Lines(passwd) {
		f := strings.Split(line, ":")
		if len(f) > 2 && f[0] == name {
			return strconv.ParseUint(f[2], 10, 32)
		}
	}
	return 0, errors.New("no such user in the image's /etc/passwd")
}

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
