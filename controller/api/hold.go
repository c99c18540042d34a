package api

import (
	"context"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// hold calls look until it reports that there is something to tell, waiting for a change of the tables
// between two looks, for bound at most or until the client goes away (contract, 2.6). What look read last
// is what the caller presents, so the answer is always fresh. It reports whether it waited at all.
//
// It subscribes before the first look, so that no change falls between.
func (c *Ctx) hold(bound time.Duration, look func(*store.Tx) (settled bool, err error), tables ...store.TableName) (waited bool, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), min(bound, c.s.maxHold))
	defer cancel()
	changed := c.s.db.Watch(ctx, tables...)
	for {
		settled := false
		err = c.View(func(tx *store.Tx) error {
			settled, err = look(tx)
			return err
		})
		if err != nil || settled {
			return waited, err
		}
		select {
		case <-ctx.Done():
			return waited, nil
		case <-changed:
			waited = true
		}
	}
}
