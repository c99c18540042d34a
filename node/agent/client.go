package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// Client is the controller's side.
type Client struct {
	address string
	tls     *tls.Config
	http    *http.Client
	cancel  context.CancelFunc
	done    chan struct{}
	changed chan struct{}

	clock clock

	mu   sync.Mutex
	last []node.Status
	host node.Host
	err  error // of the last look; nil: last is what is there
}

// Connect reaches the agent at host:port, now and from then on. config has our certificate and says whom to
// believe; its ServerName is what the agent's certificate must be for.
func Connect(address string, config *tls.Config) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		address: address, tls: config, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}, 1),
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}},
		err:  fmt.Errorf("%w: the agent at %s has not answered yet", node.ErrUnavailable, address),
	}
	go c.follow(ctx)
	return c
}

// Close ends the connection.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	c.http.CloseIdleConnections()
	return nil
}

// Changed is sent to when List may answer differently.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// follow asks for the list again and again; each answer waits for a change.
func (c *Client) follow(ctx context.Context) {
	defer close(c.done)
	seen, pause := uint64(0), 100*time.Millisecond
	for ctx.Err() == nil {
		var l listing
		look, cancel := context.WithTimeout(ctx, 2*listWait)
		err := c.call(look, http.MethodGet, "/v1/workloads?seen="+strconv.FormatUint(seen, 10), nil, &l)
		cancel()
		c.mu.Lock()
		if c.err = err; err == nil {
			c.last, c.host = l.Workloads, l.Host
			c.host.Skew = time.Until(l.Now)
			c.clock.learn(c.host.Skew)
			c.clock.settle(c.last)
		}
		c.mu.Unlock()
		if err == nil {
			seen, pause = l.Seq, 100*time.Millisecond
			select {
			case c.changed <- struct{}{}:
			default:
			}
			continue
		}
		seen = 0
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// List answers from memory, with an error while the agent does not answer.
func (c *Client) List(context.Context) ([]node.Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.err
}

// Host answers from memory, as List does.
func (c *Client) Host(context.Context) (node.Host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host, c.err
}

// call makes one request.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.address+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unanswered(c.address, err)
	}
	defer res.Body.Close()
	if err := refused(res); err != nil {
		return err
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// unanswered says that an agent does not answer, and why, where that is known.
func unanswered(address string, err error) error {
	if clockOff(err) {
		return fmt.Errorf("%w: the agent at %s: %w", node.ErrUnavailable, address, node.ErrClock)
	}
	return fmt.Errorf("%w: the agent at %s: %v", node.ErrUnavailable, address, err)
}

// refused reads the error of an answer that is one.
func refused(res *http.Response) error {
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	var f failure
	if err := json.NewDecoder(io.LimitReader(res.Body, maxFrame)).Decode(&f); err != nil || f.Text == "" {
		return fmt.Errorf("the agent answered with status %d", res.StatusCode)
	}
	return f.err()
}

func workload(id, verb string) string { return "/v1/workloads/" + url.PathEscape(id) + "/" + verb }

// Stop ends a workload's container.
func (c *Client) Stop(ctx context.Context, id string, grace time.Duration) error {
	return c.call(ctx, http.MethodPost, workload(id, "stop"), stopRequest{grace}, &struct{}{})
}

// Usage returns what workloads use.
func (c *Client) Usage(ctx context.Context, ids ...string) (map[string]node.Usage, error) {
	var all map[string]node.Usage
	err := c.call(ctx, http.MethodPost, "/v1/usage", ids, &all)
	for id, u := range all {
		u.Time = c.clock.ours(u.Time)
		all[id] = u
	}
	return all, err
}

// SetNetwork says what workloads may reach.
func (c *Client) SetNetwork(ctx context.Context, n node.Network) error {
	return c.call(ctx, http.MethodPut, "/v1/network", n, &struct{}{})
}

// UpdateFiles replaces files of a workload.
func (c *Client) UpdateFiles(ctx context.Context, id string, files map[string][]byte) error {
	return c.call(ctx, http.MethodPut, workload(id, "files"), files, &struct{}{})
}

// Logs follows a workload's output. A broken connection is ErrUnavailable.
func (c *Client) Logs(ctx context.Context, id string, since time.Time, fn func(node.LogLine)) error {
	path := workload(id, "logs") + "?since=" + url.QueryEscape(c.clock.theirs(since).Format(time.RFC3339Nano))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.address+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unanswered(c.address, err)
	}
	defer res.Body.Close()
	if err := refused(res); err != nil {
		return err
	}
	last := since
	for in := json.NewDecoder(res.Body); ; {
		var m logLine
		if err := in.Decode(&m); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: the agent at %s: %v", node.ErrUnavailable, c.address, err)
		}
		if m.Line == nil {
			return m.End.err()
		}
		if m.Line.Time = c.clock.ours(m.Line.Time); m.Line.Time.Before(last) { // its clock was set back just now
			m.Line.Time = last
		}
		last = m.Line.Time
		fn(*m.Line)
	}
}

