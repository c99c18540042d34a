package nomad

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/hashicorp/nomad/api"
)

// mend puts a job of ours back that somebody edited, scaled or stopped by hand. Nomad keeps the versions of a job,
// and the first one is what we wrote: an instance's job is never changed by us, only made and removed.
func (e *Nomad) mend(ctx context.Context, id string) {
	e.mu.Lock()
	w := e.workloads[id]
	if w == nil || w.stopping || w.mending {
		e.mu.Unlock()
		return
	}
	w.mending = true
	e.mu.Unlock()
	index, err := e.putBack(ctx, id)
	e.mu.Lock()
	w.mending = false
	if errors.Is(err, errNoJob) || notFound(err) {
		if e.workloads[id] == w && !w.stopping { // else a Stop under way forgets it
			e.dropLocked(w)
		}
		err = nil
	}
	if err == nil && index > w.jobModify {
		w.jobModify = index
	}
	e.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		e.log.Warn("a job that was edited by hand is not yet put back", "instance", id, "error", err)
	}
}

// errNoJob says that somebody removed the job.
var errNoJob = errors.New("there is no such job")

// putBack returns the index of the job that is as it should be.
func (e *Nomad) putBack(ctx context.Context, id string) (uint64, error) {
	jobID := e.build.jobID(id)
	versions, _, _, err := e.api.Jobs().Versions(jobID, false, (&api.QueryOptions{}).WithContext(ctx))
	if err == nil && len(versions) == 0 {
		err = errNoJob
	}
	if err != nil {
		return 0, err
	}
	newest, ours := versions[0], (*api.Job)(nil)
	for _, v := range versions {
		if v.Version != nil && *v.Version == 0 {
			ours = v
		}
		if *v.Version > *newest.Version {
			newest = v
		}
	}
	if ours != nil && !isTrue(newest.Stop) && sameJob(ours, newest) {
		return *newest.JobModifyIndex, nil
	}
	if ours == nil { // edited so often that Nomad has forgotten the first: the controller makes it anew
		e.log.Warn("a job was edited by hand beyond recognition; it is removed and made anew", "instance", id)
		return 0, e.Stop(ctx, id, 0)
	}
	e.log.Warn("a job was edited by hand; it is put back", "instance", id)
	r, _, err := e.api.Jobs().Revert(jobID, 0, nil, (&api.WriteOptions{}).WithContext(ctx), "", "")
	if err != nil {
		return 0, err
	}
	return r.JobModifyIndex, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// sameJob compares what people write into jobs, not what Nomad notes there.
func sameJob(a, b *api.Job) bool {
	x, err := json.Marshal(plain(a))
	y, err2 := json.Marshal(plain(b))
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func plain(j *api.Job) *api.Job {
	c := *j
	c.Stop, c.Stable, c.Version, c.VersionTag = nil, nil, nil, nil
	c.Status, c.StatusDescription, c.SubmitTime = nil, nil, nil
	c.CreateIndex, c.ModifyIndex, c.JobModifyIndex = nil, nil, nil
	return &c
}
