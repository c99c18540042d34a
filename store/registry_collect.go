package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Where distribution keeps things.
const (
	imageRoot      = "/docker/registry/v2"
	repositoryRoot = imageRoot + "/repositories"
	blobRoot       = imageRoot + "/blobs"
)

func blobData(sum string) string {
	return path.Join(blobRoot, "sha256", sum[:2], sum, "data")
}

func repositoryLink(repository, kind string, d digest.Digest) string {
	return path.Join(repositoryRoot, repository, kind, d.Algorithm().String(), d.Encoded(), "link")
}

// Collect deletes the manifests that keep refuses with their tags, then the layers and blobs that no manifest refers to,
// and dead uploads. It returns how many bytes it freed.
//
// Nothing is deleted that was put, or asked for by a client, since olderThan; so it is safe beside pushes that take
// less long, provided that keep knows an image before it is that old. An image index that is kept keeps
// its images. Requests go on meanwhile; only a manifest that is put waits for a moment.
func (r *Registry) Collect(ctx context.Context, keep func(repository, digest string) bool, olderThan time.Time) (freed int64, err error) {
	r.collecting.Lock()
	defer r.collecting.Unlock()
	before, err := r.DiskUsage()
	if err != nil {
		return 0, fmt.Errorf("collect images: %w", err)
	}
	c := &collector{Registry: r, ctx: ctx, keep: keep, olderThan: olderThan, vacuum: storage.NewVacuum(ctx, r.disk)}
	err = c.run()
	after, usageErr := r.DiskUsage()
	if err = errors.Join(err, usageErr); err != nil {
		err = fmt.Errorf("collect images: %w", err)
	}
	return max(before-after, 0), err
}

// collector is one Collect.
type collector struct {
	*Registry
	ctx       context.Context
	keep      func(repository, digest string) bool
	olderThan time.Time
	vacuum    storage.Vacuum
}

func (c *collector) run() error {
	if err := c.purgeUploads(); err != nil {
		return err
	}
	live, puts, err := c.markAll(&c.collectMu)
	if err != nil {
		return err
	}
	var blobs []digest.Digest
	err = c.images.Blobs().Enumerate(c.ctx, func(d digest.Digest) error {
		if _, ok := live[d]; !ok {
			blobs = append(blobs, d)
		}
		return nil
	})
	if err != nil && !isPathNotFound(err) {
		return err
	}
	for _, d := range blobs {
		if live, puts, err = c.sweepBlob(d, live, puts); err != nil {
			return err
		}
	}
	return c.removeEmptyRepositories()
}

// purgeUploads deletes uploads from before olderThan, and those of earlier processes, which can't go on.
func (c *collector) purgeUploads() error {
	limit := c.olderThan
	if before := c.opened.Add(-time.Second); before.After(limit) { // the clock of files is some milliseconds late
		limit = before
	}
	var dead []string
	err := c.disk.Walk(c.ctx, repositoryRoot, func(info driver.FileInfo) error {
		if !strings.HasPrefix(path.Base(info.Path()), "_") {
			return nil
		}
		if path.Base(info.Path()) == "_uploads" {
			dead = append(dead, c.uploadsBefore(info.Path(), limit)...)
		}
		return driver.ErrSkipDir
	})
	if err != nil && !isPathNotFound(err) { // nothing was ever pushed
		return err
	}
	for _, upload := range dead {
		if err := c.disk.Delete(c.ctx, upload); err != nil && !isPathNotFound(err) {
			return err
		}
	}
	return nil
}

// uploadsBefore returns the uploads that nothing was written to since limit. One that ends at this moment may be missing.
func (c *collector) uploadsBefore(folder string, limit time.Time) (old []string) {
	uploads, _ := c.disk.List(c.ctx, folder)
	for _, upload := range uploads {
		last := time.Time{}
		files, _ := c.disk.List(c.ctx, upload)
		for _, file := range append(files, upload) {
			if info, err := c.disk.Stat(c.ctx, file); err == nil && info.ModTime().After(last) {
				last = info.ModTime()
			}
		}
		if last.Before(limit) {
			old = append(old, upload)
		}
	}
	return old
}

// locker is what markAll holds while it decides about one repository.
type locker interface {
	Lock()
	Unlock()
}

// held stands for a lock that the caller holds.
type held struct{}

func (held) Lock()   {}
func (held) Unlock() {}

// markAll deletes the manifests and layer links that nothing keeps, repository by repository, and returns the blobs that
// are referred to, with the number of manifests that had been put before it began.
func (c *collector) markAll(lock locker) (live map[digest.Digest]struct{}, puts int64, err error) {
	lock.Lock()
	puts = c.manifestPuts.Load()
	lock.Unlock()
	names, err := c.repositories()
	if err != nil {
		return nil, 0, err
	}
	live = map[digest.Digest]struct{}{}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return nil, 0, err
		}
		lock.Lock()
		err := c.markRepository(name, live)
		lock.Unlock()
		if err != nil {
			return nil, 0, fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return live, puts, nil
}

func (c *collector) repositories() (names []string, err error) {
	enumerator, ok := c.images.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.New("the registry can't list its repositories")
	}
	err = enumerator.Enumerate(c.ctx, func(name string) error {
		names = append(names, name)
		return nil
	})
	if isPathNotFound(err) { // nothing was ever pushed
		err = nil
	}
	return names, err
}

