package logs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTime = 10 * time.Second
	// sendTime is how long a server may take for what is sent at once.
	sendTime = 30 * time.Second
	// batchBytes is where a request of https-batch ends.
	batchBytes = 256 << 10
	// answerBytes is how much of an answer is read, so that its connection can be used again.
	answerBytes = 64 << 10
)

// sink sends messages to one drain.
type sink interface {
	// send returns once the messages were given away: written to a connection, or taken by a server. After an error
	// they may have arrived in part.
	send(ctx context.Context, messages [][]byte) error
	close()
}

// errRefused says that a server does not want a message and never will.
var errRefused = errors.New("the server refuses")

func newSink(t *target, guard Guard) sink {
	dialer := &net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second, Control: guard.Control}
	if t.scheme == "syslog" || t.scheme == "syslog-tls" {
		return &connSink{target: t, dialer: dialer}
	}
	return &requestSink{target: t, client: &http.Client{
		Timeout:       sendTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: t.tls, TLSHandshakeTimeout: dialTime,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
	}}
}

// connSink writes to a connection, which it makes when there is none.
type connSink struct {
	target *target
	dialer *net.Dialer
	conn   net.Conn
	socket *net.TCPConn  // that of conn
	gone   chan struct{} // closed when it was seen that the server has ended conn
}

func (s *connSink) send(ctx context.Context, messages [][]byte) error {
	if s.conn != nil && s.ended() { // what was written now would be lost without a word
		s.close()
	}
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	for _, m := range messages {
		out.Write(octetCounted(m))
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if err == nil {
		_, err = s.conn.Write(out.Bytes())
	}
	if err != nil {
		s.close()
	}
	return err
}

func (s *connSink) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := s.dialer.DialContext(ctx, "tcp", s.target.address)
	if err != nil {
		return err
	}
	socket := conn.(*net.TCPConn) // as for every dial to "tcp"
	if s.target.tls != nil {
		secure := tls.Client(conn, s.target.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		conn = secure
	}
	s.conn, s.socket, s.gone = conn, socket, make(chan struct{})
	go func(gone chan struct{}) { // ends with the connection: a syslog server says nothing but its end
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}(s.gone)
	return nil
}

// ended reports whether the server has ended the connection. The kernel knows before the goroutine that reads has its turn.
func (s *connSink) ended() bool {
	select {
	case <-s.gone:
		return true
	default:
	}
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return true
	}
	end := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		end = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return end || err != nil
}

func (s *connSink) close() {
	if s.conn == nil {
		return
	}
	s.conn.Close()
	<-s.gone
	s.conn = nil
}

// requestSink posts messages: each by itself, or several in one request.
type requestSink struct {
	target *target
	client *http.Client
	done   int // of the messages at hand, from the last call on: they were taken
}

func (s *requestSink) send(ctx context.Context, messages [][]byte) error {
	for s.done < len(messages) {
		n := s.next(messages[s.done:])
		err := s.post(ctx, bytes.Join(messages[s.done:s.done+n], nil))
		if err != nil && !errors.Is(err, errRefused) {
			return err
		}
		s.done += n
		if err != nil {
			return err
		}
	}
	s.done = 0
	return nil
}

// next is how many messages go with the next request.
func (s *requestSink) next(messages [][]byte) int {
	if s.target.scheme == "https" {
		return 1
	}
	n, size := 0, 0
	for n < len(messages) && (n == 0 || size+len(messages[n]) <= batchBytes) {
		size += len(messages[n])
		n++
	}
	return n
}

func (s *requestSink) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "text/plain")
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytes)
	switch {
	case answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return fmt.Errorf("%w: it answers %s", errRefused, answer.Status)
}

func (s *requestSink) close() { s.client.CloseIdleConnections() }
