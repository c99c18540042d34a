package dataservice

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// bench is a container with an offering's image and without a server or a volume, for what is tried there. It is gone, with
// all that was written in it, when onBench returns.
type bench struct {
	guid string
	o    *Offering
	v    *view
}

// onBench gives a function a bench like the server of an instance. of is what it is for; a process that starts removes
// benches of the one before.
func (m *Manager) onBench(ctx context.Context, s *store.DataService, of string, use func(context.Context, *bench) error) (err error) {
	like := *s
	like.GUID, like.Address = uuid.NewString(), ""
	o, p, err := m.kind(&like)
	if err != nil {
		return err
	}
	w, err := m.workload(&like, o, p)
	if err != nil {
		return err
	}
	w.Volumes, w.Labels[labelProof] = nil, of
	w.Command, w.Entrypoint, w.Liveness = []string{"idle"}, []string{keeper.Path}, node.Check{Type: "process"}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, m.Engine.Stop(stop, like.GUID, -1))
	}()
	if err := m.Engine.Start(ctx, w); err != nil {
		return err
	}
	if _, err := m.untilReady(ctx, &like, &Offering{}, p); err != nil {
		return err
	}
	return use(ctx, &bench{guid: like.GUID, o: o, v: newView(&like, p, nil, nil)})
}

// serve runs a server on a bench until use returns, which is called once the server takes clients. The error of a server
// that ends before holds the last words of what it said.
func (m *Manager) serve(ctx context.Context, b *bench, server Command, use func(context.Context, *bench) error) error {
	if err := m.runCommand(ctx, b.guid, b.v, Command{Run: []string{keeper.Path, "prepare"}}, nil, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		words := &lastWords{}
		err := m.runSaying(ctx, b.guid, b.v, server, nil, words, words)
		if err == nil {
			err = errors.New("the server ended by itself")
		}
		ended <- err
	}()
	if err := m.untilServed(ctx, b, ended); err != nil {
		return err
	}
	err := use(ctx, b)
	cancel()
	<-ended
	return err
}

// untilServed waits until the server on a bench takes clients, which a recovery may put off for long.
func (m *Manager) untilServed(ctx context.Context, b *bench, ended chan error) error {
	look := time.NewTicker(benchLook)
	defer look.Stop()
	ready := b.o.Ready
	if ready.empty() {
		ready = b.o.Proof
	}
	for {
		if err := m.runCommand(ctx, b.guid, b.v, ready, nil, nil); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err // for who waits for the end
			return err
		case <-ctx.Done():
			<-ended
			return ctx.Err()
		case <-look.C:
		}
	}
}

// benchLook is between two looks at a server that recovers: each starts a program.
const benchLook = 250 * time.Millisecond

// maxWords bounds what is kept of a server's output.
const maxWords = 4096

// lastWords keeps the last bytes that are written to it.
type lastWords struct{ b []byte }

func (w *lastWords) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	if over := len(w.b) - maxWords; over > 0 {
		w.b = append(w.b[:0], w.b[over:]...)
	}
	return len(p), nil
}

func (w *lastWords) String() string { return string(w.b) }

// ask runs a command that answers with a few words.
func (m *Manager) ask(ctx context.Context, guid string, v *view, c Command) (string, error) {
	var out bytes.Buffer
	if err := m.runCommand(ctx, guid, v, c, nil, &out); err != nil {
		return "", err
	}
	text := strings.TrimSpace(strings.ToValidUTF8(out.String(), ""))
	return text[:min(len(text), maxProof)], nil
}

// pipe gives what one function writes to another that reads. When one of them fails the other is cut off; the error
// returned is that of the one that failed first.
func pipe(write func(io.Writer) error, read func(io.Reader) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		done <- err
	}()
	err := read(r)
	r.CloseWithError(io.ErrClosedPipe)
	if why := <-done; why != nil && !errors.Is(why, io.ErrClosedPipe) {
		return why // the reader saw it too, if it read so far
	}
	return err
}
