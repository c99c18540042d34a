package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

const (
	samplePause  = 200 * time.Millisecond // between two samples when there is no earlier one
	sampleMaxAge = 30 * time.Second       // of an earlier sample that still tells of the present
)

// meter keeps the sample before, since CPU is a difference.
type meter struct {
	mu      sync.Mutex
	run     time.Time // of which run of the container
	last    sample
	percent float64 // cores between the last two samples
}

// Usage implements node.Engine. Without ids it is about all workloads.
func (d *Docker) Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error) {
	if err := d.unavailable(); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	all := map[string]node.Usage{}
	var work errgroup.Group
	work.SetLimit(64) // most of them sleep between two samples
	for _, i := range d.pick(ids) {
		work.Go(func() error {
			u, err := i.usage(ctx)
			if err != nil { // it ended meanwhile
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			all[i.id] = u
			return nil
		})
	}
	_ = work.Wait() // they return nil
	return all, ctx.Err()
}

func (d *Docker) pick(ids []string) []*instance {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var some []*instance
	if len(ids) == 0 {
		for _, i := range d.instances {
			some = append(some, i)
		}
	}
	for _, id := range ids {
		if i := d.instances[id]; i != nil {
			some = append(some, i)
		}
	}
	return some
}

func (i *instance) usage(ctx context.Context) (node.Usage, error) {
	s := i.snapshot()
	if s.State != node.Running && s.State != node.Starting && s.State != node.Stopping || s.StartedAt.IsZero() {
		return node.Usage{}, errNoCgroup
	}
	now, cores, err := i.measure(ctx, s.StartedAt)
	if err != nil {
		return node.Usage{}, err
	}
	disk, err := i.d.layerSize(ctx, i.containerID())
	if err != nil {
		return node.Usage{}, err
	}
	return node.Usage{Time: now.at, CPU: cores, MemoryBytes: now.memory, PIDs: now.pids, DiskBytes: disk}, nil
}

func (i *instance) measure(ctx context.Context, run time.Time) (sample, float64, error) {
	m := &i.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	now, err := i.sample(ctx)
	if err != nil {
		return now, 0, err
	}
	before := m.last
	if !m.run.Equal(run) || now.at.Sub(before.at) > sampleMaxAge || now.cpu < before.cpu {
		before = now
		select {
		case <-ctx.Done():
			return now, 0, ctx.Err()
		case <-time.After(samplePause):
		}
		if now, err = i.sample(ctx); err != nil {
			return now, 0, err
		}
	}
	m.run = run
	if span := now.at.Sub(before.at); span >= samplePause/2 {
		m.percent = float64(now.cpu-before.cpu) / float64(span)
		m.last = now
	}
	return now, m.percent, nil
}

// sample reads the control group, or asks Docker where that cannot be seen from here.
func (i *instance) sample(ctx context.Context) (sample, error) {
	i.mu.Lock()
	pid, id := i.statusPID, i.container
	i.mu.Unlock()
	if i.d.info.local && pid > 0 {
		if s, err := readCgroup(cgroupRoot, pid, id); err == nil {
			return s, nil
		}
	}
	return i.d.askStats(ctx, id)
}

func (d *Docker) askStats(ctx context.Context, id string) (sample, error) {
	release, ok := d.slot(ctx)
	if !ok {
		return sample{}, ctx.Err()
	}
	defer release()
	r, err := d.api.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return sample{}, err
	}
	defer r.Body.Close()
	var v container.StatsResponse
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		return sample{}, fmt.Errorf("statistics of container %s: %w", id, err)
	}
	cached := v.MemoryStats.Stats["inactive_file"]
	if total, ok := v.MemoryStats.Stats["total_inactive_file"]; ok {
		cached = total
	}
	return sample{
		at: v.Read, cpu: time.Duration(v.CPUStats.CPUUsage.TotalUsage),
		memory: max(int64(v.MemoryStats.Usage)-int64(cached), 0), pids: int(v.PidsStats.Current),
	}, nil
}