// markRepository handles one repository; collectMu is held.
func (c *collector) markRepository(name string, live map[digest.Digest]struct{}) error {
	repo, manifests, err := c.open(name)
	if err != nil {
		return err
	}
	all, err := enumerate(c.ctx, manifests)
	if err != nil {
		return err
	}
	used := map[digest.Digest]struct{}{}
	for _, d := range all {
		if c.isYoung(repositoryLink(name, "_manifests/revisions", d), d) || c.keep(name, d.String()) {
			if err := c.markManifest(manifests, d, used); err != nil {
				return err
			}
		}
	}
	for _, d := range all {
		if _, ok := used[d]; !ok {
			if err := c.removeManifest(repo, name, d); err != nil {
				return fmt.Errorf("delete manifest %s: %w", d, err)
			}
		}
	}
	for d := range used {
		live[d] = struct{}{}
	}
	return c.sweepLayers(repo, name, used, live)
}

func (c *collector) open(name string) (distribution.Repository, distribution.ManifestService, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, nil, err
	}
	repo, err := c.images.Repository(c.ctx, named)
	if err != nil {
		return nil, nil, err
	}
	manifests, err := repo.Manifests(c.ctx)
	return repo, manifests, err
}

// enumerate lists the digests of a manifest service or a blob store: both have the same unnamed interface.
func enumerate(ctx context.Context, service any) (all []digest.Digest, err error) {
	enumerator, ok := service.(distribution.ManifestEnumerator)
	if !ok {
		return nil, errors.New("the registry can't list what is in a repository")
	}
	err = enumerator.Enumerate(ctx, func(d digest.Digest) error {
		all = append(all, d)
		return nil
	})
	if isPathNotFound(err) {
		err = nil
	}
	return all, err
}

// markManifest adds a manifest and all that it refers to. One that can't be read is an error: what it refers to is
// not known, so nothing may be swept.
func (c *collector) markManifest(manifests distribution.ManifestService, d digest.Digest, used map[digest.Digest]struct{}) error {
	if _, ok := used[d]; ok {
		return nil
	}
	m, err := manifests.Get(c.ctx, d)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	used[d] = struct{}{}
	for _, ref := range m.References() {
		if _, ok := used[ref.Digest]; ok {
			continue
		}
		isManifest, err := manifests.Exists(c.ctx, ref.Digest)
		if err != nil {
			return fmt.Errorf("manifest %s: %w", ref.Digest, err)
		}
		if !isManifest {
			used[ref.Digest] = struct{}{}
		} else if err := c.markManifest(manifests, ref.Digest, used); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) removeManifest(repo distribution.Repository, name string, d digest.Digest) error {
	tags := repo.Tags(c.ctx)
	all, err := tags.All(c.ctx)
	var unknown distribution.ErrRepositoryUnknown
	if err != nil && !errors.As(err, &unknown) { // unknown: it has no tags
		return err
	}
	if len(all) > 0 {
		current, err := tags.Lookup(c.ctx, v1.Descriptor{Digest: d})
		if err != nil {
			return err
		}
		for _, tag := range current {
			if err := tags.Untag(c.ctx, tag); err != nil {
				return err
			}
		}
	}
	return c.vacuum.RemoveManifest(name, d, all)
}

// sweepLayers deletes the links to blobs that no manifest of the repository refers to. A link that is too young to be
// deleted keeps its blob.
func (c *collector) sweepLayers(repo distribution.Repository, name string, used, live map[digest.Digest]struct{}) error {
	layers, err := enumerate(c.ctx, repo.Blobs(c.ctx))
	if err != nil {
		return err
	}
	for _, d := range layers {
		if _, ok := used[d]; ok {
			continue
		}
		if c.isYoung(repositoryLink(name, "_layers", d), d) {
			live[d] = struct{}{}
		} else if err := c.vacuum.RemoveLayer(name, d); err != nil {
			return fmt.Errorf("delete layer %s: %w", d, err)
		}
	}
	return nil
}

// isYoung reports whether a link or the blob it leads to was used since olderThan.
func (c *collector) isYoung(link string, d digest.Digest) bool {
	return c.isYoungPath(link) || c.isYoungPath(blobData(d.Encoded()))
}

func (c *collector) isYoungPath(path string) bool {
	info, err := c.disk.Stat(c.ctx, path)
	return err == nil && !info.ModTime().Before(c.olderThan)
}

// sweepBlob deletes a blob that is not live. If a manifest came since the live ones were marked, it marks them again.
func (c *collector) sweepBlob(d digest.Digest, live map[digest.Digest]struct{}, puts int64) (map[digest.Digest]struct{}, int64, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, 0, err
	}
	c.collectMu.Lock()
	defer c.collectMu.Unlock()
	if c.manifestPuts.Load() != puts {
		var err error
		if live, puts, err = c.markAll(held{}); err != nil {
			return nil, 0, err
		}
	}
	if _, ok := live[d]; ok || c.isYoungPath(blobData(d.Encoded())) {
		return live, puts, nil
	}
	if err := c.vacuum.RemoveBlob(d.String()); err != nil && !isPathNotFound(err) {
		return nil, 0, fmt.Errorf("delete blob %s: %w", d, err)
	}
	return live, puts, nil
}

// removeEmptyRepositories deletes the folders of repositories in which nothing is left and nothing happened since
// olderThan.
func (c *collector) removeEmptyRepositories() error {
	names, err := c.repositories()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.removeIfEmpty(name); err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return nil
}

func (c *collector) removeIfEmpty(name string) error {
	c.collectMu.Lock()
	defer c.collectMu.Unlock()
	folder := path.Join(repositoryRoot, name)
	empty := true
	err := c.disk.Walk(c.ctx, folder, func(info driver.FileInfo) error {
		if !info.IsDir() || !info.ModTime().Before(c.olderThan) {
			empty = false
			return driver.ErrFilledBuffer
		}
		return nil
	})
	if err != nil || !empty {
		return err
	}
	return c.disk.Delete(c.ctx, folder)
}

func isPathNotFound(err error) bool {
	var missing driver.PathNotFoundError
	return errors.As(err, &missing)
}
