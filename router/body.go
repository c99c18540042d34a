package router

import (
	"errors"
	"io"
	"net/http"
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

func newRequestBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) *requestBody {
	return &requestBody{src: r.Body, control: http.NewResponseController(w), timeout: timeout}
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
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout)) // unsupported only by test recorders
	return nil
}

func (b *requestBody) endLocked(err error) {
	b.ended = true
	if err != io.EOF {
		b.err = err
	}
	if !b.finished {
		_ = b.control.SetReadDeadline(time.Time{}) // the server goes on watching the connection
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
		_ = b.control.SetReadDeadline(time.Now().Add(lingering)) // the server waits for a read under way
	}
	return b.n
}
