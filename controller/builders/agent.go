package builders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
)

// agent speaks to the Node of one machine for as long as a build takes.
type agent struct {
	address string
	http    *http.Client
}

// with calls fn with connections to a machine, and ends them.
func (c *Cluster) with(machine string, fn func(a *agent) error) error {
	address, config, err := c.o.Reach(machine)
	if err != nil {
		return err
	}
	t := &http.Transport{TLSClientConfig: config, DialContext: (&net.Dialer{Timeout: askTime, KeepAlive: beat}).DialContext, TLSHandshakeTimeout: askTime}
	defer t.CloseIdleConnections()
	return fn(&agent{address, &http.Client{Transport: t}})
}

// send makes one request. Its answer is to be closed.
func (a *agent) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+a.address+path, body)
	if err != nil {
		return nil, err
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	f := failure{}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxOrder)).Decode(&f); err != nil || f.Message == "" {
		return nil, fmt.Errorf("the agent answered with status %d", res.StatusCode)
	}
	return nil, f.err()
}

func (a *agent) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	res, err := a.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(out)
}

func (a *agent) missing(ctx context.Context, keys []string) (missing []string, err error) {
	return missing, a.call(ctx, http.MethodPost, uploadPath, keys, &missing)
}

// upload brings one buildpack; it takes as long as it takes, but not without a sign of life.
func (a *agent) upload(ctx context.Context, key string, bits io.Reader) error {
	w := watch(ctx)
	defer w.stop()
	res, err := a.send(w.ctx, http.MethodPut, uploadPath+key, w.reader(bits, true))
	if err != nil {
		return w.why(err)
	}
	return res.Body.Close()
}

func (a *agent) sweepCaches(ctx context.Context, keep func(id string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	var ids []string
	err := a.call(ctx, http.MethodGet, cachePath, nil, &ids)
	for _, id := range ids {
		if err == nil && !keep(id) {
			err = a.call(ctx, http.MethodDelete, cachePath+"/"+url.PathEscape(id), nil, &struct{}{})
		}
	}
	return err
}

// build sends the order with the bits of the package and passes the log on until the build has ended.
func (a *agent) build(ctx context.Context, o *order, bits io.Reader, log io.Writer) (*buildpack.Result, error) {
	head, err := o.encode()
	if err != nil {
		return nil, err
	}
	w := watch(ctx)
	defer w.stop()
	leased := make(chan struct{})
	go func() {
		defer close(leased)
		a.lease(w.ctx, o.Request.ID)
	}()
	defer func() { w.stop(); <-leased }()
	res, err := a.send(w.ctx, http.MethodPost, runPath+o.Request.ID, w.reader(io.MultiReader(bytes.NewReader(head), bits), false))
	if err != nil {
		return nil, w.why(err)
	}
	defer res.Body.Close()
	for in := json.NewDecoder(w.reader(res.Body, false)); ; {
		var m message
		if err := in.Decode(&m); err != nil {
			return nil, w.why(fmt.Errorf("the connection broke: %w", err))
		}
		switch {
		case m.Failure != nil:
			return nil, m.Failure.err()
		case m.Result != nil:
			return m.Result, nil
		}
		if _, err := log.Write(m.Log); err != nil {
			return nil, err
		}
	}
}

// lease asks for the build again and again, so that the machine ends it when nobody does.
func (a *agent) lease(ctx context.Context, id string) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, silence)
		_ = a.call(ask, http.MethodPost, runPath+id+"/lease", nil, &struct{}{}) // the silence of the stream is what counts
		cancel()
	}
}

// watched ends its context when nothing has passed for a while.
type watched struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

var errSilent = errors.New("it has not said anything for " + silence.String())

func watch(ctx context.Context) *watched {
	w := &watched{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(silence, func() { w.cancel(errSilent) })
	return w
}

func (w *watched) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// why prefers the reason for which we broke the connection.
func (w *watched) why(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

// reader notes what passes. What is read to its end where pause is set may be followed by a long silence: the machine unpacks.
func (w *watched) reader(r io.Reader, pause bool) io.Reader { return &watchedReader{w, r, pause} }

type watchedReader struct {
	w     *watched
	r     io.Reader
	pause bool
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	switch {
	case n > 0:
		r.w.timer.Reset(silence)
	case err == io.EOF && r.pause:
		r.w.timer.Reset(unpackTime)
	}
	return n, err
}

// unpackTime bounds the unpacking of a buildpack on a machine.
const unpackTime = 5 * time.Minute
