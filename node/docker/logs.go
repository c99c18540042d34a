package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cupola-paas/cupola/node"
)

const (
	maxLine  = 64 << 10
	maxFrame = 1 << 20 // Docker's own messages are 16 KiB
)

// Logs implements node.Engine. Docker ends a stream when the process ends; this goes on with the next.
func (d *Docker) Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error {
	i := d.find(id)
	if i == nil {
		return fmt.Errorf("logs of workload %s: %w", id, node.ErrNotFound)
	}
	if i.spool != nil {
		return i.logsAttached(ctx, since, fn)
	}
	r := &logReader{since: since, fn: fn}
	for {
		i.mu.Lock()
		news, state, generation, container := i.news, i.status.State, i.status.Generation, i.container
		i.mu.Unlock()
		err := i.readLogs(ctx, container, r)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case notFound(err):
			return nil
		case err != nil && !unreachable(err) && !conflict(err): // a conflict: it is being removed
			return failed("logs of workload "+id, err)
		case err == nil && state == node.Exited:
			return nil
		}
		// Docker ended the stream, so something happens to the process; if we have not seen yet what,
		// news is closed when we do.
		if err := i.awaitRun(ctx, news, generation, err != nil); err != nil {
			if errors.Is(err, errGone) {
				return nil
			}
			return err
		}
	}
}

var errGone = errors.New("gone")

// awaitRun waits until there may be more to read: another run, or Docker being back.
func (i *instance) awaitRun(ctx context.Context, news <-chan struct{}, generation int, broken bool) error {
	pause := time.NewTimer(time.Second)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.done:
			return errGone
		case <-i.d.ctx.Done():
			return fmt.Errorf("logs of workload %s: %w: the engine was closed", i.id, node.ErrUnavailable)
		case <-pause.C:
			if broken {
				return nil
			}
		case <-news:
		}
		i.mu.Lock()
		s := i.status
		news = i.news
		i.mu.Unlock()
		if s.Generation != generation || s.State == node.Exited {
			return nil
		}
	}
}

// readLogs follows one stream to its end. While it is open, a removal waits for it.
func (i *instance) readLogs(ctx context.Context, id string, r *logReader) error {
	i.openReader()
	defer i.closeReader()
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: true}
	if !r.since.IsZero() {
		o.Since = fmt.Sprintf("%d.%09d", r.since.Unix(), r.since.Nanosecond())
	}
	body, err := i.d.api.ContainerLogs(ctx, id, o)
	if err != nil {
		return err
	}
	defer body.Close()
	return r.read(body)
}

// logReader turns Docker's stream into lines. since is the time of the last line that was handed over.
type logReader struct {
	since   time.Time
	fn      func(node.LogLine)
	partial [2]node.LogLine // of stdout and stderr
}

// read goes on until the stream ends. What is left of a line is handed over if the stream ended in order,
// and read again later if it broke.
func (r *logReader) read(body io.Reader) error {
	r.partial = [2]node.LogLine{}
	begun := r.since
	in := bufio.NewReaderSize(body, 32<<10)
	for {
		stderr, text, err := readFrame(in)
		if err == io.EOF {
			r.flush(0)
			r.flush(1)
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.frame(stderr, text, begun); err != nil {
			return err
		}
	}
}

// readFrame reads one message of Docker's multiplexed stream: a byte for the stream, three of nothing,
// the length, the text.
func readFrame(in io.Reader) (stderr bool, text []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return false, nil, err
	}
	n := binary.BigEndian.Uint32(head[4:])
	if n > maxFrame || head[0] > 3 {
		return false, nil, fmt.Errorf("log stream: a message of kind %d with %d bytes", head[0], n)
	}
	text = make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return false, nil, io.ErrUnexpectedEOF
	}
	if head[0] == 3 {
		return false, nil, fmt.Errorf("log stream: Docker says %q", text)
	}
	return head[0] == 2, text, nil
}

// frame adds a message to its line; one without a line end has more to come.
func (r *logReader) frame(stderr bool, text []byte, begun time.Time) error {
	stamp, text, ok := bytes.Cut(text, []byte{' '})
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !ok || err != nil {
		return fmt.Errorf("log stream: %q is no time", stamp)
	}
	if !at.After(begun) {
		return nil
	}
	n := 0
	if stderr {
		n = 1
	}
	line, complete := bytes.CutSuffix(text, []byte{'\n'})
	p := &r.partial[n]
	p.Time, p.Stderr = at, stderr
	p.Text = append(p.Text, line...)
	for len(p.Text) > maxLine {
		rest := bytes.Clone(p.Text[maxLine:])
		p.Text = p.Text[:maxLine:maxLine]
		r.hand(*p)
		p.Text = rest
	}
	if complete {
		r.hand(*p)
		*p = node.LogLine{}
	}
	return nil
}

func (r *logReader) hand(l node.LogLine) {
	r.since = l.Time
	r.fn(l)
}

func (r *logReader) flush(n int) {
	if len(r.partial[n].Text) > 0 {
		r.hand(r.partial[n])
		r.partial[n] = node.LogLine{}
	}
}

func (i *instance) openReader() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.readers++; i.readers == 1 {
		i.readDone = make(chan struct{})
	}
}

func (i *instance) closeReader() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.readers--; i.readers == 0 {
		close(i.readDone)
	}
}

// waitReaders gives log streams the time to read what the process said while it was stopping.
func (i *instance) waitReaders(ctx context.Context) {
	i.mu.Lock()
	done := i.readDone
	if i.readers == 0 {
		done = nil
	}
	i.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(lastLines):
	}
}
