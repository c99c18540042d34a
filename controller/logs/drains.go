package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// drainBatch is how many envelopes a drain reads at a time: what it has in memory, besides, the log is its queue.
	drainBatch = 200
	// saveEvery is how often positions are written: after a kill, so much is sent twice.
	saveEvery = 2 * time.Second
	retryMin  = 250 * time.Millisecond
	retryMax  = 30 * time.Second
	// complainEvery is how often the log of an app is told that its drain does not work.
	complainEvery = time.Minute
	drainsDir     = "drains"
)

// DrainOptions say how drains work.
type DrainOptions struct {
	Guard Guard
	// Note writes a line into the log of a source, with source type LGR.
	Note func(sourceID, text string)
	Log  *slog.Logger // nil: slog.Default
}

// Drains sends the logs of sources to syslog servers. A drain reads the log from where it was, so the log is its queue:
// what a slow or absent server does not take stays as long as the log keeps it. What is lost by then is counted
// and told in the app's log. After a restart a drain goes on where it was; some messages may come twice, none is left out.
type Drains struct {
	store *Store
	o     DrainOptions
	dir   string

	mu      sync.Mutex
	running map[string]*drainer // by id
	closed  bool
	workers sync.WaitGroup
}

// OpenDrains returns the drains of a store, none of which runs yet.
func (s *Store) OpenDrains(o DrainOptions) (*Drains, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d := &Drains{store: s, o: o, dir: filepath.Join(s.dir, drainsDir), running: map[string]*drainer{}}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the drains: %w", err)
	}
	return d, nil
}

// Set makes these the drains that run: one that is new begins with what is said from now on, one that is gone ends, one that
// has changed goes on with its new address.
func (d *Drains) Set(wanted []Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	keep := map[string]bool{}
	for _, w := range wanted {
		if !sourceGrammar.MatchString(w.ID) || !sourceGrammar.MatchString(w.SourceID) {
			continue // its position could have no file
		}
		keep[w.ID] = true
		if was, runs := d.running[w.ID]; runs {
			if was.drain == w {
				continue
			}
			was.stop()
		}
		d.startLocked(w)
	}
	for id, was := range d.running {
		if !keep[id] {
			was.stop()
			delete(d.running, id)
		}
	}
	d.sweepLocked(keep)
}

// sweepLocked deletes the positions of drains that are no more.
func (d *Drains) sweepLocked(keep map[string]bool) {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		d.o.Log.Warn("positions of drains can't be listed", "error", err)
	}
	for _, f := range files {
		if !keep[f.Name()] {
			_ = os.Remove(filepath.Join(d.dir, f.Name())) // tried again with the next change
		}
	}
}

func (d *Drains) startLocked(w Drain) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &drainer{drains: d, drain: w, cancel: cancel, ended: make(chan struct{})}
	d.running[w.ID] = r
	if err := r.find(); err != nil {
		d.o.Log.Warn("drain begins now", "drain", w.ID, "error", err)
	}
	d.workers.Go(func() {
		defer close(r.ended)
		r.run(ctx)
	})
}

// Close ends all drains and writes their positions down.
func (d *Drains) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, r := range d.running {
		r.cancel()
	}
	d.mu.Unlock()
	d.workers.Wait()
	return nil
}

// position is up to where a drain has sent.
type position struct {
	Time   int64  `json:"time"`   // of the newest envelope that was sent or passed over
	Number uint64 `json:"number"` // of the next line
}

// drainer is one drain that runs.
type drainer struct {
	drains *Drains
	drain  Drain
	cancel context.CancelFunc
	ended  chan struct{}

	at         position // owned by run
	saved      position // valid when onDisk
	onDisk     bool
	savedAt    time.Time
	complained time.Time
}

func (r *drainer) stop() {
	r.cancel()
	<-r.ended
}

func (r *drainer) path() string { return filepath.Join(r.drains.dir, r.drain.ID) }

// find reads the position. A drain without one begins at the end of the log.
func (r *drainer) find() error {
	raw, err := os.ReadFile(r.path())
	if err == nil {
		err = json.Unmarshal(raw, &r.at)
	}
	if err == nil {
		r.saved, r.onDisk = r.at, true
		return nil
	}
	r.at = r.drains.store.end(r.drain.SourceID)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, r.save())
}

