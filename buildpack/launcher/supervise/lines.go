package supervise

import (
	"bytes"
	"io"
	"sync"
)

// lineBytes is where a line without end is cut, so that what is written fits the log's own limit.
const lineBytes = 32 << 10

// The two control characters around the name in a mark: ASCII record and unit separator, which text does not have.
const (
	markStart = "\x1e"
	markEnd   = "\x1f"
)

// Mark is what stands before each line of a sidecar's output.
func Mark(name string) string { return markStart + name + markEnd }

// sharedWriter lets several write whole lines.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) write(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.w.Write(line) // nobody is there to be told
}

// lines cuts what a program prints into lines and writes each with its mark.
type lines struct {
	to     *sharedWriter
	prefix string // empty for the main process
	mu     sync.Mutex
	rest   []byte
}

func newLines(to *sharedWriter, name string) *lines {
	l := &lines{to: to}
	if name != "" {
		l.prefix = Mark(name)
	}
	return l
}

// Write takes a piece of output.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 || end > lineBytes {
			if len(l.rest) < lineBytes {
				return len(p), nil
			}
			l.emit(l.rest[:lineBytes])
			l.rest = l.rest[lineBytes:]
			continue
		}
		l.emit(l.rest[:end])
		l.rest = l.rest[end+1:]
	}
}

// Close writes a last line that had no end.
func (l *lines) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.emit(l.rest)
		l.rest = nil
	}
}

func (l *lines) emit(text []byte) {
	line := make([]byte, 0, len(l.prefix)+len(text)+1)
	line = append(append(append(line, l.prefix...), text...), '\n')
	l.to.write(line)
}