// upgraded is a connection of its own, after the agent has agreed.
func (c *Client) upgraded(ctx context.Context, path string, in any) (*node.Ahead, error) {
	return upgraded(ctx, c.address, c.tls, path, in)
}

func upgraded(ctx context.Context, address string, config *tls.Config, path string, in any) (*node.Ahead, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"} // the connection is taken over, which HTTP/2 has no way for
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, unanswered(address, err)
	}
	ahead, err := node.TakeOver(ctx, conn, req, protocol, refused)
	if clockOff(err) {
		err = unanswered(address, err)
	}
	return ahead, err
}

// Dial connects from inside a workload.
func (c *Client) Dial(ctx context.Context, id, network, address string) (net.Conn, error) {
	q := url.Values{"network": {network}, "address": {address}}
	conn, err := c.upgraded(ctx, workload(id, "dial")+"?"+q.Encode(), struct{}{})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Exec runs a command in a workload.
func (c *Client) Exec(ctx context.Context, id string, e node.Exec) (int, error) {
	in := execRequest{Command: e.Command, Env: e.Env, TTY: e.TTY, Stdin: e.Stdin != nil}
	if e.Program != nil {
		in.Program = e.Program.Name
	}
	conn, err := c.upgraded(ctx, workload(id, "exec"), in)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	out := &frames{w: conn}
	if e.Program != nil {
		if err := out.send(frameProgram, e.Program.Content); err != nil {
			return 0, err
		}
	}
	if e.Stdin != nil {
		go func() { // a reader that never ends may outlive the call by one read, as with os/exec
			_, _ = io.Copy(out.as(frameInput), e.Stdin)
			_ = out.send(frameEnd, nil)
		}()
	}
	go pass(ctx, out, e)
	status, err := hear(conn, e)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return status, err
}

// pass sends sizes and signals until ctx ends.
func pass(ctx context.Context, out *frames, e node.Exec) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-e.Resize:
			if !ok {
				e.Resize = nil
				continue
			}
			var b [4]byte
			binary.BigEndian.PutUint16(b[:], s[0])
			binary.BigEndian.PutUint16(b[2:], s[1])
			_ = out.send(frameResize, b[:]) // a connection that broke is seen by hear
		case s, ok := <-e.Signals:
			if !ok {
				e.Signals = nil
				continue
			}
			if n, is := s.(syscall.Signal); is {
				_ = out.send(frameSignal, []byte{byte(n)})
			}
		}
	}
}

// hear writes what the command says until it ends.
func hear(r io.Reader, e node.Exec) (int, error) {
	for {
		kind, content, err := receive(r)
		if err != nil {
			return 0, fmt.Errorf("%w: the connection to the node broke: %v", node.ErrUnavailable, err)
		}
		var to io.Writer
		switch kind {
		case frameOutput:
			to = e.Stdout
		case frameErrors:
			to = e.Stderr
		case frameExit:
			var m exitMessage
			if err := json.Unmarshal(content, &m); err != nil {
				return 0, err
			}
			return m.Status, m.Error.err()
		}
		if to != nil {
			if _, err := to.Write(content); err != nil {
				return 0, err
			}
		}
	}
}
