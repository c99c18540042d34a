package logs

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Firehose serves Doppler's websockets, the older way to follow logs: /firehose/NAME has everything, shared among all
// who give the same name, /apps/GUID/stream one app. Messages are envelopes of the dropsonde protocol.
// /apps/GUID/recentlogs and /apps/GUID/containermetrics answer with what there is.
func (s *Store) Firehose(access Access) http.Handler {
	h := &firehoseHandler{s, access}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /firehose/{name}", h.firehose)
	mux.HandleFunc("GET /apps/{source}/stream", h.stream)
	mux.HandleFunc("GET /apps/{source}/recentlogs", h.recent)
	mux.HandleFunc("GET /apps/{source}/containermetrics", h.containerMetrics)
	mux.HandleFunc("/", nothingHere)
	return mux
}

type firehoseHandler struct {
	store  *Store
	access Access
}

func (h *firehoseHandler) firehose(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if len(name) > maxShard {
		writeStreamError(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("a subscription's name may have %d bytes at most", maxShard))
		return
	}
	filter := r.URL.Query().Get("filter-type")
	if filter != "" && filter != "logs" && filter != "metrics" {
		writeStreamError(w, http.StatusBadRequest, "bad_request", "filter-type must be logs or metrics")
		return
	}
	h.follow(w, r, "firehose/"+filter+"/"+name, h.access.All, func(e *Envelope) bool {
		return filter == "" || (filter == "logs") == (e.Type() == Log)
	})
}

func (h *firehoseHandler) stream(w http.ResponseWriter, r *http.Request) {
	source := r.PathValue("source")
	h.follow(w, r, "", h.mayRead(source), func(e *Envelope) bool {
		_, container := e.Gauges["cpu"]
		return e.SourceID == source && (container || e.Type() == Log || e.Type() == TimerType)
	})
}

func (h *firehoseHandler) mayRead(source string) func(r *http.Request) error {
	return func(r *http.Request) error {
		if !sourceGrammar.MatchString(source) {
			return ErrBadSource
		}
		return h.access.Source(r, source)
	}
}

// cookieAuthorization is where browsers, which can give no header to a websocket, have their token.
const cookieAuthorization = "authorization"

// authorized brings the token of a cookie to its place, and asks.
func authorized(r *http.Request, may func(*http.Request) error) error {
	if r.Header.Get("Authorization") == "" {
		cookie, err := r.Cookie(cookieAuthorization)
		if err != nil {
			return ErrUnauthorized
		}
		token, err := url.QueryUnescape(cookie.Value)
		if err != nil {
			return ErrUnauthorized
		}
		r.Header.Set("Authorization", token)
	}
	return may(r)
}

// follow sends what comes until the reader goes, may not any more, or the streams are to end.
func (h *firehoseHandler) follow(w http.ResponseWriter, r *http.Request, shard string, may func(*http.Request) error, match func(*Envelope) bool) {
	byCookie := r.Header.Get("Authorization") == ""
	if !answerAccess(w, authorized(r, may)) {
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		// a token in the header was put there on purpose; a cookie comes by itself, so there the origin counts
		InsecureSkipVerify: !byCookie, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	sub := h.store.Subscribe(shard, match)
	defer sub.Close()
	reader := conn.CloseRead(r.Context()) // readers say nothing but pong and close
	ctx, cancel := context.WithCancel(reader)
	defer cancel()
	defer context.AfterFunc(h.store.streams, cancel)()
	for {
		batch, dropped := nextUntil(ctx, sub, heartbeat)
		switch {
		case ctx.Err() != nil:
			_ = conn.Close(websocket.StatusGoingAway, "the server stops") // it may be gone already
			return
		case len(batch) == 0 && may(r) != nil:
			_ = conn.Close(websocket.StatusPolicyViolation, "the token has ended")
			return
		case len(batch) == 0:
			err = ping(reader, conn) // not ctx: whoever cancels a write cuts the connection, and no close is said
		default:
			err = h.send(reader, conn, batch, dropped)
		}
		if err != nil {
			return
		}
	}
}

func ping(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return conn.Ping(ctx)
}

// send sends a batch, after a line that tells what a slow reader has missed.
func (h *firehoseHandler) send(ctx context.Context, conn *websocket.Conn, batch []*Envelope, dropped uint64) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if dropped > 0 {
		first := batch[0]
		note := &Envelope{
			SourceID: first.SourceID, InstanceID: "0", Time: first.Time, Stderr: true, Tags: map[string]string{"origin": "doppler", "source_type": "LGR"},
			Payload: fmt.Appendf(nil, "%d messages were dropped because this reader is too slow", dropped),
		}
		batch = append([]*Envelope{note}, batch...)
	}
	for _, e := range batch {
		for _, m := range sonde(e) {
			if err := conn.Write(ctx, websocket.MessageBinary, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// recent answers with the newest lines, oldest first, one in each part.
func (h *firehoseHandler) recent(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, func(source string) ([]*Envelope, error) {
		found, err := h.store.Read(Query{SourceID: source, Types: []Type{Log}, Limit: maxReadLimit, Descending: true})
		slices.Reverse(found)
		return found, err
	})
}

// containerMetricsFor is how old a metric may be to count as that of now.
const containerMetricsFor = 5 * time.Minute

// containerMetrics answers with the newest of each instance.
func (h *firehoseHandler) containerMetrics(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, func(source string) ([]*Envelope, error) {
		all, err := h.store.Read(Query{
			SourceID: source, Types: []Type{GaugeType}, Descending: true, Start: h.store.clock().Add(-containerMetricsFor).UnixNano(),
		})
		seen := map[string]bool{}
		var newest []*Envelope
		for _, e := range all {
			if _, container := e.Gauges["cpu"]; container && !seen[e.InstanceID] {
				seen[e.InstanceID] = true
				newest = append(newest, e)
			}
		}
		slices.SortFunc(newest, func(a, b *Envelope) int { return strings.Compare(a.InstanceID, b.InstanceID) })
		return newest, err
	})
}

// answer writes envelopes as multipart/x-protobuf.
func (h *firehoseHandler) answer(w http.ResponseWriter, r *http.Request, read func(source string) ([]*Envelope, error)) {
	source := r.PathValue("source")
	if !answerAccess(w, authorized(r, h.mayRead(source))) {
		return
	}
	found, err := read(source)
	if err != nil {
		writeStreamError(w, http.StatusInternalServerError, "internal", "the log can't be read")
		return
	}
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for _, e := range found {
		for _, m := range sonde(e) {
			part, _ := parts.CreatePart(textproto.MIMEHeader{}) // a buffer takes everything
			_, _ = part.Write(m)
		}
	}
	_ = parts.Close()
	w.Header().Set("Content-Type", "multipart/x-protobuf; boundary="+parts.Boundary())
	_, _ = w.Write(body.Bytes()) // the client may be gone
}
