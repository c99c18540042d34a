package controller

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/collect"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/controller/staging"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// logSink brings what the platform says about apps into the log store, with the tags that readers expect
// (contract 2.7): from the API, from staging, from instances, from the router.
type logSink struct {
	store *logs.Store
	tags  *tagger
	log   *slog.Logger
}

// Platform adds one line of the platform's own.
func (s *logSink) Platform(appGUID, sourceType, instance, text string) {
	s.append(appGUID, sourceType, instance, now(), false, []byte(text), nil)
}

func (s *logSink) append(app, sourceType, instance string, at time.Time, stderr bool, text []byte, more map[string]string) {
	tags := s.tags.of(app)
	tags["source_type"] = sourceType
	tags["instance_id"] = instance
	maps.Copy(tags, more)
	err := s.store.Append(logs.Envelope{SourceID: app, InstanceID: instance, Time: at, Stderr: stderr, Payload: text, Tags: tags})
	if err != nil {
		s.log.Warn("log line not kept", "app", app, "source", sourceType, "error", err)
	}
}

// Line adds a line that an instance or a task printed.
func (s *logSink) Line(src collect.Source, line node.LogLine) {
	more := map[string]string{"process_instance_id": src.InstanceID, "origin": "rep"}
	if src.ProcessID != "" {
		more["process_id"], more["process_type"] = src.ProcessID, src.Process
	}
	s.append(src.AppGUID, src.Type, src.Instance, line.Time, line.Stderr, line.Text, more)
}

// Last is the time of the newest kept line of this instance or task. Others of the same app may be ahead.
func (s *logSink) Last(src collect.Source) time.Time {
	return s.store.LastWhere(src.AppGUID, func(e *logs.Envelope) bool {
		return e.Tags["process_instance_id"] == src.InstanceID
	})
}

// Staging returns the writer of a build's log.
func (s *logSink) Staging(appGUID string) staging.LineWriter {
	return &stagingLog{sink: s, app: appGUID}
}

// stagingLog cuts output into lines.
type stagingLog struct {
	sink *logSink
	app  string

	mu   sync.Mutex
	rest []byte
}

// maxLine is where a line without end is cut.
const maxLine = 32 << 10

func (w *stagingLog) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			if len(w.rest) < maxLine {
				return len(p), nil
			}
			line, rest = w.rest[:maxLine], w.rest[maxLine:]
		}
		w.emit(line)
		w.rest = bytes.Clone(rest)
	}
}

func (w *stagingLog) emit(line []byte) {
	w.sink.append(w.app, "STG", platformInstance, now(), false, bytes.TrimRight(line, "\r"), nil)
}

// Close adds what came after the last line end.
func (w *stagingLog) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.emit(w.rest)
		w.rest = nil
	}
	return nil
}

// accessLog adds the router's line of a request to the app's log (source RTR).
func (s *Server) accessLog(a router.Access) {
	if a.AppGUID == "" || s.sink == nil {
		return
	}
	text := fmt.Sprintf("%s - [%s] %q %d %d %d %q %q %q %q x_forwarded_for:%q x_forwarded_proto:%q vcap_request_id:%q response_time:%.6f app_id:%q app_index:%q instance_id:%q x_cf_routererror:%q",
		a.Host, a.Started.UTC().Format("2006-01-02T15:04:05.000000000Z"), a.Method+" "+a.URI+" "+a.Proto, a.Status, a.BytesIn, a.BytesOut,
		a.Referer, a.UserAgent, a.Remote, a.Endpoint, a.ForwardedFor, a.ForwardedProto, a.RequestID, a.Duration.Seconds(),
		a.AppGUID, fmt.Sprint(a.Index), a.InstanceID, a.RouterError)
	s.sink.append(a.AppGUID, "RTR", platformInstance, now(), false, []byte(text), nil)
}

// tagger knows the names that go with an app's GUID. It forgets all of them when one changes, so that a
// rename shows without a restart.
type tagger struct {
	db *store.DB

	mu    sync.Mutex
	known map[string]map[string]string
}

func newTagger(db *store.DB) *tagger { return &tagger{db: db, known: map[string]map[string]string{}} }

// Run forgets on change until ctx ends.
func (t *tagger) Run(ctx context.Context) error {
	changed := t.db.Watch(ctx, store.Apps.Name(), store.Spaces.Name(), store.Orgs.Name())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			t.mu.Lock()
			clear(t.known)
			t.mu.Unlock()
		}
	}
}

// of returns a copy of the app's tags.
func (t *tagger) of(appGUID string) map[string]string {
	t.mu.Lock()
	tags, ok := t.known[appGUID]
	t.mu.Unlock()
	if ok {
		return maps.Clone(tags)
	}
	tags = t.read(appGUID)
	t.mu.Lock()
	t.known[appGUID] = tags
	t.mu.Unlock()
	return maps.Clone(tags)
}

func (t *tagger) read(appGUID string) map[string]string {
	tags := map[string]string{"app_id": appGUID, "origin": "cloud_controller"}
	_ = t.db.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, appGUID)
		if err != nil {
			return err
		}
		tags["app_name"] = app.Name
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return err
		}
		tags["space_id"], tags["space_name"] = space.GUID, space.Name
		org, err := store.Orgs.Get(tx, space.OrgGUID)
		if err == nil {
			tags["organization_id"], tags["organization_name"] = org.GUID, org.Name
		}
		return err
	})
	return tags
}
