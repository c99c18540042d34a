package builders

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
)

// stream sends what a build says, and signs of life while it says nothing.
type stream struct {
	mu      sync.Mutex // held while something is sent
	out     *json.Encoder
	control *http.ResponseController
	ended   chan struct{}
	work    sync.WaitGroup
}

func newStream(w http.ResponseWriter) *stream {
	s := &stream{out: json.NewEncoder(w), control: http.NewResponseController(w), ended: make(chan struct{})}
	s.send(message{})
	s.work.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-s.ended:
				return
			case <-tick.C:
				s.send(message{})
			}
		}
	})
	return s
}

// send: a client that has left ends the request's context, and so the build.
func (s *stream) send(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Encode(m) == nil {
		_ = s.control.Flush()
	}
}

// Write sends a part of the log.
func (s *stream) Write(p []byte) (int, error) {
	s.send(message{Log: p})
	return len(p), nil
}

func (s *stream) end(result *buildpack.Result, err error) {
	close(s.ended)
	s.work.Wait()
	m := message{Result: result}
	if err != nil {
		m = message{Failure: failureOf(err)}
	}
	s.send(m)
}
