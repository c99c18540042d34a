package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// server is an SSH server with one key, one password and a few commands.
type server struct {
	net.Listener
	key ssh.Signer
	pty chan string // terminals that were asked for
}

func newServer(t *testing.T) *server {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{l, key, make(chan string, 4)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if c.User() != "cf:process/0" || string(password) != "code" {
			return nil, errors.New("no")
		}
		return nil, nil
	}}
	config.AddHostKey(s.key)
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		if c.ChannelType() == "direct-tcpip" {
			go ssh.DiscardRequests(requests)
			go func() { _, _ = io.Copy(channel, channel); channel.Close() }()
			continue
		}
		go s.session(channel, requests)
	}
}

func (s *server) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		switch r.Type {
		case "pty-req":
			s.pty <- string(r.Payload)
			_ = r.Reply(true, nil)
		case "exec":
			var in struct{ Command string }
			_ = ssh.Unmarshal(r.Payload, &in)
			_ = r.Reply(true, nil)
			code := uint32(0)
			switch {
			case in.Command == "cat":
				_, _ = io.Copy(channel, channel)
			case in.Command == "fail":
				fmt.Fprint(channel.Stderr(), "broken\n")
				code = 3
			case in.Command == "killed":
				_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
					Signal    string
					Core      bool
					Text, Lng string
				}{"TERM", false, "", ""}))
				return
			case in.Command == "vanish":
				return
			default:
				fmt.Fprintf(channel, "ran %s\n", in.Command)
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
			return
		}
	}
}

// files are what the options need of a process: input and output that can be looked at.
func files(t *testing.T, input string) (in, out *os.File, read func() string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	out, err = os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out, func() string {
		data, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func (s *server) options(t *testing.T, input string) (Options, func() string) {
	in, out, read := files(t, input)
	return Options{Address: s.Addr().String(), User: "cf:process/0", Code: "code", In: in, Out: out, Err: out,
		Fingerprint: strings.TrimPrefix(ssh.FingerprintSHA256(s.key.PublicKey()), "SHA256:")}, read
}

func TestCommands(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct {
		command, input, want string
		code                 int
		text                 string
	}{
		{command: "ls -l", want: "ran ls -l\n"},
		{command: "cat", input: "hello", want: "hello"},
		{command: "fail", want: "broken\n", code: 3, text: "ended with code 3"},
		{command: "killed", code: 255, text: "signal TERM"},
		{command: "vanish", text: "the connection ended before the remote command"},
	} {
		o, read := s.options(t, tt.input)
		o.Command = tt.command
		err := Run(t.Context(), o)
		var exit *ExitError
		if errors.As(err, &exit) && exit.Code != tt.code {
			t.Errorf("%s: code %d, want %d", tt.command, exit.Code, tt.code)
		}
		if (err == nil) != (tt.text == "") || (err != nil && !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: %v, want %q", tt.command, err, tt.text)
		}
		if got := read(); got != tt.want {
			t.Errorf("%s wrote %q, want %q", tt.command, got, tt.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	o, _ := s.options(t, "")
	o.Command, o.Code = "ls", "wrong"
	if err := Run(t.Context(), o); !errors.Is(err, ErrRefused) {
		t.Errorf("a wrong code: %v", err)
	}
	o, _ = s.options(t, "")
	o.Command, o.Fingerprint = "ls", strings.Repeat("A", 43)
	if err := Run(t.Context(), o); !errors.Is(err, ErrHostKey) {
		t.Errorf("another key: %v", err)
	}
	o.SkipHostKey = true
	if err := Run(t.Context(), o); err != nil {
		t.Errorf("another key that nobody minds: %v", err)
	}
	o.Address = "127.0.0.1:1"
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "can't be reached") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	s := newServer(t)
	o, _ := s.options(t, "")
	o.Command, o.TTY = "ls", TTYAlways
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.pty:
	default:
		t.Error("no terminal was asked for")
	}
	o, _ = s.options(t, "")
	o.Command, o.TTY = "ls", TTYWanted // and there is none here
	if err := Run(t.Context(), o); err != nil || len(s.pty) != 0 {
		t.Errorf("%v, %d terminals", err, len(s.pty))
	}
}

func TestForward(t *testing.T) {
	s := newServer(t)
	o, _ := s.options(t, "")
	address := make(chan string, 1)
	o.NoCommand, o.Forwards = true, []Forward{{From: "127.0.0.1:0", To: "localhost:8080"}}
	o.Listening = func(from, _ string) { address <- from }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	var at string
	select {
	case at = <-address:
	case err := <-ended:
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "ping" {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("after the end: %v", err)
	}
	if _, err := net.Dial("tcp", at); err == nil {
		t.Error("it still listens")
	}
}

func TestParseForward(t *testing.T) {
	for text, want := range map[string]Forward{
		"9000:localhost:8080":          {"localhost:9000", "localhost:8080"},
		"0.0.0.0:9000:10.0.0.1:22":     {"0.0.0.0:9000", "10.0.0.1:22"},
		"[::1]:9000:[2001:db8::1]:443": {"[::1]:9000", "[2001:db8::1]:443"},
		"9000":                         {}, "9000:host": {}, "x:host:1": {}, "1:host:99999": {}, "1::2": {}, "[::1:9000:h:1": {}, "a:b:c:d:e": {},
	} {
		got, err := ParseForward(text)
		if got != want || (err != nil) != (want == Forward{}) {
			t.Errorf("ParseForward(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestFingerprints(t *testing.T) {
	s := newServer(t)
	public := s.key.PublicKey()
	for _, f := range []string{ssh.FingerprintSHA256(public), ssh.FingerprintLegacyMD5(public)} {
		if err := checkKey(f)("", nil, public); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, f := range []string{"", "SHA256:", strings.Repeat("0", 64), strings.Repeat("0", 59), strings.Repeat("0", 47)} {
		if checkKey(f)("", nil, public) == nil {
			t.Errorf("%q is taken", f)
		}
	}
}
