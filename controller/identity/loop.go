package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// round is the time between two looks at what runs.
const round = 10 * time.Minute

// Engine lists what runs and takes new files for it; a node.Engine is one.
type Engine interface {
	List(ctx context.Context) ([]node.Status, error)
	UpdateFiles(ctx context.Context, id string, files map[string][]byte) error
}

// Loop gives workloads their files at the start (Finish) and new ones in time (Run). Its fields are set before
// use and not changed.
type Loop struct {
	DB     *store.DB
	Issuer *Issuer
	Engine Engine
	Log    *slog.Logger

	issued map[string]time.Time // by workload, as far as this process knows; of Run alone
}

// Finish returns what a workload of an app gets once its address is known (node.Workload.Finish).
func (l *Loop) Finish(id, appGUID string) func(address string) (node.Extra, error) {
	return func(address string) (node.Extra, error) {
		of, err := l.describe(id, appGUID, address)
		if err != nil {
			return node.Extra{}, err
		}
		files, err := l.Issuer.Files(of)
		return node.Extra{Env: Env(address), Files: files}, err
	}
}

func (l *Loop) describe(id, appGUID, address string) (Instance, error) {
	of := Instance{GUID: id, AppGUID: appGUID, Address: address}
	err := l.DB.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, appGUID)
		if err != nil {
			return err
		}
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return err
		}
		of.SpaceGUID, of.OrgGUID = space.GUID, space.OrgGUID
		return nil
	})
	if err != nil {
		return of, fmt.Errorf("app %s: %w", appGUID, err)
	}
	return of, nil
}

// Run renews until ctx ends. What a process that ended had issued is renewed at the first round.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(round)
	defer tick.Stop()
	for {
		if err := l.Step(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("instance certificates not all renewed; they are tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step renews what is old enough, one after another.
func (l *Loop) Step(ctx context.Context) error {
	all, err := l.Engine.List(ctx)
	if err != nil {
		return err
	}
	now := l.Issuer.now()
	known := make(map[string]time.Time, len(all))
	var errs []error
	for _, s := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.State != node.Running && s.State != node.Starting || s.Labels["app"] == "" {
			continue
		}
		at, ok := l.issued[s.ID]
		if !ok && now.Sub(s.StartedAt) < round {
			at, ok = s.StartedAt, true // it was given them as it was made
		}
		if !ok || now.Sub(at) >= renewAt {
			if err := l.renew(ctx, s); err != nil {
				errs = append(errs, err)
				continue
			}
			at = now
		}
		known[s.ID] = at
	}
	l.issued = known
	return errors.Join(errs...)
}

func (l *Loop) renew(ctx context.Context, s node.Status) error {
	of, err := l.describe(s.ID, s.Labels["app"], s.Address)
	if errors.Is(err, store.ErrNotFound) {
		return nil // its app is being deleted, and it with it
	}
	if err != nil {
		return err
	}
	files, err := l.Issuer.Files(of)
	if err != nil {
		return err
	}
	if err := l.Engine.UpdateFiles(ctx, s.ID, files); err != nil && !errors.Is(err, node.ErrNotFound) {
		return fmt.Errorf("instance %s: %w", s.ID, err)
	}
	return nil
}
