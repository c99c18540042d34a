package dashboard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// moveView is how far everything is on its way from one engine to the other.
type moveView struct {
	To           string // in words
	State        state
	Began, Ended time.Time // Ended is zero while it goes on
	Moved        meter
	Apps         []moveRow // that are not there yet, or will not be
	More         int       // of them that are not shown
}

type moveRow struct {
	App, Place string
	Href       string
	State      state
	Detail     string
	Here       int // instances at the target
	All        int
}

// movesShown is how many apps the page lists.
const movesShown = 20

// readMove is nil where nothing was ever moved, or there is one engine.
func readMove(ctx context.Context, c *capi.Client) (*moveView, error) {
	e, err := capi.Get[capi.Engine](ctx, c, "/v3/admin/engine?part=migration")
	if errors.Is(err, capi.UnableToPerform) {
		return nil, nil
	}
	if err != nil || e.Migration == nil {
		return nil, err
	}
	m := e.Migration
	v := &moveView{To: engineName(m.Target), Began: m.StartedAt.Time, State: state{toneWait, "going on"}}
	if m.EndedAt != nil {
		v.Ended, v.State = m.EndedAt.Time, state{toneOK, "done"}
		return v, nil
	}
	moved := 0
	for _, a := range e.Apps {
		if a.State == capi.MoveDone {
			moved++
			continue
		}
		if a.State == capi.MoveDelayed {
			v.State = state{toneBad, "delayed"}
		}
		row := moveRow{App: a.Name, Place: a.Org + " / " + a.Space, Href: "/apps/" + a.GUID, State: moveState(a.State), Detail: upper(a.Detail), Here: a.Nomad, All: a.Docker + a.Nomad}
		if m.Target == capi.EngineDocker {
			row.Here = a.Docker
		}
		v.Apps = append(v.Apps, row)
	}
	if over := len(v.Apps) - movesShown; over > 0 {
		v.Apps, v.More = v.Apps[:movesShown], over
	}
	v.Moved = meter{percent(int64(moved), int64(len(e.Apps))), "Apps that have moved", fmt.Sprintf("%d of %d apps", moved, len(e.Apps))}
	return v, nil
}

func engineName(engine string) string {
	if engine == capi.EngineDocker {
		return "Docker on the server's machine"
	}
	return "the cluster"
}

func moveState(s string) state {
	switch s {
	case capi.MoveGoesOn:
		return state{toneWait, "moving"}
	case capi.MoveDelayed:
		return state{toneBad, "delayed"}
	case capi.MoveTasks:
		return state{toneWait, "a task ends"}
	case capi.MoveNever:
		return state{toneOff, "stays"}
	}
	return state{toneOff, "to move"}
}
