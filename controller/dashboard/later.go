package dashboard

import (
	"context"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// later does what takes longer than a page may, behind the pages: with the user's own token, bounded in time and number. Key
// names it among the work of the session, whose pages show how far it is; what goes on already is not begun twice. What fails
// is told on the next page, after the words failed.
func (d *Dashboard) later(s *session, key, failed string, limit time.Duration, do func(ctx context.Context, say func(string)) error) error {
	say, ok := s.beginWork(key)
	if !ok {
		return capi.Invalid("that goes on already: wait until it is done")
	}
	select {
	case d.pushRoom <- struct{}{}:
	default:
		s.endWork(key)
		return capi.Invalid("too much goes on at a time: try again when some of it is done")
	}
	d.pushes.Go(func() {
		defer func() { s.endWork(key); <-d.pushRoom }()
		ctx, cancel := context.WithTimeout(d.ending, limit)
		defer cancel()
		if err := do(ctx, say); err != nil && d.ending.Err() == nil {
			d.log.Info("work begun in a browser was not done", "work", key, "error", err)
			s.leave(notice{failed + ": " + reason(err), true})
		}
	})
	return nil
}

// beginWork notes that something goes on; say tells how far it is. False: it goes on already.
func (s *session) beginWork(key string) (say func(string), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.work[key]; taken {
		return nil, false
	}
	if s.work == nil {
		s.work = map[string]string{}
	}
	s.work[key] = "It has begun."
	return func(text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.work[key] = text
	}, true
}

func (s *session) endWork(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.work, key)
}

// working says how far something is, empty if it does not go on.
func (s *session) working(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.work[key]
}
