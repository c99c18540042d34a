package docker

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"github.com/cupola-paas/cupola/node"
)

// diskUsagePause is between two tries to have Docker add up its disk.
const diskUsagePause = 200 * time.Millisecond

// Volumes are local volumes of Docker with our labels, found again by them. Nothing in this package removes one but
// RemoveVolume: containers are removed with their anonymous volumes alone, and Purge leaves volumes where they are.

func (d *Docker) volumeName(id string) string { return "cupola-" + d.o.Installation + "-volume-" + id }

func checkVolumes(volumes []node.Volume) error {
	for i, v := range volumes {
		switch {
		case !workloadID.MatchString(v.ID):
			return fmt.Errorf("volume id %q: use up to 128 letters, digits, dots, dashes and underscores", v.ID)
		case !path.IsAbs(v.Path) || path.Clean(v.Path) != v.Path || v.Path == "/":
			return fmt.Errorf("volume %s: path %q: name an absolute path below /", v.ID, v.Path)
		}
		for _, other := range volumes[:i] {
			if other.ID == v.ID || other.Path == v.Path {
				return fmt.Errorf("volume %s: named twice, or twice at %s", v.ID, v.Path)
			}
		}
	}
	return nil
}

// mounts are the volumes in a container, the only mounts that a container has.
func (d *Docker) mounts(volumes []node.Volume) []mount.Mount {
	var all []mount.Mount
	for _, v := range volumes {
		all = append(all, mount.Mount{Type: mount.TypeVolume, Source: d.volumeName(v.ID), Target: v.Path})
	}
	return all
}

// ensureVolumes makes those that are missing. One by that name that is not ours is refused.
func (d *Docker) ensureVolumes(ctx context.Context, volumes []node.Volume) error {
	for _, v := range volumes {
		have, err := d.api.VolumeCreate(ctx, volume.CreateOptions{
			Name: d.volumeName(v.ID), Driver: "local",
			Labels: map[string]string{LabelInstallation: d.o.Installation, labelVolume: v.ID},
		}) // of one that exists it returns what is there
		if err != nil {
			return failed("volume "+v.ID, err)
		}
		if have.Labels[LabelInstallation] != d.o.Installation || have.Labels[labelVolume] != v.ID {
			return fmt.Errorf("volume %s: a volume named %s exists and is not ours", v.ID, have.Name)
		}
	}
	return nil
}

// volumesFreeLocked says ErrVolumeInUse when another workload has one of w's volumes.
func (d *Docker) volumesFreeLocked(w node.Workload) error {
	for _, v := range w.Volumes {
		if by := d.usersLocked(v.ID); len(by) > 0 && !slices.Equal(by, []string{w.ID}) {
			return fmt.Errorf("workload %s: volume %s: %w by %s", w.ID, v.ID, node.ErrVolumeInUse, by[0])
		}
	}
	return nil
}

// usersLocked are the workloads that have a volume or are about to.
func (d *Docker) usersLocked(volumeID string) []string {
	var all []string
	has := func(w node.Workload) bool {
		return slices.ContainsFunc(w.Volumes, func(v node.Volume) bool { return v.ID == volumeID })
	}
	for id, i := range d.instances {
		if has(i.w) {
			all = append(all, id)
		}
	}
	for id, w := range d.pending {
		if has(w) && !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// Volumes implements node.Engine.
func (d *Docker) Volumes(ctx context.Context) ([]node.VolumeStatus, error) {
	usage, err := d.volumeUsage(ctx)
	if err != nil {
		return nil, failed("list volumes", err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []node.VolumeStatus
	for _, v := range usage.Volumes {
		if v.Labels[LabelInstallation] != d.o.Installation || v.Labels[labelVolume] == "" {
			continue
		}
		s := node.VolumeStatus{ID: v.Labels[labelVolume], UsedBytes: -1, UsedBy: d.usersLocked(v.Labels[labelVolume])}
		if at, err := time.Parse(time.RFC3339, v.CreatedAt); err == nil {
			s.CreatedAt = at
		}
		if v.UsageData != nil {
			s.UsedBytes = v.UsageData.Size
		}
		all = append(all, s)
	}
	return all, nil
}

// volumeUsage waits while somebody else on the machine has Docker add up its disk: Docker before version 23 refuses a
// second time meanwhile.
func (d *Docker) volumeUsage(ctx context.Context) (types.DiskUsage, error) {
	for {
		usage, err := d.api.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
		if err == nil || !addingUp(err) {
			return usage, err
		}
		select {
		case <-ctx.Done():
			return usage, err
		case <-time.After(diskUsagePause):
		}
	}
}

// RemoveVolume implements node.Engine. Docker refuses as well while any container has it.
func (d *Docker) RemoveVolume(ctx context.Context, id string) error {
	if !workloadID.MatchString(id) {
		return fmt.Errorf("volume id %q: use up to 128 letters, digits, dots, dashes and underscores", id)
	}
	d.mu.RLock()
	by := d.usersLocked(id)
	d.mu.RUnlock()
	if len(by) > 0 {
		return fmt.Errorf("remove volume %s: %w by %s", id, node.ErrVolumeInUse, by[0])
	}
	have, err := d.api.VolumeInspect(ctx, d.volumeName(id))
	switch {
	case notFound(err):
		return nil
	case err != nil:
		return failed("remove volume "+id, err)
	case have.Labels[LabelInstallation] != d.o.Installation || have.Labels[labelVolume] != id:
		return fmt.Errorf("remove volume %s: %s is not ours", id, have.Name)
	}
	err = d.api.VolumeRemove(ctx, have.Name, false)
	if err != nil && conflict(err) {
		return fmt.Errorf("remove volume %s: %w: %v", id, node.ErrVolumeInUse, err)
	}
	if err != nil && !notFound(err) {
		return failed("remove volume "+id, err)
	}
	return nil
}
