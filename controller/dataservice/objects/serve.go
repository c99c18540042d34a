package objects

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// Options are what a server is started with.
type Options struct {
	Dir        string // of the store
	ConfigFile string // a Config, read again when Reload says so
	CertFile   string
	KeyFile    string
	Listen     string // HOST:PORT
	Socket     string // for Backup and the like, on this machine alone
	Reload     <-chan os.Signal
	Log        *slog.Logger
}

const drain = 20 * time.Second // for requests under way at the end

// Serve serves until ctx ends, and then ends requests and closes the store.
func Serve(ctx context.Context, o Options) (err error) {
	c, err := readConfig(o.ConfigFile)
	if err != nil {
		return err
	}
	var pair atomic.Pointer[tls.Certificate]
	if err := loadPair(o, &pair); err != nil {
		return err
	}
	store, err := OpenStore(o.Dir, int64(c.LimitMB)<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	h := NewHandler(store, c, o.Log)
	public, private, err := listen(o, c, &pair)
	if err != nil {
		return err
	}
	servers := []*http.Server{
		{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute},
		{Handler: store.admin(), ReadHeaderTimeout: 10 * time.Second},
	}
	ended := make(chan error, len(servers))
	for i, l := range []net.Listener{public, private} {
		go func() { ended <- servers[i].Serve(l) }()
	}
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case err = <-ended:
			running = false
		case <-o.Reload:
			if err := reload(o, h, &pair); err != nil {
				o.Log.Error("configuration stays as it was", "error", err)
			}
		}
	}
	end, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(end))
	}
	return err
}

func listen(o Options, c *Config, pair *atomic.Pointer[tls.Certificate]) (public, private net.Listener, err error) {
	if err := os.Remove(o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	if private, err = net.Listen("unix", o.Socket); err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(o.Socket, 0o600); err != nil {
		return nil, nil, errors.Join(err, private.Close())
	}
	plain, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, nil, errors.Join(err, private.Close())
	}
	if c.Connections > 0 {
		plain = netutil.LimitListener(plain, c.Connections)
	}
	return tls.NewListener(plain, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Load(), nil },
	}), private, nil
}

func loadPair(o Options, into *atomic.Pointer[tls.Certificate]) error {
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err == nil {
		into.Store(&pair)
	}
	return err
}

func reload(o Options, h *Handler, pair *atomic.Pointer[tls.Certificate]) error {
	c, err := readConfig(o.ConfigFile)
	if err != nil {
		return err
	}
	h.Configure(c)
	return loadPair(o, pair)
}

func readConfig(file string) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if c.Bucket == "" || c.Region == "" {
		return nil, fmt.Errorf("%s: bucket and region are needed", file)
	}
	return c, nil
}

// admin is what the commands beside the server ask it through its socket.
func (s *Store) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, _ *http.Request) {
		if s.Backup(w) != nil {
			panic(http.ErrAbortHandler) // the stream is cut off, so that nobody takes it for whole
		}
	})
	mux.HandleFunc("POST /restore", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Restore(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, r *http.Request) {
		u, err := s.Usage(r.URL.Query().Has("all"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(u) // who has gone needs no answer
	})
	return mux
}

// Ask sends one request to the socket of a server and copies the answer.
func Ask(ctx context.Context, socket, method, path string, in io.Reader, out io.Writer) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, method, "http://objects"+path, in)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024)) // what could be read of why
		return errors.New(string(text))
	}
	_, err = io.Copy(out, answer.Body)
	return err
}
