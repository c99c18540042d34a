package scheduling

import (
	"errors"
	"regexp"

	"github.com/cupola-paas/cupola/store"
)

// sharedSegment is where apps run whose space and org have no isolation segment: on the nodes of no pool.
const sharedSegment = "shared"

// poolName is what engines take for a pool of nodes; a segment of another name goes by its GUID.
var poolName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// Pool is where the instances of an app may run: its space's isolation segment, else the one that its org has by
// default (CAPI v3, isolation segments). Empty: the common nodes.
func Pool(tx *store.Tx, app *store.App) (string, error) {
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if err != nil {
		return "", err
	}
	guid := space.IsolationSegmentGUID
	if guid == "" {
		org, err := store.Orgs.Get(tx, space.OrgGUID)
		if err != nil {
			return "", err
		}
		guid = org.DefaultIsolationSegmentGUID
	}
	if guid == "" {
		return "", nil
	}
	segment, err := store.IsolationSegments.Get(tx, guid)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case segment.Name == sharedSegment:
		return "", nil
	case poolName.MatchString(segment.Name) && segment.Name != "default" && segment.Name != "all":
		return segment.Name, nil
	}
	return segment.GUID, nil
}
