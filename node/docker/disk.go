package docker

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"

	"github.com/cupola-paas/cupola/node"
)

// hardFactor: where no driver enforces the quota, an instance above it is only told so, since an app that
// was near its limit for a moment would have lived through "no space left"; at this many times the quota
// it is ended and begins again with an empty layer.
const hardFactor = 2

// sizeTTL is how long a measured size is good enough; measuring walks the layer's files.
const sizeTTL = time.Minute

// quotaSupported says whether Docker's storage driver can limit a container's layer.
func quotaSupported(info system.Info, local bool) bool {
	switch info.Driver {
	case "btrfs", "zfs":
		return true
	case "overlay2":
		xfs := slices.ContainsFunc(info.DriverStatus, func(kv [2]string) bool {
			return kv[0] == "Backing Filesystem" && kv[1] == "xfs"
		})
		mounts, err := os.ReadFile("/proc/mounts")
		return xfs && local && err == nil && hasProjectQuota(string(mounts), info.DockerRootDir)
	}
	return false
}

// hasProjectQuota looks for the option on the mount that has dir.
func hasProjectQuota(mounts, dir string) bool {
	best, quota := "", false
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		under := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if under && len(f[1]) >= len(best) {
			options := strings.Split(f[3], ",")
			best, quota = f[1], slices.Contains(options, "prjquota") || slices.Contains(options, "pquota")
		}
	}
	return quota
}

func (d *Docker) quotaEnforced() bool { return d.info.quota && !d.noQuota.Load() }

// sizeCache remembers sizes of writable layers by container.
type sizeCache struct {
	mu sync.Mutex
	m  map[string]measured
}

type measured struct {
	at    time.Time
	bytes int64
}

// layerSize is the size of a container's writable layer, at most sizeTTL old.
func (d *Docker) layerSize(ctx context.Context, id string) (int64, error) {
	d.sizes.mu.Lock()
	known, ok := d.sizes.m[id]
	d.sizes.mu.Unlock()
	if ok && time.Since(known.at) < sizeTTL {
		return known.bytes, nil
	}
	release, ok := d.slot(ctx)
	if !ok {
		return 0, ctx.Err()
	}
	defer release()
	c, _, err := d.api.ContainerInspectWithRaw(ctx, id, true)
	if err != nil {
		return 0, err
	}
	var n int64
	if c.SizeRw != nil {
		n = *c.SizeRw
	}
	d.sizes.put(id, n)
	return n, nil
}

func (s *sizeCache) put(id string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.m == nil {
		s.m = map[string]measured{}
	}
	for k, v := range s.m {
		if now.Sub(v.at) > 10*sizeTTL {
			delete(s.m, k)
		}
	}
	s.m[id] = measured{now, n}
}

// watchDisk does what the storage driver cannot.
func (d *Docker) watchDisk() {
	if d.quotaEnforced() {
		return
	}
	d.mu.RLock()
	var all []*instance
	for _, i := range d.instances {
		if i.w.DiskMB > 0 && i.snapshot().State == node.Running {
			all = append(all, i)
		}
	}
	d.mu.RUnlock()
	for _, i := range all {
		if n, err := d.layerSize(d.ctx, i.containerID()); err == nil {
			i.diskUsed(n)
		}
	}
}

func (i *instance) diskUsed(n int64) {
	quota := int64(i.w.DiskMB) << 20
	switch {
	case n > hardFactor*quota:
		i.mu.Lock()
		i.diskOver = fmt.Sprintf("killed: wrote %d MB, its disk quota is %d MB", n>>20, i.w.DiskMB)
		i.mu.Unlock()
		i.poke()
	case n > quota:
		i.set(func(s *node.Status) {
			s.Details = fmt.Sprintf("uses %d MB of its disk quota of %d MB; it is ended at %d MB", n>>20, i.w.DiskMB, hardFactor*i.w.DiskMB)
		})
	}
}

// outOfDisk ends an instance that wrote far too much. It begins again in a new container: a restart would
// keep the full layer.
func (i *instance) outOfDisk(ctx context.Context) {
	i.mu.Lock()
	details := i.diskOver
	i.diskOver = ""
	i.mu.Unlock()
	if details == "" || i.startedAt.IsZero() || i.w.Once {
		return
	}
	i.forget = true
	i.crashed(details, 0, false)
	if i.attached() {
		i.endAttached(ctx)
		return
	}
	i.startedAt = time.Time{}
	if err := i.recreate(ctx); err != nil {
		i.d.log.Warn("begin an instance afresh", "instance", i.id, "error", err)
	}
	if i.startDue.IsZero() {
		i.startDue = time.Now()
	}
}

// recreate replaces the container by a new one with the same configuration, not started. If we end in
// between, the workload is gone from the list and its owner starts another.
func (i *instance) recreate(ctx context.Context) error {
	old := i.containerID()
	c, err := i.d.api.ContainerInspect(ctx, old)
	if err != nil {
		return err
	}
	grace := stopGrace
	if err := i.d.api.ContainerStop(ctx, old, container.StopOptions{Timeout: &grace}); err != nil {
		return err
	}
	kept, err := i.d.takeOut(ctx, old, c.Config.Labels)
	if err != nil {
		return err
	}
	if err := i.d.remove(ctx, old); err != nil {
		return err
	}
	networks := i.d.nets.apps.endpoint(i.d.address(c))
	made, err := i.d.api.ContainerCreate(ctx, c.Config, c.HostConfig, networks, nil, i.d.containerName(i.id))
	if err == nil {
		err = i.d.putBack(ctx, made.ID, kept)
	}
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.container, i.deaths = made.ID, nil
	return nil
}
