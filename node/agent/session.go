package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"

	"github.com/cupola-paas/cupola/node"
)

// After an upgrade of its connection a session goes on in frames: a byte for the kind, four for the length, the
// content.
const (
	frameOutput  = 'o' // of the command
	frameErrors  = 'e' // of the command, its standard error
	frameExit    = 'x' // exitMessage: the last one
	frameInput   = 'i' // for the command
	frameEnd     = 'z' // of the input
	frameResize  = 'r' // columns and rows, two bytes each
	frameSignal  = 's' // a number in a byte
	frameProgram = 'p' // content of the program, before anything else

	maxFrame   = 1 << 20
	maxProgram = 64 << 20
)

// execRequest is what a session begins with.
type execRequest struct {
	Command []string `json:"command"`
	Env     []string `json:"env,omitempty"`
	TTY     bool     `json:"tty,omitempty"`
	Stdin   bool     `json:"stdin,omitempty"`
	Program string   `json:"program,omitempty"`
}

type exitMessage struct {
	Status int      `json:"status"`
	Error  *failure `json:"error,omitempty"`
}

// frames writes frames, one at a time.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) send(kind byte, content []byte) error {
	head := make([]byte, 5, 5+len(content))
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(content)))
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.w.Write(append(head, content...))
	return err
}

// as is a writer whose text is sent in frames of a kind.
func (f *frames) as(kind byte) io.Writer { return frameWriter{f, kind} }

type frameWriter struct {
	f    *frames
	kind byte
}

func (w frameWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += maxFrame {
		if err := w.f.send(w.kind, p[n:min(n+maxFrame, len(p))]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func receive(r io.Reader) (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n, limit := binary.BigEndian.Uint32(head[1:]), uint32(maxFrame)
	if head[0] == frameProgram {
		limit = maxProgram
	}
	if n > limit {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	content = make([]byte, n)
	_, err = io.ReadFull(r, content)
	return head[0], content, err
}

// upgrade takes the connection of a request over.
func upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.Reader, bool) {
	if r.Header.Get("Upgrade") != protocol {
		answer(w, nil, errors.New("upgrade to "+protocol))
		return nil, nil, false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, nil, err)
		return nil, nil, false
	}
	return conn, buffered.Reader, true
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"

// exec runs a command for as long as the connection stands.
func (a *Agent) exec(w http.ResponseWriter, r *http.Request) {
	var in execRequest
	if !read(w, r, &in) {
		return
	}
	conn, rest, ok := upgrade(w, r)
	if !ok {
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	if _, err := io.WriteString(conn, switching); err != nil {
		return
	}
	out := &frames{w: conn}
	e := node.Exec{Command: in.Command, Env: in.Env, TTY: in.TTY, Stdout: out.as(frameOutput), Stderr: out.as(frameErrors)}
	if in.Program != "" {
		kind, content, err := receive(rest)
		if err != nil || kind != frameProgram {
			return
		}
		e.Program = &node.Program{Name: in.Program, Content: content}
	}
	input, into := io.Pipe()
	defer input.Close()
	if in.Stdin {
		e.Stdin = input
	}
	sizes, signals := make(chan [2]uint16, 1), make(chan os.Signal, 8)
	e.Resize, e.Signals = sizes, signals
	go func() {
		defer cancel() // the client has gone
		listen(ctx, rest, into, sizes, signals)
	}()
	status, err := a.local.Exec(ctx, r.PathValue("id"), e)
	last, _ := json.Marshal(exitMessage{status, failureOf(err)}) // of strings and numbers
	_ = out.send(frameExit, last)
}

// listen hands on what the client sends until it ends.
func listen(ctx context.Context, r io.Reader, input *io.PipeWriter, sizes chan<- [2]uint16, signals chan<- os.Signal) {
	defer input.CloseWithError(io.ErrUnexpectedEOF)
	for {
		kind, content, err := receive(r)
		if err != nil {
			return
		}
		switch {
		case kind == frameInput:
			if _, err := input.Write(content); err != nil { // the command takes no more
				continue
			}
		case kind == frameEnd:
			_ = input.Close()
		case kind == frameResize && len(content) == 4:
			select {
			case sizes <- [2]uint16{binary.BigEndian.Uint16(content), binary.BigEndian.Uint16(content[2:])}:
			case <-ctx.Done():
			}
		case kind == frameSignal && len(content) == 1:
			select {
			case signals <- syscall.Signal(content[0]):
			default:
			}
		}
	}
}

// dial connects from inside a workload and copies both ways.
func (a *Agent) dial(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, &struct{}{}) { // what is left of a body would be taken for what is sent to the workload
		return
	}
	q := r.URL.Query()
	target, err := a.local.Dial(r.Context(), r.PathValue("id"), q.Get("network"), q.Get("address"))
	carry(w, r, target, err)
}

// carry answers with a connection: from then on both sides are copied.
func carry(w http.ResponseWriter, r *http.Request, target net.Conn, err error) {
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer target.Close()
	conn, rest, ok := upgrade(w, r)
	if !ok {
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, switching); err != nil {
		return
	}
	node.Pipe(&node.Ahead{Conn: conn, From: rest}, target)
}
