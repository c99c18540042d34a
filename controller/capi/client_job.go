package capi

import (
	"context"
	"net/http"
	"time"
)

// Answers of a server that holds a read until something changes come when there is news. From one that does
// not, they come at once; then the client waits between looks, longer each time.
const (
	pollFirst = 100 * time.Millisecond
	pollMost  = time.Second
)

// poll calls look until it is done or fails.
func poll(ctx context.Context, look func() (done bool, err error)) error {
	wait := pollFirst
	for {
		began := time.Now()
		done, err := look()
		if done || err != nil {
			return err
		}
		if held := time.Since(began); held > wait {
			wait = pollFirst
			continue
		}
		if err := pause(ctx, wait, nil); err != nil {
			return err
		}
		wait = min(wait*3/2, pollMost)
	}
}

// Job asks once for a job by its URL, which is what a 202 has as Location.
func (c *Client) Job(ctx context.Context, jobURL string) (*Job, error) {
	var job Job
	return &job, c.send(ctx, call{method: http.MethodGet, url: c.sameOrigin(jobURL)}, &job)
}

// WaitJob waits until a job is complete, tells its warnings, and returns the errors of one that failed.
func (c *Client) WaitJob(ctx context.Context, jobURL string) error {
	if jobURL == "" {
		return nil // done within the request
	}
	return poll(ctx, func() (bool, error) {
		job, err := c.Job(ctx, jobURL)
		if err != nil {
			return false, err
		}
		switch job.State {
		case JobComplete, JobFailed:
			for _, w := range job.Warnings {
				c.warn(w.Detail)
			}
		}
		return job.State == JobComplete, job.failure()
	})
}

// failure is the error of a job that failed, nil otherwise.
func (j *Job) failure() error {
	switch {
	case j.State != JobFailed:
		return nil
	case len(j.Errors) == 1:
		return j.Errors[0]
	case len(j.Errors) > 1:
		return &Errors{Errors: j.Errors}
	}
	return ServerError.Errorf("the operation %s failed and the API does not say why", j.Operation)
}

// changeJob is change for what the API does as a job: it waits for it.
func (c *Client) changeJob(ctx context.Context, method, path string, in, out any) error {
	cl := call{method: method, url: c.api + path}
	if in != nil {
		body, err := jsonBody(in)
		if err != nil {
			return err
		}
		cl.body, cl.contentType = body, "application/json"
	}
	return c.sendJob(ctx, cl, out)
}

func (c *Client) sendJob(ctx context.Context, cl call, out any) error {
	var jobURL string
	cl.jobURL = &jobURL
	if err := c.send(ctx, cl, out); err != nil {
		return err
	}
	return c.WaitJob(ctx, jobURL)
}
