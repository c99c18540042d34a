package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// shifted is an engine on a machine whose clock is ahead, or behind if that is negative.
type shifted struct {
	local
	ahead time.Duration
	since chan time.Time // that Logs was asked for
}

func (s *shifted) now() time.Time { return time.Now().Add(s.ahead) }

func (s *shifted) List(context.Context) ([]node.Status, error) {
	return []node.Status{{ID: "w1", State: node.Running, StartedAt: s.now().Add(-time.Minute), Since: s.now().Add(-time.Minute)}}, nil
}

func (s *shifted) Usage(context.Context, ...string) (map[string]node.Usage, error) {
	return map[string]node.Usage{"w1": {Time: s.now()}}, nil
}

// Logs gives lines of the last three minutes, and one that was printed before the clock was set back by ten.
func (s *shifted) Logs(_ context.Context, _ string, since time.Time, fn func(node.LogLine)) error {
	s.since <- since
	for _, ago := range []time.Duration{3, 2, 12, 1} {
		fn(node.LogLine{Time: s.now().Add(-ago * time.Minute), Text: []byte(fmt.Sprint(ago))})
	}
	return nil
}

// away is how far a time is from so long ago.
func away(t, now time.Time, ago time.Duration) time.Duration { return now.Add(-ago).Sub(t).Abs() }

// connected serves an agent and waits until it has answered. config may change what TLS the agent has.
func connected(t *testing.T, l Local, o Options, config func(*tls.Config)) *Client {
	t.Helper()
	o.Controller = "agent.test"
	cert, pool := certificate(t)
	srv := httptest.NewUnstartedServer(New(l, o).Handler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS13}
	config(srv.TLS)
	srv.StartTLS()
	c := Connect(srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "agent.test", Certificates: []tls.Certificate{cert}})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		srv.CloseClientConnections()
		srv.Close()
	})
	return c
}

// TestClockOff: a machine's clock is off by hours. That is known, its times are ours, and lines stay in order and never come from the future.
func TestClockOff(t *testing.T) {
	for _, ahead := range []time.Duration{2 * time.Hour, -3 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			l := &shifted{ahead: ahead, since: make(chan time.Time, 1), local: local{changed: make(chan struct{}, 1)}}
			c := connected(t, l, Options{Clock: l.now}, func(*tls.Config) {})
			<-c.Changed()
			ctx, now := t.Context(), time.Now()
			host, err := c.Host(ctx)
			if err != nil || (host.Skew-ahead).Abs() > time.Minute {
				t.Errorf("the clock is said to be %s ahead, %v", host.Skew, err)
			}
			all, err := c.List(ctx)
			if err != nil || away(all[0].StartedAt, now, time.Minute) > 30*time.Second || away(all[0].Since, now, time.Minute) > 30*time.Second {
				t.Errorf("what began a minute ago is %+v, %v", all, err)
			}
			if u, err := c.Usage(ctx, "w1"); err != nil || away(u["w1"].Time, now, 0) > 30*time.Second {
				t.Errorf("usage is of %s, %v", u["w1"].Time, err)
			}
			var lines []node.LogLine
			if err := c.Logs(ctx, "w1", now.Add(-time.Hour), func(line node.LogLine) { lines = append(lines, line) }); err != nil {
				t.Fatal(err)
			}
			if asked := <-l.since; away(asked, l.now(), time.Hour) > 30*time.Second {
				t.Errorf("lines since an hour ago are asked for since %s, where it is %s", asked, l.now())
			}
			for n, ago := range []time.Duration{3, 2, 2, 1} { // the third is not before the second
				if off := away(lines[n].Time, now, ago*time.Minute); off > 30*time.Second {
					t.Errorf("line %d is %s from where it should be", n, off)
				}
				if n > 0 && lines[n].Time.Before(lines[n-1].Time) {
					t.Errorf("line %d is before the one before it", n)
				}
			}
		})
	}
}

// TestClockMended: what was seen to start keeps its time when the clock is put right, and nothing is of the future until that is known.
func TestClockMended(t *testing.T) {
	var c clock
	began := time.Now().Add(-time.Hour)
	seen := func(raw time.Time) time.Time {
		all := []node.Status{{ID: "w1", StartedAt: raw}}
		c.settle(all)
		return all[0].StartedAt
	}
	c.learn(2 * time.Hour)
	first := seen(began.Add(2 * time.Hour))
	if !first.Equal(began) {
		t.Errorf("it began at %s, want %s", first, began)
	}
	c.learn(2*time.Hour + 300*time.Millisecond) // as answers take
	c.learn(30 * time.Millisecond)
	if again := seen(began.Add(2 * time.Hour)); !again.Equal(first) {
		t.Errorf("with the clock mended it began at %s, was %s", again, first)
	}
	if got := c.ours(began); !got.Equal(began) {
		t.Errorf("with the clock mended %s is taken for %s", began, got)
	}
	if got := c.ours(time.Now().Add(time.Hour)); got.After(time.Now()) {
		t.Errorf("a clock that was set ahead just now makes lines of the future: %s", got)
	}
	if !c.ours(time.Time{}).IsZero() || !c.theirs(time.Time{}).IsZero() {
		t.Error("no time became one")
	}
}

// TestClockOffByDays: the machine takes our certificate for one that has ended, or for one that begins later. The error says what is wrong.
func TestClockOffByDays(t *testing.T) {
	for _, ahead := range []time.Duration{30 * 24 * time.Hour, -30 * 24 * time.Hour} {
		l := &shifted{ahead: ahead, local: local{changed: make(chan struct{}, 1)}}
		c := connected(t, l, Options{Clock: l.now}, func(config *tls.Config) { config.Time = l.now })
		err := c.UpdateFiles(t.Context(), "w1", nil)
		if !errors.Is(err, node.ErrClock) || !errors.Is(err, node.ErrUnavailable) || !strings.Contains(err.Error(), "clock") {
			t.Errorf("%s ahead: %v, want ErrClock", ahead, err)
		}
		if _, err := c.Dial(t.Context(), "w1", "tcp", "localhost:1"); !errors.Is(err, node.ErrClock) {
			t.Errorf("%s ahead, a connection: %v, want ErrClock", ahead, err)
		}
	}
	c := connected(t, &shifted{local: local{changed: make(chan struct{}, 1)}}, Options{}, func(config *tls.Config) { config.ClientCAs = nil; config.GetConfigForClient = nil })
	if err := c.UpdateFiles(t.Context(), "w1", nil); err == nil || errors.Is(err, node.ErrClock) {
		t.Errorf("a certificate of a stranger: %v, want another error", err)
	}
}
