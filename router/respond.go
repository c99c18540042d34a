package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

const copyBufferBytes = 32 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBufferBytes]byte) }}

// respond passes on the response of an app, or with a nil ep that of a route service.
func (x *exchange) respond(ep *endpoint, res *http.Response) {
	defer res.Body.Close()
	h := x.w.Header()
	copyResponseHeader(h, res)
	if ep != nil {
		setSticky(h, x.route.path, x.choice.id, ep)
	}
	announced := announceTrailers(h, res)
	x.w.WriteHeader(res.StatusCode)
	if err := x.copyBody(res); err != nil {
		x.access.Error = err
		// A response cut short must not look whole: the connection or stream is reset.
		panic(http.ErrAbortHandler)
	}
	x.copyTrailers(h, res, announced)
}

// copyResponseHeader adds the app's fields to h. It owns res.Header.
func copyResponseHeader(h http.Header, res *http.Response) {
	removeHopByHop(res.Header)
	id := h[headerVcapRequestID]
	for name, values := range res.Header {
		h[name] = values
	}
	h[headerVcapRequestID] = id // ours, whatever the app says
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess one
	}
}

func announceTrailers(h http.Header, res *http.Response) int {
	if len(res.Trailer) == 0 {
		return 0
	}
	names := make([]string, 0, len(res.Trailer))
	for name := range res.Trailer {
		names = append(names, name)
	}
	h["Trailer"] = []string{strings.Join(names, ", ")}
	delete(h, "Content-Length") // HTTP/1.1 has room for trailers only after chunks
	return len(names)
}

// copyTrailers sends the trailers, which are known once the body has been read.
func (x *exchange) copyTrailers(h http.Header, res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// Without this a response with an empty body would get a Content-Length, and no trailers.
	_ = http.NewResponseController(x.w).Flush()
	for name, values := range res.Trailer {
		if len(res.Trailer) != announced {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// copyBody passes the body on as it comes: what the app has flushed does not wait here for more. A header
// without a length is passed on at once, for the body may take its time. The last piece of a body of known
// length is flushed by the server together with the end of the response.
func (x *exchange) copyBody(res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	buf := copyBuffers.Get().(*[copyBufferBytes]byte)
	defer copyBuffers.Put(buf)
	flusher, _ := x.w.(http.Flusher)
	if flusher != nil && res.ContentLength < 0 {
		flusher.Flush()
	}
	for {
		n, readErr := res.Body.Read(buf[:])
		if n > 0 {
			written, err := x.w.Write(buf[:n])
			x.access.BytesOut += int64(written)
			if err != nil {
				return fmt.Errorf("send to the client: %w", err)
			}
			if flusher != nil && x.access.BytesOut != res.ContentLength && readErr == nil {
				flusher.Flush()
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return x.bodyError(readErr)
		}
	}
}

func (x *exchange) bodyError(err error) error {
	if cause := x.r.Context().Err(); cause != nil {
		return fmt.Errorf("the client left during the response: %w", cause)
	}
	x.rt.tally.endpointErrors.Add(1)
	return fmt.Errorf("instance %s at %s: response cut short: %w", x.access.InstanceID, x.access.Endpoint, err)
}
