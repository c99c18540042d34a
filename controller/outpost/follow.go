package outpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
)

const (
	retryMin = 500 * time.Millisecond
	retryMax = 10 * time.Second
	// deafAfter is how long nothing may be heard before the connection is given up.
	deafAfter = 3 * routerfeed.Beat
)

var (
	errGap  = errors.New("a change is missing")
	errDeaf = errors.New("the controller has said nothing for too long")
)

// feed is a stream of messages that ends when nothing is heard for too long.
type feed struct {
	from   *json.Decoder
	body   io.ReadCloser
	silent *time.Timer
	cancel context.CancelCauseFunc
	ctx    context.Context
}

// watch asks for what follows a version.
func (p *Outpost) watch(ctx context.Context, have string) (*feed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &feed{ctx: ctx, cancel: cancel, silent: time.AfterFunc(p.deaf, func() { cancel(errDeaf) })}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(routerfeed.WatchPath, url.Values{"have": {have}, "address": {p.o.Address}}), nil)
	if err != nil {
		f.silent.Stop()
		cancel(nil)
		return nil, err
	}
	res, err := p.door.Do(req)
	if err == nil {
		if err = refused(res); err != nil {
			res.Body.Close()
		}
	}
	if err != nil {
		f.silent.Stop()
		cancel(nil)
		return nil, f.why(err)
	}
	f.body = res.Body
	f.from = json.NewDecoder(&heard{res.Body, f.silent, p.deaf})
	return f, nil
}

// heard restarts the clock at each byte: a large table may take its time.
type heard struct {
	from  io.Reader
	clock *time.Timer
	limit time.Duration
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.from.Read(b)
	h.clock.Reset(h.limit)
	return n, err
}

func (f *feed) next() (*routerfeed.Message, error) {
	m := &routerfeed.Message{}
	if err := f.from.Decode(m); err != nil {
		return nil, f.why(err)
	}
	return m, nil
}

func (f *feed) why(err error) error {
	if cause := context.Cause(f.ctx); errors.Is(cause, errDeaf) {
		return cause
	}
	return err
}

func (f *feed) close() {
	f.cancel(nil)
	f.silent.Stop()
	f.body.Close()
}

// askAll asks for the whole table, once.
func (p *Outpost) askAll(ctx context.Context) (*kept, error) {
	f, err := p.watch(ctx, "")
	if err != nil {
		return nil, err
	}
	defer f.close()
	out := &kept{}
	for settings := false; ; {
		m, err := f.next()
		if err != nil {
			return nil, err
		}
		if m.Settings != nil {
			out.Settings, settings = *m.Settings, true
		}
		if m.Whole && settings {
			out.Version, out.Routes = m.Version, m.Routes
			return out, nil
		}
	}
}

// follow keeps the table as the controller's until ctx ends.
func (p *Outpost) follow(ctx context.Context) error {
	pause, away := retryMin, time.Time{}
	for ctx.Err() == nil {
		began := time.Now()
		err := p.followOnce(ctx, func() {
			if !away.IsZero() {
				p.log.Info("the controller is heard again", "after", time.Since(away).Round(time.Second), "table", p.keep.version())
			}
			pause, away = retryMin, time.Time{}
		})
		if ctx.Err() != nil {
			return nil
		}
		if away.IsZero() {
			away = time.Now()
			p.log.Warn("the controller is not heard; the table that was heard last is served", "table", p.keep.version(), "error", err)
		}
		if time.Since(began) > p.deaf {
			pause = retryMin
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMax)
	}
	return nil
}

// followOnce heeds one stream until it ends.
func (p *Outpost) followOnce(ctx context.Context, current func()) error {
	f, err := p.watch(ctx, p.keep.version())
	if err != nil {
		return err
	}
	defer f.close()
	for {
		m, err := f.next()
		if err != nil {
			return err
		}
		if err := p.take(m); err != nil {
			p.keep.lost()
			return err
		}
		if m.Version != "" {
			current()
		}
	}
}

// take heeds one message. After an error the router serves what it served before.
func (p *Outpost) take(m *routerfeed.Message) error {
	if m.Settings != nil {
		anew := p.heed(m.Settings)
		p.keep.setSettings(*m.Settings)
		if anew && !m.Whole {
			if err := p.setTable(p.keep.all()); err != nil {
				return err
			}
		}
	}
	if m.Callers != nil {
		p.router.SetCallers(m.Callers)
	}
	switch {
	case m.Whole:
		if err := p.setTable(m.Routes); err != nil {
			return err
		}
		p.keep.set(kept{Version: m.Version, Settings: *p.settings.Load(), Routes: m.Routes})
	case m.Change != nil:
		if have := p.keep.version(); m.After != have {
			return fmt.Errorf("%w: it is for table %s, and this is %s", errGap, m.After, have)
		}
		if err := p.router.Change(*m.Change); err != nil {
			return err
		}
		p.keep.change(m.Version, m.Change)
	case m.Version != "" && m.Version != p.keep.version():
		return fmt.Errorf("%w: the controller's table is %s, and this is %s", errGap, m.Version, p.keep.version())
	}
	return nil
}

// tellSeen tells the controller what is served, and which instances have requests still though they have left, whenever
// that is another, until ctx ends.
func (p *Outpost) tellSeen(ctx context.Context) error {
	told := false
	for ctx.Err() == nil {
		version, other := p.keep.now()
		draining, changed := p.router.Draining()
		err := p.tell(ctx, routerfeed.SeenPath, routerfeed.Seen{Version: version, Draining: draining}, nil)
		if err != nil && !told && ctx.Err() == nil {
			p.log.Debug("the controller is not told what is served", "error", err)
		}
		told = err != nil
		again := time.NewTimer(seenAgain)
		if err != nil {
			again.Reset(retryMin)
		}
		select {
		case <-other:
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
	return nil
}

// seenAgain is when the controller is told the same again: it may be another process by now.
const seenAgain = time.Second
