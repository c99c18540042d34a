// Package collect is the loop that brings what instances and tasks print into the log store. It follows each
// workload's output from where the log store ended, so that a restart of the platform neither loses nor
// repeats lines. The controller runs it.
package collect

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

const (
	resync = 10 * time.Minute       // between two looks at everything, against a change lost to a bug
	retry  = 200 * time.Millisecond // until a workload has been started, or the engine is back
	pause  = 20 * time.Millisecond
)

// Engine gives the output of a workload; a node.Engine is one.
type Engine interface {
	Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error
}

// Source says whose line it is, in the words of the log cache.
type Source struct {
	AppGUID    string
	Type       string // APP/PROC/WEB, APP/TASK/name
	Instance   string // index
	InstanceID string // GUID of the instance or task
	ProcessID  string // GUID of the process; empty for a task
	Process    string // its type
	LogRate    int    // bytes a second that are kept; negative: all
}

// Sink keeps lines.
type Sink interface {
	Line(Source, node.LogLine)
	// Last is the time of the newest line of this instance that is kept; zero if there is none.
	Last(Source) time.Time
}

// Loop collects. Its fields are set before Run and not changed.
type Loop struct {
	DB     *store.DB
	Engine Engine
	Sink   Sink
	Log    *slog.Logger

	rates     rates
	workers   sync.WaitGroup
	following map[string]context.CancelFunc // by workload id; owned by Run's goroutine
	ended     chan string
}

// Run follows until ctx ends and all followers have ended.
func (l *Loop) Run(ctx context.Context) error {
	l.following, l.ended = map[string]context.CancelFunc{}, make(chan string)
	ctx, cancel := context.WithCancel(ctx)
	defer l.workers.Wait()
	defer cancel()
	feed := l.DB.Follow(ctx, store.Instances.Name(), store.Tasks.Name())
	dirty, due := map[string]bool{}, time.Time{} // ids to look at, and when it is time for all of them
	for {
		changes := feed.Take()
		all := changes.All || !time.Now().Before(due)
		for _, table := range []store.TableName{store.Instances.Name(), store.Tasks.Name()} {
			for id := range changes.Of(table) {
				dirty[id] = true
			}
		}
		if err := l.step(ctx, all, dirty); err != nil {
			l.Log.Warn("logs are not all followed", "error", err)
			due = time.Time{}
		} else if clear(dirty); all {
			due = time.Now().Add(resync)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case id := <-l.ended:
			l.forget(id)
			dirty[id] = true
		case <-feed.Wake():
		case <-time.After(resync):
		}
	}
}

func (l *Loop) forget(id string) {
	if cancel, ok := l.following[id]; ok {
		cancel()
		delete(l.following, id)
	}
}

// step starts a follower for each of the workloads, or for each at all, that has none. A follower whose workload's
// record is gone ends by itself, when the engine has given the last line.
func (l *Loop) step(ctx context.Context, all bool, ids map[string]bool) error {
	sources := map[string]since{}
	err := l.DB.View(func(tx *store.Tx) error {
		instances, tasks, err := read(tx, all, ids)
		for _, i := range instances {
			if l.following[i.GUID] == nil {
				sources[i.GUID] = since{instanceSource(tx, i), i.CreatedAt}
			}
		}
		for _, t := range tasks {
			if l.following[t.GUID] == nil {
				sources[t.GUID] = since{taskSource(t), t.CreatedAt}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for id, s := range sources {
		l.follow(ctx, id, s)
	}
	return nil
}

// read returns the instances and the tasks that have not ended, all of them or those of the ids.
func read(tx *store.Tx, all bool, ids map[string]bool) (instances []*store.Instance, tasks []*store.Task, err error) {
	open := []store.Cond{store.By("state", "PENDING", "RUNNING", "CANCELING")}
	if all {
		instances = slices.Collect(store.Instances.All(tx))
	} else {
		which := store.By("guid", slices.Collect(maps.Keys(ids))...)
		if instances, _, err = store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{which}}); err != nil {
			return nil, nil, err
		}
		open = append([]store.Cond{which}, open...)
	}
	tasks, _, err = store.Tasks.List(tx, store.Query[store.Task]{Where: open})
	return instances, tasks, err
}

// since is a source with the time before which it cannot have printed.
type since struct {
	Source
	created time.Time
}

// instanceSource reads how much the process may say when its instance was made, as a change of that restarts it.
func instanceSource(tx *store.Tx, i *store.Instance) Source {
	rate := store.Unlimited
	if p, err := store.Processes.Get(tx, i.ProcessGUID); err == nil {
		rate = p.LogRateBytes
	}
	return Source{
		AppGUID: i.AppGUID, Type: "APP/PROC/" + strings.ToUpper(i.ProcessType), Instance: strconv.Itoa(i.Index),
		InstanceID: i.GUID, ProcessID: i.ProcessGUID, Process: i.ProcessType, LogRate: rate,
	}
}

func taskSource(t *store.Task) Source {
	return Source{AppGUID: t.AppGUID, Type: "APP/TASK/" + t.Name, Instance: "0", InstanceID: t.GUID, LogRate: t.LogRateBytes}
}

// follow reads one workload's output until it is gone.
func (l *Loop) follow(ctx context.Context, id string, s since) {
	ctx, cancel := context.WithCancel(ctx)
	l.following[id] = cancel
	meter := l.rates.add(id)
	l.workers.Go(func() {
		defer l.rates.remove(id)
		defer func() {
			select {
			case l.ended <- id:
			case <-ctx.Done():
			}
		}()
		from := s.created.Add(-time.Second)
		if last := l.Sink.Last(s.Source); last.After(from) {
			from = last
		}
		gate := NewGate(s.LogRate)
		for ctx.Err() == nil {
			err := l.Engine.Logs(ctx, id, from, func(line node.LogLine) {
				from = line.Time
				source, text := sidecarLine(s.Source, line.Text)
				line.Text = text
				keep, note := gate.Pass(line.Time, len(line.Text))
				if keep {
					meter.count(line.Time, len(line.Text))
					l.Sink.Line(source, line)
				}
				if note {
					l.Sink.Line(s.Source, gate.Note(line.Time))
				}
			})
			if err == nil || errors.Is(err, node.ErrNotFound) && !l.expected(id) {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	})
}

// The control characters around a sidecar's name in the output of a container that has sidecars; the launcher in it
// writes them (package buildpack/launcher/supervise).
const (
	markStart = 0x1e
	markEnd   = 0x1f
)

// sidecarLine takes the mark from a line that a sidecar printed, and names the sidecar in the source.
func sidecarLine(s Source, text []byte) (Source, []byte) {
	if len(text) == 0 || text[0] != markStart || s.ProcessID == "" {
		return s, text
	}
	end := bytes.IndexByte(text, markEnd)
	if end < 0 {
		return s, text
	}
	s.Type += "/SIDECAR/" + strings.ToUpper(string(text[1:end]))
	return s, text[end+1:]
}

// expected reports whether the workload may still come: its record is there and it has not been started yet.
func (l *Loop) expected(id string) bool {
	there := false
	_ = l.DB.View(func(tx *store.Tx) error {
		i, err := store.Instances.Get(tx, id)
		if err == nil {
			there = i.State != store.InstanceStopping
			return nil
		}
		t, err := store.Tasks.Get(tx, id)
		there = err == nil && (t.State == "PENDING" || t.State == "RUNNING")
		return nil
	})
	return there
}
