package api

import (
	"net/http"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const jobHold = 20 * time.Second

func (s *Server) jobRoutes() []Route {
	return []Route{get("/v3/jobs/{guid}", signedIn(), s.getJob)}
}

// completeJob writes a job that has ended well, for operations that are done within their request.
func completeJob(tx *store.Tx, operation, resourceType, resourceGUID string) (*store.Job, error) {
	j := &store.Job{Operation: operation, State: capi.JobComplete, ResourceType: resourceType, ResourceGUID: resourceGUID}
	return j, store.Jobs.Put(tx, j)
}

// getJob answers anybody who knows the job's GUID, which only its maker was told.
func (s *Server) getJob(c *Ctx) error {
	var job *store.Job
	_, err := c.hold(jobHold, func(tx *store.Tx) (done bool, err error) {
		job, err = store.Jobs.Get(tx, c.Path("guid"))
		return err == nil && job.State != capi.JobProcessing, err
	}, store.Jobs.Name())
	if err != nil {
		return notFound(err, "Job")
	}
	return c.JSON(http.StatusOK, s.presentJob(job))
}

func (s *Server) presentJob(j *store.Job) capi.Job {
	out := capi.Job{
		Resource: resource(&j.Meta), Operation: j.Operation, State: j.State,
		Links: capi.Links{"self": s.link("/v3/jobs/" + j.GUID)},
	}
	if j.ResourceGUID != "" {
		out.Links[j.ResourceType] = s.link("/v3/" + j.ResourceType + "s/" + j.ResourceGUID)
	}
	for _, e := range j.Errors {
		out.Errors = append(out.Errors, &capi.Error{Code: e.Code, Title: e.Title, Detail: e.Detail})
	}
	for _, w := range j.Warnings {
		out.Warnings = append(out.Warnings, capi.JobWarning{Detail: w})
	}
	return out
}
