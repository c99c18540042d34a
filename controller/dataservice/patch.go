package dataservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cupola-paas/cupola/store"
)

// patchSetting is where it is written down when the image of an offering last became another one; the offering's ID follows.
const patchSetting = "data_services.patch."

// patchTime is the form of that, which semantic versions take behind a plus sign.
const patchTime = "20060102150405"

// version is what plans of an offering tell as their maintenance_info: the version of the catalogue file, and when newer packages
// came into its image (semver.org, 10).
func (m *Manager) version(o *Offering) (version string, err error) {
	err = m.DB.View(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, patchSetting+o.ID)
		if errors.Is(err, store.ErrNotFound) {
			version = o.Version
			return nil
		}
		if err == nil {
			version = o.Version + "+" + string(s.Value)
		}
		return err
	})
	return version, err
}

// Refresh makes the images of the offerings that have instances with the newest packages. Where that, or the catalogue file, is
// another than what an instance of the current version runs by, the version becomes another, so that an upgrade is
// offered; instances stay as they are until they are upgraded. It reports whether any version has changed. One image that cannot
// be made keeps the others from nothing.
func (m *Manager) Refresh(ctx context.Context) (changed bool, err error) {
	running, err := m.runningByOffering()
	if err != nil {
		return false, err
	}
	for _, o := range m.Catalogue {
		if len(running[o.ID]) == 0 {
			continue
		}
		other, oneErr := m.refreshOne(ctx, o, running[o.ID])
		if oneErr != nil {
			err = errors.Join(err, fmt.Errorf("image of %s: %w", o.Name, oneErr))
		}
		changed = changed || other
	}
	return changed, err
}

func (m *Manager) runningByOffering() (map[string][]*store.DataService, error) {
	running := map[string][]*store.DataService{}
	err := m.DB.View(func(tx *store.Tx) error {
		for s := range store.DataServices.All(tx) {
			if s.ImageDigest != "" && s.State != store.DataDeleted && s.State != store.DataDeleting && s.State != store.DataFailed {
				running[s.OfferingID] = append(running[s.OfferingID], s)
			}
		}
		return nil
	})
	return running, err
}

func (m *Manager) refreshOne(ctx context.Context, o *Offering, running []*store.DataService) (changed bool, err error) {
	_, digest, err := m.Images.Image(ctx, o, true)
	if err != nil {
		return false, err
	}
	version, err := m.version(o)
	if err != nil {
		return false, err
	}
	for _, s := range running {
		if s.Version != version || s.ImageDigest == digest && bytes.Equal(s.Definition, o.source) {
			continue // it is behind already, or up to date
		}
		m.Log.Info("newer packages for data services", "offering", o.Name)
		return true, m.DB.Update(func(tx *store.Tx) error {
			at := tx.Now.UTC().Format(patchTime)
			return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: patchSetting + o.ID}, Value: []byte(at)})
		})
	}
	return false, nil
}
