package nomad

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// between stands between the engine and Nomad. What it does to the event stream a test says; all else passes.
type between struct {
	address string
	opened  atomic.Int32 // streams, so far

	mu     sync.Mutex
	cut    context.CancelFunc // of the stream that is open
	closed bool               // no new stream is let through
	held   chan struct{}      // nothing is read from Nomad until it is closed; nil: all is
	lose   bool               // events are thrown away, while the stream stays open
	passed bytes.Buffer       // what the engine was given of events
}

func standBetween(t *testing.T, nomad string) *between {
	t.Helper()
	target, err := url.Parse(nomad)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{}
	// With little room for what is on its way, who is not read notices soon.
	narrow := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	mux := http.NewServeMux()
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Accept-Encoding") // what is passed on is plain
	}})
	mux.HandleFunc("/v1/event/stream", func(w http.ResponseWriter, r *http.Request) { b.stream(narrow, target, w, r) })
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		narrow.CloseIdleConnections()
	})
	b.address = srv.URL
	return b
}

// stream passes one stream on, line by line.
func (b *between) stream(via *http.Transport, target *url.URL, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		http.Error(w, "no stream now", http.StatusBadGateway)
		return
	}
	b.cut = cancel
	b.mu.Unlock()
	req := r.Clone(ctx)
	req.Header.Set("Accept-Encoding", "identity") // compressed, all of it would be on its way at once
	req.URL.Scheme, req.URL.Host, req.RequestURI = target.Scheme, target.Host, ""
	res, err := via.RoundTrip(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	b.opened.Add(1)
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	in, out := bufio.NewReaderSize(res.Body, 4<<10), http.NewResponseController(w)
	for _ = out.Flush(); ; {
		b.mu.Lock()
		held := b.held
		b.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
				return
			}
		}
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		b.mu.Lock()
		lost := b.lose && len(bytes.TrimSpace(line)) > len("{}")
		if !lost {
			b.passed.Write(line)
		}
		b.mu.Unlock()
		if lost {
			continue
		}
		if _, err := w.Write(line); err != nil {
			return
		}
		_ = out.Flush()
	}
}

// knows reports whether the engine was told that a job is gone.
func (b *between) knows(job string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.passed.String()) {
		if strings.Contains(line, `"JobDeregistered"`) && strings.Contains(line, job) {
			return true
		}
	}
	return false
}

// noise writes jobs that nobody runs, so many and each so large, which push older events out of Nomad's buffer.
func noise(t *testing.T, c *api.Client, many, bytes int) {
	t.Helper()
	job := api.NewBatchJob("noise", "noise", "global", 50).AddDatacenter("nowhere")
	job.AddTaskGroup(api.NewTaskGroup("g", 1).AddTask(api.NewTask("t", "docker").SetConfig("image", "none")))
	for n := range many {
		job.SetMeta("text", fmt.Sprint(n)+strings.Repeat("x", bytes))
		if _, _, err := c.Jobs().Register(job, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// followed waits until the engine follows Nomad again.
func followed(t *testing.T, e *Nomad) {
	t.Helper()
	down := func() error {
		e.mu.RLock()
		defer e.mu.RUnlock()
		return e.down
	}
	for give := time.Now().Add(patience); down() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("Nomad is not followed again: %v", down())
		}
	}
}

// TestGap: events are lost on the way from Nomad in each way that they can be, while a job is purged. The engine gets to know that all
// the same, although it never hears of it.
func TestGap(t *testing.T) {
	c := startCluster(t, "server { event_buffer_size = 5 }")
	b := standBetween(t, c.address)
	direct, err := api.NewClient(&api.Config{Address: c.address})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	reg := enginetest.NewRegistry(t)
	image := reg.Image(t, "2000:2000")
	installation := "t" + uuid.NewString()[:7]
	gone := func(s node.Status) bool { return s.ID == "" }
	purge := func(t *testing.T, e *Nomad, s node.Status) string {
		job := e.build.jobID(s.ID)
		if _, _, err := direct.Jobs().Deregister(job, true, nil); err != nil {
			t.Fatal(err)
		}
		noise(t, direct, 20, 1) // more than Nomad remembers
		return job
	}
	begin := func(t *testing.T, change ...func(*Options)) (*Nomad, node.Status) {
		e := opener(t, b.address, installation, change...)(t, "")
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e, running(t, e, image)
	}
	t.Run("StreamIsCut", func(t *testing.T) {
		e, s := begin(t)
		b.mu.Lock()
		b.closed = true
		b.cut()
		b.mu.Unlock()
		job := purge(t, e, s)
		b.mu.Lock()
		b.closed = false
		b.mu.Unlock()
		until(t, e, s.ID, "it is not listed", gone)
		followed(t, e)
		if b.knows(job) {
			t.Error("the event was not lost: nothing is shown")
		}
	})
	t.Run("ReaderIsTooSlow", func(t *testing.T) {
		e, s := begin(t)
		release, before := make(chan struct{}), b.opened.Load()
		b.mu.Lock()
		b.held = release
		b.mu.Unlock()
		noise(t, direct, 100, 100<<10) // more than what fits between the two
		job := purge(t, e, s)
		b.mu.Lock()
		b.held = nil
		b.mu.Unlock()
		close(release)
		until(t, e, s.ID, "it is not listed", gone)
		if b.knows(job) {
			t.Error("the event was not lost: nothing is shown")
		}
		for give := time.Now().Add(patience); b.opened.Load() == before; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(give) {
				t.Fatal("Nomad has not ended the stream of who was too slow")
			}
		}
		followed(t, e)
	})
	t.Run("StreamLosesEvents", func(t *testing.T) {
		e, s := begin(t, func(o *Options) { o.Resync = time.Second })
		b.mu.Lock()
		b.lose = true
		b.mu.Unlock()
		job := purge(t, e, s)
		until(t, e, s.ID, "it is not listed", gone)
		followed(t, e) // Nomad may have ended the stream meanwhile, as with one that is too slow
		if b.knows(job) {
			t.Error("the event was not lost: nothing is shown")
		}
	})
}
