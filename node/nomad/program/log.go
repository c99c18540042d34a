package program

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
)

const (
	keptLines = 8
	maxLine   = 64 << 10 // what is longer is cut
)

// Log takes what Nomad says with LogJSON into a log of ours: its warnings and errors as such, the rest as debugging.
type Log struct {
	To *slog.Logger

	mu   sync.Mutex
	part []byte
	last []string // warnings and errors, the newest at the end
}

// Write implements io.Writer.
func (l *Log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(text)
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		if room := maxLine - len(l.part); len(line) > room {
			line = line[:room]
		}
		l.part = append(l.part, line...)
		if !ended {
			return n, nil
		}
		l.sayLocked(l.part)
		l.part, text = l.part[:0], rest
	}
}

func (l *Log) sayLocked(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var said map[string]any
	if json.Unmarshal(line, &said) != nil { // before it has read its configuration it prints plain text
		l.keepLocked(strings.TrimSpace(string(line)))
		l.To.Debug("nomad: " + string(line))
		return
	}
	text := func(key string) string { s, _ := said[key].(string); return s }
	level := map[string]slog.Level{"warn": slog.LevelWarn, "error": slog.LevelError}[text("@level")]
	attributes := []any{"module", text("@module")}
	if cause := text("error"); cause != "" {
		attributes = append(attributes, "error", cause)
	}
	if level == slog.LevelInfo {
		level = slog.LevelDebug
	} else {
		l.keepLocked(text("@message") + " " + text("error"))
	}
	l.To.Log(context.Background(), level, "nomad: "+text("@message"), attributes...)
}

func (l *Log) keepLocked(line string) {
	l.last = append(l.last, line)
	l.last = l.last[max(0, len(l.last)-keptLines):]
}

// Last are the last warnings and errors, for people.
func (l *Log) Last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "; ")
}
