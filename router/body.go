package router

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// requestBody is the client's body on its way to an endpoint. It notices whether it was read, which rules
// a second attempt out, and gives up on a client that sends nothing for a while.
//
// The transport may read it after the handler has returned; finish sees to it that such a read does no harm.
type requestBody struct {
	src     io.ReadCloser
	control *http.ResponseController
	timeout time.Duration

	mu       sync.Mutex
	read     bool
	finished bool
	ended    bool // src has returned an error, io.EOF included
	err      error
	n        int64
}

var errHandlerDone = errors.New("the request is over")

// lingering is how long a client that was answered before it had sent its body may hold its connection.
const lingering = 5 * time.Second

// newRequestBody wraps r's body, or returns nil if r has none. The client of a gRPC stream may be silent for
// as long as it likes.
func newRequestBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) *requestBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &requestBody{src: r.Body, control: http.NewResponseController(w), timeout: timeout}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		b.timeout = 0
		return b
	}
	b.deadline(time.Now().Add(timeout)) // also for a refusal: the server reads the rest of a small body
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	if err := b.arm(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n += int64(n)
	if err != nil {
		b.endLocked(err)
	}
	return n, err
}

func (b *requestBody) arm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return errHandlerDone
	}
	b.read = true
	if b.timeout > 0 {
		b.deadline(time.Now().Add(b.timeout))
	}
	return nil
}

func (b *requestBody) deadline(t time.Time) {
	_ = b.control.SetReadDeadline(t) // unsupported only by test recorders
}

func (b *requestBody) endLocked(err error) {
	b.ended = true
	switch {
	case err != io.EOF:
		b.err = err // a deadline that has passed stays: the server must not wait for the rest either
	case !b.finished:
		b.deadline(time.Time{}) // the server goes on watching the connection
	}
}

// relax lets the client take its time from now on: the app has begun to answer, and the two may be talking.
func (b *requestBody) relax() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timeout = 0
	if !b.ended && !b.finished {
		b.deadline(time.Time{})
	}
}

// Close leaves the body to the server: after a failed attempt another one may send it.
func (b *requestBody) Close() error { return nil }

func (b *requestBody) touched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// failure returns the error that ended the body early, or nil.
func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// finish ends the body with the handler and returns the bytes read.
func (b *requestBody) finish() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = true
	if !b.ended {
		b.deadline(time.Now().Add(lingering)) // the server waits for a read under way
	}
	return b.n
}
