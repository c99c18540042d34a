package docker

import (
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/node"
)

// lastLines is how long a removal waits for log streams that still read.
const lastLines = 2 * time.Second

// Stop implements node.Engine.
func (d *Docker) Stop(ctx context.Context, id string, grace time.Duration) error {
	defer d.lock(id)()
	i := d.find(id)
	if i == nil {
		return d.unavailable() // while Docker is away, what is not in memory may still exist
	}
	i.mu.Lock()
	i.stopping = true
	i.mu.Unlock()
	i.set(func(*node.Status) {})
	seconds := graceSeconds(grace)
	err := d.api.ContainerStop(ctx, i.containerID(), container.StopOptions{Timeout: &seconds})
	if err != nil && !notFound(err) {
		return failed("stop workload "+id, err)
	}
	i.waitReaders(ctx)
	if err := d.remove(ctx, i.containerID()); err != nil {
		return failed("remove workload "+id, err)
	}
	d.forget(i)
	return nil
}

func graceSeconds(grace time.Duration) int {
	switch {
	case grace == 0:
		return stopGrace
	case grace < 0:
		return 0
	}
	return int((grace + time.Second - 1) / time.Second)
}

// remove returns when the container is gone, also when somebody else is removing it.
func (d *Docker) remove(ctx context.Context, containerID string) error {
	err := d.api.ContainerRemove(ctx, containerID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case err == nil || notFound(err):
		return nil
	case !conflict(err):
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	gone, errs := d.api.ContainerWait(ctx, containerID, container.WaitConditionRemoved)
	select {
	case <-gone:
		return nil
	case err := <-errs:
		if notFound(err) {
			return nil
		}
		return err
	}
}

func (i *instance) isStopping() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopping
}

// finishStop removes a container whose Stop was cut off after the process had ended.
func (i *instance) finishStop(ctx context.Context, c container.InspectResponse) {
	i.stopProbes()
	i.startDue = time.Time{}
	if c.State.Running {
		return
	}
	i.waitReaders(ctx)
	if err := i.d.remove(ctx, c.ID); err != nil {
		i.d.log.Warn("remove a stopped instance", "instance", i.id, "error", err)
		return
	}
	i.d.forget(i)
}

// Purge removes all containers, networks and rules of this installation. Close the engine afterwards.
func (d *Docker) Purge(ctx context.Context) error {
	list, err := d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: d.filter()})
	if err != nil {
		return failed("list containers", err)
	}
	var work errgroup.Group
	work.SetLimit(8)
	for _, c := range list {
		if i := d.find(c.Labels[labelID]); i != nil {
			i.mu.Lock()
			i.stopping = true
			i.mu.Unlock()
		}
		work.Go(func() error { return failed("remove container "+c.ID, d.remove(ctx, c.ID)) })
	}
	err = work.Wait()
	for _, c := range list {
		if i := d.find(c.Labels[labelID]); i != nil && err == nil {
			d.forget(i) // now, and not when Docker tells: volumes may be removed next
		}
	}
	return errors.Join(err, d.removeNetworks(ctx), d.fw.remove())
}
