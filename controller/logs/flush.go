package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// idleRounds is after how many rounds of the flusher a source that nobody used leaves the memory.
	idleRounds = 6
	// idleRound is how long a round is when there is nothing to flush but sources are in memory.
	idleRound = 10 * time.Second
	// ageRound is how often retention looks for what is too old.
	ageRound = 10 * time.Minute
	// looksPerFill is how many times retention looks at the disk while MaxBytes are written.
	looksPerFill = 64
)

// run flushes a second after something was appended. It sleeps for good while the memory is empty.
func (s *Store) run(ctx context.Context) {
	defer close(s.stopped)
	var aged <-chan time.Time
	if s.maxAge > 0 {
		ticker := time.NewTicker(min(ageRound, s.maxAge))
		defer ticker.Stop()
		aged = ticker.C
	}
	for {
		var idle <-chan time.Time
		if s.inMemory() > 0 {
			idle = time.After(idleRound)
		}
		select {
		case <-ctx.Done():
			return
		case <-idle:
		case <-aged:
			s.written.Store(s.maxBytes) // looks at the disk
		case <-s.dirty:
			select {
			case <-ctx.Done():
				return
			case <-time.After(flushDelay):
			}
		}
		if err := s.flush(); err != nil {
			slog.Error("logs could not be written", "error", err)
		}
		if s.written.Load() >= s.maxBytes/looksPerFill {
			s.written.Store(0)
			if err := s.retain(); err != nil {
				slog.Error("old logs could not be deleted", "error", err)
			}
		}
	}
}

func (s *Store) inMemory() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sources)
}

// flush writes what is pending of all sources, and lets those go that nobody uses.
func (s *Store) flush() error {
	s.mu.Lock()
	sources := make([]*source, 0, len(s.sources))
	for _, src := range s.sources {
		src.users++
		sources = append(sources, src)
	}
	s.mu.Unlock()
	var errs []error
	for _, src := range sources {
		src.mu.Lock()
		if err := src.flushLocked(); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", src.id, err))
		}
		if s.recentBytes.Load() > recentInAll {
			src.trimLocked(0)
			src.metrics.trimLocked(0)
		}
		src.mu.Unlock()
		s.letGo(src)
	}
	return errors.Join(errs...)
}

// letGo releases a source and forgets it when it was idle for long. Nobody is in it then, as nobody can come
// without mu.
func (s *Store) letGo(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src.users--
	src.idle++
	if src.users > 0 || src.idle < idleRounds {
		return
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	if len(src.pending)+len(src.metrics.pending) == 0 {
		delete(s.sources, src.id)
		src.resetLocked()
	}
}

// fillsTooLong reports whether a segment that was begun at one time should get nothing more at another: it could not be
// deleted when its first envelopes are too old.
func (s *Store) fillsTooLong(begun, now int64) bool {
	return s.maxAge > 0 && now-begun > int64(s.maxAge)/segmentsPerSource
}

// keptFile is a segment on disk, for retention.
type keptFile struct {
	source  string
	path    string
	size    int64
	written time.Time
}

// retain deletes the segments that were written to longest ago while they are too old or all together have more than
// MaxBytes, down to nine tenths, so that it need not look often.
func (s *Store) retain() error {
	files, err := s.keptFiles()
	if err != nil {
		return err
	}
	var total int64
	for _, f := range files {
		total += f.size
	}
	enough := s.maxBytes
	if total > s.maxBytes {
		enough -= s.maxBytes / 10
	}
	var errs []error
	for _, f := range files {
		tooOld := s.maxAge > 0 && s.clock().Sub(f.written) > s.maxAge
		if total <= enough && !tooOld {
			break
		}
		if err := s.expire(f); err != nil {
			errs = append(errs, err)
			continue
		}
		total -= f.size
	}
	return errors.Join(errs...)
}

// keptFiles lists the segments, the one that was written to longest ago first.
func (s *Store) keptFiles() ([]keptFile, error) {
	ids, err := s.Sources()
	if err != nil {
		return nil, err
	}
	var files []keptFile
	for _, id := range ids {
		for _, dir := range []string{filepath.Join(s.dir, id), filepath.Join(s.dir, id, metricsDir)} {
			entries, _ := os.ReadDir(dir) // it may be deleted at this moment
			for _, e := range entries {
				if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
					files = append(files, keptFile{id, filepath.Join(dir, e.Name()), info.Size(), info.ModTime()})
				}
			}
		}
	}
	slices.SortFunc(files, func(a, b keptFile) int {
		return cmp.Or(a.written.Compare(b.written), cmp.Compare(a.path, b.path))
	})
	return files, nil
}

// expire deletes one segment, and the folder when it was the last.
func (s *Store) expire(f keptFile) error {
	src, err := s.acquire(f.source)
	if err != nil {
		return err
	}
	defer s.release(src)
	src.mu.Lock()
	defer src.mu.Unlock()
	if err := src.flushLocked(); err != nil {
		return err
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	stream := src
	if filepath.Dir(f.path) != src.dir {
		stream = src.metrics
	}
	first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(f.path), ".log"), 10, 64)
	if err == nil {
		stream.segments = slices.DeleteFunc(stream.segments, func(g segmentFile) bool { return g.first == first })
	}
	if len(stream.segments) == 0 {
		_ = os.Remove(stream.dir) // only when empty
		_ = os.Remove(src.dir)
	}
	src.loaded, stream.loaded = false, false // the tag sets may be those of the segment that went
	return nil
}
