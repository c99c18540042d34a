package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// streamBatch is how many envelopes come in one event.
	streamBatch = 100
	// heartbeat is how often a stream says that it lives, and asks whether its reader still may.
	heartbeat = 10 * time.Second
	// maxStreamSources is how many sources one stream may name.
	maxStreamSources = 500
	// maxShard is how long the name of a shard may be.
	maxShard = 200
	// writeTime is how long a reader may take to take a batch.
	writeTime = 30 * time.Second
)

// Stream serves the gateway of Cloud Foundry's reverse log proxy: GET /v2/read answers with what is said from then on, as
// server-sent events.
func (s *Store) Stream(access Access) http.Handler {
	h := &streamHandler{s, access}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/read", h.read)
	mux.HandleFunc("/", nothingHere)
	return mux
}

type streamHandler struct {
	store  *Store
	access Access
}

// selection is what a reader wants.
type selection struct {
	shard    string
	sources  []string // none: all
	types    []Type
	counters []string // names; none: all
	gauges   []string
}

// parseSelection reads the query of the gateway. Its error is for the reader.
func parseSelection(v url.Values) (*selection, error) {
	sel := &selection{shard: v.Get("shard_id"), sources: v["source_id"], counters: v["counter.name"], gauges: v["gauge.name"]}
	for name, t := range map[string]Type{
		"log": Log, "counter": CounterType, "gauge": GaugeType, "timer": TimerType, "event": EventType,
		"counter.name": CounterType, "gauge.name": GaugeType,
	} {
		if v.Has(name) {
			sel.types = append(sel.types, t)
		}
	}
	switch {
	case len(sel.types) == 0:
		return nil, errors.New("query cannot be empty: ask for log, counter, gauge, timer or event")
	case len(sel.sources) > maxStreamSources:
		return nil, fmt.Errorf("source_id may be there %d times at most", maxStreamSources)
	case len(sel.shard) > maxShard || len(v.Get("deterministic_name")) > maxShard:
		return nil, fmt.Errorf("shard_id and deterministic_name may have %d bytes at most", maxShard)
	}
	if sel.shard != "" {
		sel.shard = "rlp/" + sel.shard
	}
	return sel, nil
}

// match reports whether an envelope is wanted.
func (sel *selection) match(e *Envelope) bool {
	is := e.Type()
	if len(sel.sources) > 0 && !slices.Contains(sel.sources, e.SourceID) || !slices.Contains(sel.types, is) {
		return false
	}
	switch {
	case is == CounterType && len(sel.counters) > 0:
		return slices.Contains(sel.counters, e.Counter.Name)
	case is == GaugeType && len(sel.gauges) > 0:
		return slices.ContainsFunc(sel.gauges, func(name string) bool { _, has := e.Gauges[name]; return has })
	}
	return true
}

// may asks whether the sender of r may read all that is selected.
func (sel *selection) may(r *http.Request, access Access) error {
	if r.Header.Get("Authorization") == "" {
		return ErrUnauthorized
	}
	if len(sel.sources) == 0 {
		return access.All(r)
	}
	for _, source := range sel.sources {
		if !sourceGrammar.MatchString(source) {
			return ErrBadSource
		}
		if err := access.Source(r, source); err != nil {
			return err
		}
	}
	return nil
}

func (h *streamHandler) read(w http.ResponseWriter, r *http.Request) {
	sel, err := parseSelection(r.URL.Query())
	if err != nil {
		writeStreamError(w, http.StatusBadRequest, "empty_query", err.Error())
		return
	}
	if !answerAccess(w, sel.may(r, h.access)) {
		return
	}
	sub := h.store.Subscribe(sel.shard, sel.match)
	defer sub.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.store.streams, cancel)()
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	if out.begin() != nil {
		return
	}
	for {
		batch, _ := nextUntil(ctx, sub, heartbeat)
		switch {
		case ctx.Err() != nil && r.Context().Err() == nil:
			_ = out.event("closing", "closing due to graceful shutdown") // the last word to a reader that may be gone
			return
		case ctx.Err() != nil:
			return
		case len(batch) > 0:
			err = out.batch(batch)
		case sel.may(r, h.access) != nil:
			return // the token has ended, or a role is gone
		default:
			err = out.event("heartbeat", fmt.Sprint(h.store.clock().Unix()))
		}
		if err != nil {
			return
		}
	}
}

// nextUntil is Next that gives up after a time.
func nextUntil(ctx context.Context, sub *Subscription, wait time.Duration) ([]*Envelope, uint64) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.Next(ctx, streamBatch)
}

// answerAccess answers for an error of Access; without one it returns true.
func answerAccess(w http.ResponseWriter, err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrUnauthorized):
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeStreamError(w, http.StatusUnauthorized, "unauthorized", "give a valid bearer token")
	default:
		writeStreamError(w, http.StatusNotFound, "not_found", "resource not found")
	}
	return false
}

func writeStreamError(w http.ResponseWriter, status int, word, message string) {
	writeJSON(w, status, map[string]string{"error": word, "message": message})
}

// eventWriter writes server-sent events (HTML, 9.2).
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e *eventWriter) begin() error {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	e.w.WriteHeader(http.StatusOK)
	return e.control.Flush()
}

func (e *eventWriter) event(name, data string) error {
	return e.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data))
}

func (e *eventWriter) batch(envelopes []*Envelope) error {
	raw, err := json.Marshal(map[string]any{"batch": toWireBatch(envelopes)})
	if err != nil {
		return err
	}
	return e.write(fmt.Appendf(nil, "data: %s\n\n", raw))
}

func (e *eventWriter) write(b []byte) error {
	// a server that has no deadlines is as good: then the connection's own end counts
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.control.Flush()
}
