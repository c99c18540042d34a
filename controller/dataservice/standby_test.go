package dataservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// container is an engine whose containers answer a command with what they were told.
type container struct {
	Engine
	waits   chan struct{} // that a process waits
	direct  atomic.Int32  // commands that came without a standby
	standby atomic.Int32
}

func (c *container) Exec(ctx context.Context, _ string, e node.Exec) (int, error) {
	if e.Command[0] != keeper.Path {
		c.direct.Add(1)
		in, _ := io.ReadAll(e.Stdin)
		fmt.Fprintf(e.Stdout, "direct %s", in)
		return 0, nil
	}
	c.standby.Add(1)
	_, _ = io.WriteString(e.Stdout, keeper.Greeting)
	c.waits <- struct{}{}
	told := make(chan string, 1)
	go func() {
		in, _ := io.ReadAll(e.Stdin)
		told <- string(in)
	}()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case in := <-told:
		if strings.Contains(in, "hangs") {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		fmt.Fprintf(e.Stdout, "waited %s", in)
		fmt.Fprint(e.Stderr, "complaint")
		return 3, nil
	}
}

// TestStandby: a command takes the place of the process that waits for one, once; the next goes its own way.
func TestStandby(t *testing.T) {
	c := &container{waits: make(chan struct{}, 1)}
	m := &Manager{Engine: c}
	m.prepare()
	s, o := &store.DataService{Meta: store.Meta{GUID: "one"}, ImageDigest: "sha256:ours"}, &Offering{}
	run := func(ctx context.Context, program string) (int, string, string, error) {
		var out, complaints bytes.Buffer
		status, err := m.exec(ctx, "one", node.Exec{Command: []string{program}, Env: []string{"A=b=c"}, Stdin: strings.NewReader("input"), Stdout: &out, Stderr: &complaints})
		return status, out.String(), complaints.String(), err
	}
	m.standBy(t.Context(), s, o)
	o.Server.Exec = []string{"server"}
	m.standBy(t.Context(), s, o)
	if n := c.standby.Load(); n != 0 {
		t.Fatalf("%d processes wait in images that may have no program for it", n)
	}
	m.made[s.ImageDigest] = true
	m.standBy(t.Context(), s, o)
	m.standBy(t.Context(), s, o)
	<-c.waits
	status, out, complaints, err := run(t.Context(), "psql")
	if want := `waited {"run":["psql"],"env":{"A":"b=c"}}` + "\ninput"; status != 3 || out != want || complaints != "complaint" || err != nil {
		t.Errorf("%d, %q, %q, %v", status, out, complaints, err)
	}
	if status, out, _, err := run(t.Context(), "psql"); status != 0 || out != "direct input" || err != nil {
		t.Errorf("the next: %d, %q, %v", status, out, err)
	}
	m.work.Wait()
	if n, direct := c.standby.Load(), c.direct.Load(); n != 1 || direct != 1 {
		t.Errorf("%d standbys and %d direct commands", n, direct)
	}
}

// TestStandbyEnds: with its command's context, with that of the platform, and it is forgotten then.
func TestStandbyEnds(t *testing.T) {
	c := &container{waits: make(chan struct{}, 1)}
	m := &Manager{Engine: c}
	m.prepare()
	s, o := &store.DataService{Meta: store.Meta{GUID: "one"}, ImageDigest: "sha256:ours"}, &Offering{Server: keeper.Plan{Exec: []string{"server"}}}
	m.made[s.ImageDigest] = true
	m.standBy(t.Context(), s, o)
	<-c.waits
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.exec(ctx, "one", node.Exec{Command: []string{"hangs"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a command that was given up: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	m.standBy(ctx, s, o)
	<-c.waits
	cancel()
	m.work.Wait()
	if len(m.standbys) != 0 {
		t.Error("a standby that has ended is still counted on")
	}
}