// end is the position behind all that there is of a source.
func (s *Store) end(sourceID string) position {
	src, err := s.acquire(sourceID)
	if err != nil {
		return position{}
	}
	defer s.release(src)
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.load() != nil {
		return position{}
	}
	return position{Time: max(0, src.last), Number: src.next}
}

// save writes the position, whole or not at all.
func (r *drainer) save() error {
	r.savedAt = time.Now()
	if r.onDisk && r.at == r.saved {
		return nil
	}
	raw, err := json.Marshal(r.at)
	if err != nil {
		return err
	}
	next := r.path() + ".next"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, r.path()); err != nil {
		return err
	}
	r.saved, r.onDisk = r.at, true
	return nil
}

// run sends until ctx ends.
func (r *drainer) run(ctx context.Context) {
	defer func() {
		if err := r.save(); err != nil {
			r.drains.o.Log.Warn("position of a drain not saved", "drain", r.drain.ID, "error", err)
		}
	}()
	t, err := r.drain.resolve()
	if err != nil {
		r.complain("The syslog drain of this app is not used: " + err.Error())
		<-ctx.Done()
		return
	}
	out := newSink(t, r.drains.o.Guard)
	defer out.close()
	for ctx.Err() == nil {
		if err := r.step(ctx, t, out); err != nil && ctx.Err() == nil {
			r.drains.o.Log.Warn("drain can't read its log", "drain", r.drain.ID, "source", r.drain.SourceID, "error", err)
			pause(ctx, retryMax)
		}
	}
}

// step waits for something to send and sends it.
func (r *drainer) step(ctx context.Context, t *target, out sink) error {
	s := r.drains.store
	seen := s.lastTime(r.drain.SourceID) // before the read, so that nothing falls between
	found, err := s.Read(Query{SourceID: r.drain.SourceID, Start: r.at.Time + 1, Types: t.types, Limit: drainBatch})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if r.at != r.saved { // all is sent: a good time
			if err := r.save(); err != nil {
				return err
			}
		}
		_ = s.Wait(ctx, r.drain.SourceID, max(seen, r.at.Time)) // ends with ctx, which run sees
		return nil
	}
	next, lost, messages := r.take(t, found)
	if lost > 0 {
		r.note(fmt.Sprintf("%d messages lost for the syslog drain %s: it is too slow", lost, t.readable))
	}
	if len(messages) > 0 && !r.send(ctx, t, out, messages) {
		return nil // ctx has ended: they are sent next time
	}
	r.at = next
	if time.Since(r.savedAt) > saveEvery {
		return r.save()
	}
	return nil
}

// take makes messages of what was found, and counts the lines that the log has lost before they were read.
func (r *drainer) take(t *target, found []*Envelope) (next position, lost uint64, messages [][]byte) {
	next = r.at
	for _, e := range found {
		if e.Type() == Log {
			if e.number > next.Number {
				lost += e.number - next.Number
			}
			next.Number = e.number + 1
		}
		next.Time = e.Time.UnixNano()
		if t.wants(e) {
			messages = append(messages, syslogMessages(e, t.bare)...)
		}
	}
	return next, lost, messages
}

// send tries until it succeeds, with longer and longer pauses. False means that ctx has ended.
func (r *drainer) send(ctx context.Context, t *target, out sink, messages [][]byte) bool {
	wait := retryMin
	for {
		err := out.send(ctx, messages)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		}
		r.complainAt(t, err)
		if errors.Is(err, errRefused) {
			continue // with what comes after it
		}
		pause(ctx, wait)
		wait = min(2*wait, retryMax)
	}
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// complainAt tells what is wrong with a drain's server, in words without the path and the query of its address.
func (r *drainer) complainAt(t *target, err error) {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var network *net.OpError
	if errors.As(err, &network) && !errors.Is(err, ErrForbiddenAddress) {
		err = network.Err
	}
	if errors.Is(err, ErrForbiddenAddress) {
		err = ErrForbiddenAddress // which of this machine's addresses it was is nobody's business
	}
	r.complain(fmt.Sprintf("The syslog drain %s does not take messages: %v", t.readable, err))
}

func (r *drainer) complain(text string) {
	if time.Since(r.complained) < complainEvery {
		return
	}
	r.complained = time.Now()
	r.drains.o.Log.Info("drain does not work", "drain", r.drain.ID, "source", r.drain.SourceID, "reason", text)
	r.note(text)
}

func (r *drainer) note(text string) {
	if r.drains.o.Note != nil {
		r.drains.o.Note(r.drain.SourceID, text)
	}
}
