package nomad

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cupola-paas/cupola/node"
)

// Prepull implements node.Reserver.
func (e *Nomad) Prepull(ctx context.Context, machine, image string) error {
	m := e.memberAt(machine)
	for _, other := range e.answeringAll() {
		if other == m {
			return e.prepullAt(ctx, m, image)
		}
	}
	return fmt.Errorf("%w: node %s does not answer", node.ErrUnavailable, machine)
}

// Spread has every machine that answers fetch an image before it is needed there. Those that cannot now are named in the
// error; they fetch it when they need it.
func (e *Nomad) Spread(ctx context.Context, image string) error {
	all := e.answeringAll()
	errs := make([]error, len(all))
	var work sync.WaitGroup
	for n, m := range all {
		work.Go(func() { errs[n] = e.prepullAt(ctx, m, image) })
	}
	work.Wait()
	return errors.Join(errs...)
}

func (e *Nomad) prepullAt(ctx context.Context, m *member, image string) error {
	name, own := e.ownImage(image)
	if err := m.agent.Prepull(ctx, name, own); err != nil {
		return fmt.Errorf("node %s: %w", m.hostname, err)
	}
	return nil
}

// ownImage is the name of an image in the platform's registry, without its host; own is false for any other one, which
// keeps its reference.
func (e *Nomad) ownImage(image string) (name string, own bool) {
	if e.o.ImagePrefix == "" {
		return image, false
	}
	return strings.CutPrefix(image, e.o.ImagePrefix)
}
