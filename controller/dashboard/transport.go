package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// answerBytes is the most that is taken of one answer of the API.
const answerBytes = 64 << 20

type callerKey struct{}

// caller is whose browser asked; the login server counts failed attempts by it.
type caller struct {
	addr      string
	forwarded []string
}

func withCaller(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{r.RemoteAddr, r.Header.Values("X-Forwarded-For")})
}

// inProcess calls handlers as if they were at the other end of a connection. The handler runs on the caller's
// goroutine, so nothing is left when RoundTrip returns.
type inProcess struct {
	hosts map[string]http.Handler // by name, without port
	log   *slog.Logger
}

// RoundTrip implements http.RoundTripper.
func (p *inProcess) RoundTrip(out *http.Request) (*http.Response, error) {
	if out.Body != nil {
		defer out.Body.Close()
	}
	ctx := out.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := p.hosts[out.URL.Hostname()]
	if h == nil {
		return nil, fmt.Errorf("the host %q is not part of this platform", out.URL.Hostname())
	}
	in := out.Clone(ctx)
	in.RequestURI, in.Host = out.URL.RequestURI(), out.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		in.RemoteAddr = c.addr
		if len(c.forwarded) > 0 {
			in.Header["X-Forwarded-For"] = c.forwarded
		}
	}
	w := &answer{header: http.Header{}}
	if !p.serve(h, w, in) {
		return nil, errors.New("it broke off its answer")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.response(out)
}

// serve reports whether there is an answer; a panic is one with status 500, as a client should not try it again.
func (p *inProcess) serve(h http.Handler, w *answer, r *http.Request) (ok bool) {
	defer func() {
		cause := recover()
		if cause == nil || cause == http.ErrAbortHandler {
			return
		}
		p.log.Error("handler panicked", "host", r.Host, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
		*w = answer{header: http.Header{}, status: http.StatusInternalServerError}
		ok = true
	}()
	h.ServeHTTP(w, r)
	return true
}

// answer takes what a handler writes.
type answer struct {
	header http.Header
	sent   http.Header // as they were at WriteHeader
	status int
	body   bytes.Buffer
	large  bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter; informational statuses are left out.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > answerBytes {
		a.large = true
		return 0, io.ErrShortWrite
	}
	return a.body.Write(b)
}

func (a *answer) response(r *http.Request) (*http.Response, error) {
	if a.large {
		return nil, fmt.Errorf("its answer is larger than %d MB", answerBytes>>20)
	}
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}
