package docker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// spoolBytes is how much of an attached workload's output is kept, for readers that come late: its container is
// removed by others as soon as its process has ended, and the lines with it.
const spoolBytes = 1 << 20

// spool keeps the last lines of one workload, through all its containers.
type spool struct {
	mu    sync.Mutex
	lines []node.LogLine
	first int // number of lines[0], counted from the workload's first line
	bytes int
	last  time.Time
	news  chan struct{} // closed and replaced when there is more
}

func newSpool() *spool { return &spool{news: make(chan struct{})} }

func (s *spool) add(l node.LogLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
	s.bytes += len(l.Text)
	s.last = l.Time
	for s.bytes > spoolBytes && len(s.lines) > 1 {
		s.bytes -= len(s.lines[0].Text)
		s.lines = s.lines[1:]
		s.first++
	}
	s.tellLocked()
}

func (s *spool) tellLocked() {
	close(s.news)
	s.news = make(chan struct{})
}

func (s *spool) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellLocked()
}

// from returns the lines from number n on that are still here, the number that follows, and what is closed when
// there are more.
func (s *spool) from(n int) ([]node.LogLine, int, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(n, s.first)
	return s.lines[n-s.first:], s.first + len(s.lines), s.news
}

func (s *spool) newest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// readAttached follows the output of one container into the spool.
func (i *instance) readAttached(containerID string) {
	if i.spool == nil {
		return
	}
	i.mu.Lock()
	if i.reading == containerID {
		i.mu.Unlock()
		return
	}
	i.reading = containerID
	i.mu.Unlock()
	i.openReader()
	i.d.wg.Go(func() {
		defer i.spool.tell()
		defer i.closeReader()
		r := &logReader{since: i.spool.newest(), fn: i.spool.add}
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			err := i.readLogs(i.d.ctx, containerID, r)
			if err == nil || !unreachable(err) {
				return
			}
			select {
			case <-i.d.ctx.Done():
				return
			case <-time.After(pause): // Docker is away
			}
		}
	})
}

// logsAttached is Logs from the spool.
func (i *instance) logsAttached(ctx context.Context, since time.Time, fn func(node.LogLine)) error {
	for next := 0; ; {
		i.mu.Lock()
		over := i.status.State == node.Exited && i.readers == 0
		i.mu.Unlock()
		lines, following, news := i.spool.from(next)
		for _, l := range lines {
			if l.Time.After(since) {
				fn(l)
			}
		}
		next = following
		if over {
			return nil
		}
		i.mu.Lock()
		changed := i.news
		i.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.done:
			i.lastAttached(ctx, next, since, fn)
			return nil
		case <-i.d.ctx.Done():
			return fmt.Errorf("logs of workload %s: %w: the engine was closed", i.id, node.ErrUnavailable)
		case <-news:
		case <-changed:
		}
	}
}

// lastAttached hands over what came while the workload was going.
func (i *instance) lastAttached(ctx context.Context, next int, since time.Time, fn func(node.LogLine)) {
	i.waitReaders(ctx)
	lines, _, _ := i.spool.from(next)
	for _, l := range lines {
		if l.Time.After(since) {
			fn(l)
		}
	}
}
