package builders

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// fetchTime bounds the fetch of one image, and fetchRest is how long a machine that could not is left alone.
const (
	fetchTime = 10 * time.Minute
	fetchRest = 10 * time.Minute
)

// fetch is an image on a machine.
type fetch struct{ machine, image string }

// ahead has machines fetch images before they are needed.
type ahead struct {
	work sync.WaitGroup

	mu   sync.Mutex
	seen map[fetch]time.Time // when it may be asked for again; zero: it is there, or under way
}

// take reports whether it is to be fetched now.
func (a *ahead) take(f fetch, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	again, seen := a.seen[f]
	if seen && (again.IsZero() || now.Before(again)) {
		return false
	}
	a.seen[f] = time.Time{}
	return true
}

// failed has it asked for again later.
func (a *ahead) failed(f fetch, again time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[f] = again
}

// keep forgets what is of other machines: one that comes back is asked again.
func (a *ahead) keep(machines []node.Machine) {
	there := map[string]bool{}
	for _, m := range machines {
		there[m.ID] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.seen, func(f fetch, _ time.Time) bool { return !there[f.machine] })
}

// Run has each machine that builds fetch the images that builds begin with, as soon as it builds or there are newer ones, so that the
// first build need not wait for them. A machine that cannot is told of in the log, and asked again later.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.ahead.work.Wait()
	for {
		if err := c.fetchAhead(ctx); err != nil {
			c.o.Log.Warn("the images of builds are not known", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookTime):
		}
	}
}

// fetchAhead begins what is to be fetched now.
func (c *Cluster) fetchAhead(ctx context.Context) error {
	machines := c.builders()
	c.ahead.keep(machines)
	images, err := c.o.Images()
	if err != nil {
		return err
	}
	for _, m := range machines {
		for _, image := range images {
			f := fetch{m.ID, image}
			if isHere(m) || !c.ahead.take(f, time.Now()) {
				continue
			}
			c.ahead.work.Go(func() {
				err := c.fetch(ctx, m.ID, image)
				if err == nil || ctx.Err() != nil {
					return
				}
				c.ahead.failed(f, time.Now().Add(fetchRest))
				c.o.Log.Warn("a node does not have the image of builds yet", "node", m.Name, "image", image, "error", err)
			})
		}
	}
	return nil
}

func (c *Cluster) fetch(ctx context.Context, machine, image string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	return c.o.Engine.Prepull(ctx, machine, image)
}
