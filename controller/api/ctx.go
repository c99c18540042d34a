package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/store"
)

// Ctx is one request on its way through the API. It belongs to the goroutine of its request.
type Ctx struct {
	R      *http.Request
	W      http.ResponseWriter
	Filter *Filter

	s         *Server
	route     *Route
	who       *auth.Identity
	requestID string
	warnings  []string
	place     Place            // of the resource that the path names, once the guard has found it
	allowed   bool             // the guard, or the handler for what the body names, has said yes
	joinToken *store.NodeToken // that a joining machine came with
}

// Context ends when the client goes away or the server stops.
func (c *Ctx) Context() context.Context { return c.R.Context() }

// Path returns a wildcard of the route's pattern.
func (c *Ctx) Path(name string) string { return c.R.PathValue(name) }

// Warn adds a sentence to the X-Cf-Warnings header.
func (c *Ctx) Warn(text string) { c.warnings = append(c.warnings, text) }

// View runs fn in a read transaction.
func (c *Ctx) View(fn func(*store.Tx) error) error { return c.s.db.View(fn) }

// Update runs fn in a write transaction in which the caller's permission is checked again, so that a role
// that was taken away in the meantime counts. A handler that never asked whether the caller may is not
// committed: default deny.
func (c *Ctx) Update(fn func(*store.Tx) error) error {
	return c.s.db.Update(func(tx *store.Tx) error {
		c.allowed = false
		if err := c.s.guard(c, tx); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		if !c.allowed {
			return errUnguarded
		}
		return nil
	})
}

// JSON writes v as the response.
func (c *Ctx) JSON(status int, v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // links have ampersands, and people read them
	if err := encoder.Encode(v); err != nil {
		return err
	}
	c.head("application/json; charset=utf-8")
	c.W.WriteHeader(status)
	_, _ = c.W.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n"))) // a client that has gone away is no error of ours
	return nil
}

// NoContent answers 204.
func (c *Ctx) NoContent() error {
	c.head("")
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// Accepted answers 202 with a Location that leads to the job, and body unless it is nil.
func (c *Ctx) Accepted(jobGUID string, body any) error {
	c.W.Header().Set("Location", c.s.link("/v3/jobs/"+jobGUID).Href)
	if body != nil {
		return c.JSON(http.StatusAccepted, body)
	}
	c.head("application/json; charset=utf-8")
	c.W.WriteHeader(http.StatusAccepted)
	return nil
}

// UpdateOrJob changes something in one transaction, and answers 202 where that is left to a job, else as done does.
func (c *Ctx) UpdateOrJob(change func(*store.Tx) (*store.Job, error), done func() error) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) (err error) {
		job, err = change(tx)
		return err
	})
	switch {
	case err != nil:
		return err
	case job != nil:
		return c.Accepted(job.GUID, nil)
	}
	return done()
}

func (c *Ctx) head(contentType string) {
	h := c.W.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if len(c.warnings) > 0 {
		escaped := make([]string, len(c.warnings))
		for i, w := range c.warnings {
			escaped[i] = url.QueryEscape(w)
		}
		h.Set("X-Cf-Warnings", strings.Join(escaped, ","))
	}
}
