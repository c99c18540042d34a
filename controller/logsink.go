package controller

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"strconv"
	"strings"
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
	s.append(src.AppGUID, src.Type, src.Instance, line.Time, line.Stderr, line.Text, cellTags(src))
}

// Life adds a line of the platform's about an instance.
func (s *logSink) Life(src collect.Source, sourceType, text string) {
	tags := cellTags(src)
	if sourceType == src.Type {
		delete(tags, "process_instance_id") // Last must not take it for something that the instance printed
	}
	s.append(src.AppGUID, sourceType, src.Instance, now(), false, []byte(text), tags)
}

// Metrics adds what an instance uses.
func (s *logSink) Metrics(src collect.Source, at time.Time, gauges map[string]collect.Gauge) {
	e := logs.Envelope{SourceID: src.AppGUID, InstanceID: src.Instance, Time: at, Tags: s.tags.of(src.AppGUID), Gauges: map[string]logs.Gauge{}}
	maps.Copy(e.Tags, cellTags(src))
	e.Tags["source_id"], e.Tags["instance_id"] = src.AppGUID, src.Instance
	for name, g := range gauges {
		e.Gauges[name] = logs.Gauge{Unit: g.Unit, Value: g.Value}
	}
	if err := s.store.Append(e); err != nil {
		s.log.Warn("metrics not kept", "app", src.AppGUID, "error", err)
	}
}

// cellTags are those of what comes from where an instance runs.
func cellTags(src collect.Source) map[string]string {
	tags := map[string]string{"process_instance_id": src.InstanceID, "origin": "rep"}
	if src.ProcessID != "" {
		tags["process_id"], tags["process_type"] = src.ProcessID, src.Process
	}
	return tags
}

// Last is the time of the newest kept line of this instance or task. Others of the same app may be ahead.
func (s *logSink) Last(src collect.Source) time.Time {
	return s.store.LastWhere(src.AppGUID, func(e *logs.Envelope) bool {
		return e.Tags["process_instance_id"] == src.InstanceID && strings.HasPrefix(e.Tags["source_type"], src.Type)
	})
}

// Staging returns a writer of a build's log that keeps some bytes a second; negative: all.
func (s *logSink) Staging(appGUID string, logRate int) staging.LineWriter {
	return &stagingLog{sink: s, app: appGUID, gate: collect.NewGate(logRate)}
}

// stagingLog cuts output into lines.
type stagingLog struct {
	sink *logSink
	app  string

	mu   sync.Mutex
	gate *collect.Gate
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
	at, line := now(), bytes.TrimRight(line, "\r")
	keep, note := w.gate.Pass(at, len(line))
	if note {
		line = w.gate.Note(at).Text
	}
	if keep || note {
		w.sink.append(w.app, "STG", platformInstance, at, false, line, nil)
	}
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

const (
	uriTagBytes  = 1024
	pathTagBytes = 256
)

// request adds how long the router took for a request.
func (s *logSink) request(a router.Access) {
	instance := strconv.Itoa(a.Index)
	tags := s.tags.of(a.AppGUID)
	maps.Copy(tags, map[string]string{
		"origin": "gorouter", "peer_type": "Server", "instance_id": instance, "process_id": a.ProcessGUID, "process_instance_id": a.InstanceID,
		"method": cut(a.Method, pathTagBytes), "uri": cut(a.ForwardedProto+"://"+a.Host+a.URI, uriTagBytes), "status_code": strconv.Itoa(a.Status),
		"content_length": strconv.FormatInt(a.BytesOut, 10), "request_id": a.RequestID, "remote_address": a.Remote,
		"user_agent": cut(a.UserAgent, pathTagBytes), "forwarded": cut(a.ForwardedFor, pathTagBytes), "routing_instance_id": a.InstanceID,
	})
	timer := &logs.Timer{Name: "http", Start: a.Started, Stop: a.Started.Add(a.Duration)}
	err := s.store.Append(logs.Envelope{SourceID: a.AppGUID, InstanceID: instance, Time: now(), Tags: tags, Timer: timer})
	if err != nil {
		s.log.Warn("metrics not kept", "app", a.AppGUID, "error", err)
	}
}

// cut leaves at most n bytes of what a stranger sent, and of its characters those that are UTF-8.
func cut(text string, n int) string {
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
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
