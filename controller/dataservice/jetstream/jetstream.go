// Package jetstream backs up and restores what a NATS server keeps in JetStream: streams on file with their messages and
// consumers, key-value and object stores among them, by the server's own snapshot API (NATS ADR-2 and the API's schema
// io.nats.jetstream.api.v1.stream_snapshot). It runs beside the server and imports nothing of ours.
package jetstream

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// Server is where a NATS server is and who asks.
type Server struct {
	Address        string // HOST:PORT
	Name           string // that its certificate is for
	CAFile         string
	User, Password string
}

const (
	// patience is how long the server may take for an answer, or for the next piece of a snapshot.
	patience   = time.Minute
	chunkBytes = 128 << 10
	// frameLimit bounds a piece of a backup.
	frameLimit = 8 << 20
	magic      = "cupola jetstream 1\n"
	// wholeStatus ends a snapshot that is whole; servers before 2.11 send none.
	wholeStatus = "204"
)

// ErrDamaged says that a backup is not one of ours, or cut off.
var ErrDamaged = errors.New("the backup of streams is damaged or cut off")

func (s Server) connect() (*nats.Conn, error) {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.CAFile)
	}
	return nats.Connect("tls://"+s.Address, nats.UserInfo(s.User, s.Password), nats.Timeout(patience), nats.NoReconnect(),
		nats.Secure(&tls.Config{RootCAs: roots, ServerName: s.Name, MinVersion: tls.VersionTLS12}))
}

// with gives a function a connection and all streams of the account.
func (s Server) with(do func(*nats.Conn, nats.JetStreamContext, []*nats.StreamInfo) error) error {
	nc, err := s.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := nc.JetStream(nats.MaxWait(patience))
	if err != nil {
		return err
	}
	if _, err := js.AccountInfo(); err != nil { // listing streams hides why it cannot be done
		return err
	}
	var all []*nats.StreamInfo
	for info := range js.Streams() {
		all = append(all, info)
	}
	return do(nc, js, all)
}

// apiError is how the JetStream API says that something went wrong.
type apiError struct {
	Error *struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	} `json:"error"`
}

// request asks the API and reads its answer into two things: what is wanted, and whether it went wrong.
func request(nc *nats.Conn, subject string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m, err := nc.Request(subject, text, patience)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return answer(subject, m.Data, into)
}

func answer(subject string, data []byte, into any) error {
	var failed apiError
	if err := errors.Join(json.Unmarshal(data, &failed), json.Unmarshal(data, into)); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if failed.Error != nil {
		return fmt.Errorf("%s: %s (%d)", subject, failed.Error.Description, failed.Error.Code)
	}
	return nil
}

// described is a stream as the server tells of it before its content, and is told of it before that is restored.
type described struct {
	Name   string          `json:"name"`
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// Backup writes all streams on file to out, one after the other, each as it is at one moment. Streams in memory, which do not
// survive a restart either, are left out.
func Backup(s Server, out io.Writer) error {
	return s.with(func(nc *nats.Conn, _ nats.JetStreamContext, all []*nats.StreamInfo) error {
		w := bufio.NewWriter(out)
		if _, err := w.WriteString(magic); err != nil {
			return err
		}
		for _, info := range all {
			if info.Config.Storage != nats.FileStorage {
				continue
			}
			if err := backupStream(nc, info.Config.Name, w); err != nil {
				return fmt.Errorf("stream %s: %w", info.Config.Name, err)
			}
		}
		return errors.Join(writeFrame(w, nil), w.Flush())
	})
}

// backupStream writes what a stream is like, the pieces of its content, and an empty piece.
func backupStream(nc *nats.Conn, name string, out io.Writer) error {
	inbox := nats.NewInbox()
	pieces, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	if err := pieces.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	d := described{Name: name}
	if err := request(nc, "$JS.API.STREAM.SNAPSHOT."+name, map[string]any{"deliver_subject": inbox, "chunk_size": chunkBytes}, &d); err != nil {
		return err
	}
	d.Name = name
	head, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := writeFrame(out, head); err != nil {
		return err
	}
	for {
		m, err := pieces.NextMsg(patience)
		if err != nil {
			return fmt.Errorf("its snapshot stopped: %w", err)
		}
		if len(m.Data) == 0 {
			if status := m.Header.Get("Status"); status != "" && status != wholeStatus {
				return fmt.Errorf("its snapshot stopped: %s %s", status, m.Header.Get("Description"))
			}
			return errors.Join(writeFrame(out, nil), pieces.Unsubscribe())
		}
		if err := writeFrame(out, m.Data); err != nil {
			return err
		}
		if m.Reply != "" { // the server waits for it before it sends much more
			if err := m.Respond(nil); err != nil {
				return err
			}
		}
	}
}

// Restore makes the streams of a server those of a backup: what is there goes first.
func Restore(s Server, in io.Reader) error {
	return s.with(func(nc *nats.Conn, js nats.JetStreamContext, all []*nats.StreamInfo) error {
		r := bufio.NewReader(in)
		head := make([]byte, len(magic))
		if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
			return ErrDamaged
		}
		for _, info := range all {
			if err := js.DeleteStream(info.Config.Name); err != nil && !errors.Is(err, nats.ErrStreamNotFound) {
				return fmt.Errorf("stream %s: %w", info.Config.Name, err)
			}
		}
		for {
			head, err := readFrame(r)
			if err != nil || len(head) == 0 {
				return err
			}
			var d described
			if err := json.Unmarshal(head, &d); err != nil || d.Name == "" {
				return ErrDamaged
			}
			if err := restoreStream(nc, d, r); err != nil {
				return fmt.Errorf("stream %s: %w", d.Name, err)
			}
		}
	})
}

func restoreStream(nc *nats.Conn, d described, in io.Reader) error {
	subject := "$JS.API.STREAM.RESTORE." + d.Name
	var to struct {
		Subject string `json:"deliver_subject"`
	}
	if err := request(nc, subject, map[string]any{"config": d.Config, "state": d.State}, &to); err != nil {
		return err
	}
	for {
		piece, err := readFrame(in)
		if err != nil {
			return err
		}
		m, err := nc.Request(to.Subject, piece, patience)
		if err != nil {
			return err
		}
		if len(piece) == 0 {
			return answer(subject, m.Data, &struct{}{})
		}
		if len(m.Data) > 0 {
			if err := answer(subject, m.Data, &struct{}{}); err != nil {
				return err
			}
		}
	}
}

// Proof says what the streams hold.
func Proof(s Server, out io.Writer) error {
	return s.with(func(_ *nats.Conn, _ nats.JetStreamContext, all []*nats.StreamInfo) error {
		messages, consumers := uint64(0), 0
		for _, info := range all {
			messages += info.State.Msgs
			consumers += info.State.Consumers
		}
		_, err := fmt.Fprintf(out, "%d streams, %d messages, %d consumers\n", len(all), messages, consumers)
		return err
	})
}

// A frame is its length in 4 bytes and its content.
func writeFrame(out io.Writer, content []byte) error {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(content)))
	if _, err := out.Write(size[:]); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

func readFrame(in io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, ErrDamaged
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > frameLimit {
		return nil, ErrDamaged
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(in, content); err != nil {
		return nil, ErrDamaged
	}
	return content, nil
}
