package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	// refreshEvery is how long an open page rests between two readings.
	refreshEvery = 2 * time.Second
	// streamWrite is how long a browser may take to take an event.
	streamWrite = 20 * time.Second
	// quietMost is after how many readings without news something is said, so that a dead connection is noticed.
	quietMost = 8
)

// isStream tells the stream of a page from the page.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
}

var errTooManyStreams = errors.New("too many pages of this session are open: close some")

// eventStream writes server-sent events (HTML Living Standard 9.2).
type eventStream struct {
	w    http.ResponseWriter
	ctl  *http.ResponseController
	ctx  context.Context // ends with the request, or with the dashboard
	done func()
}

func (d *Dashboard) openStream(w http.ResponseWriter, q *ask) (*eventStream, error) {
	free, ok := q.s.listen()
	if !ok {
		return nil, errTooManyStreams
	}
	ctx, cancel := context.WithCancel(q.r.Context())
	stop := context.AfterFunc(d.ending, cancel)
	w.Header().Set("Content-Type", "text/event-stream")
	return &eventStream{w, http.NewResponseController(w), ctx, func() { stop(); cancel(); free() }}, nil
}

// send writes one event; its error means that nobody listens any more.
func (e *eventStream) send(name string, data any) error { return e.sendAt("", name, data) }

// sendAt writes one event with a place: a browser that lost the stream asks for what comes after it.
func (e *eventStream) sendAt(place, name string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if place != "" {
		name += "\nid: " + place
	}
	_ = e.ctl.SetWriteDeadline(time.Now().Add(streamWrite)) // not every writer has one
	if _, err := e.w.Write([]byte("event: " + name + "\ndata: " + string(body) + "\n\n")); err != nil {
		return err
	}
	return e.ctl.Flush()
}

func (e *eventStream) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-e.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stream reads a page again and again and sends what changed, until the browser goes away or the session is over. An
// API that does not answer is said, once, and the page goes on when it is back.
func (d *Dashboard) stream(w http.ResponseWriter, q *ask, read reader) error {
	e, err := d.openStream(w, q)
	if err != nil {
		return err
	}
	defer e.done()
	sent, down, quiet := map[string][]byte{}, false, 0
	for {
		if q.s.over(d.now()) {
			return ignoreGone(e.send("signed-out", nil))
		}
		parts, err := d.readParts(e.ctx, q, read)
		switch {
		case e.ctx.Err() != nil:
			return nil
		case err != nil && loginEnded(err):
			return ignoreGone(e.send("signed-out", nil))
		case err != nil && statusOf(err) < 500:
			return ignoreGone(e.send("gone", reason(err)))
		case err != nil && !down:
			down = true
			err = e.send("down", reason(err))
		case err == nil:
			err = sendNews(e, parts, sent, &quiet, down)
			down = false
		default:
			err = e.send("alive", nil)
		}
		if err != nil || !e.wait(refreshEvery) {
			return nil
		}
	}
}

// ignoreGone is for the last event of a stream: there is nobody to tell that it was not taken.
func ignoreGone(error) error { return nil }

func sendNews(e *eventStream, parts map[string]tree, sent map[string][]byte, quiet *int, wasDown bool) error {
	news := map[string]json.RawMessage{}
	for name, part := range parts {
		body, err := json.Marshal(part)
		if err != nil {
			return err
		}
		if !bytes.Equal(sent[name], body) {
			sent[name], news[name] = body, body
		}
	}
	if *quiet++; len(news) > 0 || wasDown {
		*quiet = 0
		return e.send("parts", news)
	}
	if *quiet >= quietMost {
		*quiet = 0
		return e.send("alive", nil)
	}
	return nil
}

func (d *Dashboard) readParts(ctx context.Context, q *ask, read reader) (map[string]tree, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	shown, err := read(ctx, q)
	if err != nil {
		return nil, err
	}
	d.dress(q, shown.view.base())
	var b bytes.Buffer
	if err := d.pages[shown.template].ExecuteTemplate(&b, "layout", shown.view); err != nil {
		return nil, err
	}
	return liveParts(b.Bytes())
}
