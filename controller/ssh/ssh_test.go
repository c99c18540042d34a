package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cupola-paas/cupola/node"
)

const (
	guid = "0f6e4e0a-9f0a-4a52-8a39-3b54a0d7a001"
	user = "cf:" + guid + "/0"
)

// patience is how long a test waits for an event before it gives up. Nothing is asserted about time.
const patience = time.Minute

// world is a server with a gate and an engine by hand.
type world struct {
	t       *testing.T
	gate    *gate
	engine  *engine
	log     *logBook
	changed chan struct{}
	addr    string
	key     ssh.Signer
}

type gate struct {
	mu    sync.Mutex
	codes map[string]bool
	shut  bool
	err   error
	last  Knock
}

func (g *gate) Enter(_ context.Context, k Knock) (*Visit, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = k
	if g.err != nil {
		return nil, g.err
	}
	if !g.codes[k.Code] || g.shut {
		return nil, ErrDenied
	}
	delete(g.codes, k.Code)
	return &Visit{AppGUID: "app", InstanceID: "instance", Index: k.Index}, nil
}

func (g *gate) Stays(*Visit) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.shut
}

func (g *gate) code(code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.codes[code] = true
}

// engine runs what a test gives it.
type engine struct {
	exec   func(ctx context.Context, e node.Exec) (int, error)
	dialer func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	dial []string
}

func (e *engine) Exec(ctx context.Context, _ string, x node.Exec) (int, error) { return e.exec(ctx, x) }

func (e *engine) Dial(ctx context.Context, id, network, address string) (net.Conn, error) {
	e.mu.Lock()
	e.dial = append(e.dial, id+" "+address)
	e.mu.Unlock()
	if e.dialer == nil {
		e.dialer = (&net.Dialer{}).DialContext
	}
	return e.dialer(ctx, network, address)
}

type logBook struct{ lines chan string }

func (l *logBook) Platform(app, source, index, text string) {
	l.lines <- fmt.Sprintf("%s [%s/%s] %s", app, source, index, text)
}

func (l *logBook) until(t *testing.T, part string) {
	t.Helper()
	give := time.After(patience)
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, part) {
				return
			}
		case <-give:
			t.Fatalf("waited in vain for the log line %q", part)
		}
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	text, err := NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseHostKey(text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, gate: &gate{codes: map[string]bool{}}, engine: &engine{}, log: &logBook{make(chan string, 1000)},
		changed: make(chan struct{}, 1), addr: l.Addr().String(), key: key,
	}
	s := New(Options{
		Listener: l, HostKey: key, Gate: w.gate, Engine: w.engine, Logs: w.log, Guest: []byte("program"),
		Watch: func(context.Context) <-chan struct{} { return w.changed },
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server did not stop")
		}
	})
	return w
}

// login dials with a user and a password.
func (w *world) login(user, password string) (*ssh.Client, error) {
	return ssh.Dial("tcp", w.addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.FixedHostKey(w.key.PublicKey()), Timeout: patience,
	})
}

// client is one that came in.
func (w *world) client() *ssh.Client {
	w.t.Helper()
	w.gate.code("good")
	c, err := w.login(user, "good")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func (w *world) session() *ssh.Session {
	w.t.Helper()
	s, err := w.client().NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestWhoComesIn(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		user, code string
		in         bool
	}{
		{user, "good", true},
		{user, "good", false}, // a second time
		{"cf:" + strings.ToUpper(guid) + "/12", "again", true},
		{user, "bad", false},
		{user, "", false},
		{"cf:" + guid, "unused", false},
		{"cf:" + guid + "/", "unused", false},
		{"cf:" + guid + "/-1", "unused", false},
		{"cf:" + guid + "/01", "unused", false},
		{"cf:" + guid + "/1000000", "unused", false},
		{"cf:../" + guid + "/0", "unused", false},
		{"root", "unused", false},
		{user + "\x00", "unused", false},
		{user, strings.Repeat("x", 300), false},
	} {
		if c.in {
			w.gate.code(c.code)
		}
		client, err := w.login(c.user, c.code)
		if (err == nil) != c.in {
			t.Errorf("login as %q with %q: %v, want in: %t", c.user, c.code, err, c.in)
		}
		if err == nil {
			client.Close()
			_, index, _ := strings.Cut(c.user, "/")
			w.log.until(t, "app [SSH/"+index+"] Successful remote access by 127.0.0.1:")
			w.log.until(t, "app [SSH/"+index+"] Remote access ended for 127.0.0.1:")
		}
	}
	if want := guid; w.gate.last.GUID != want {
		t.Errorf("the gate was asked for %q, want %q", w.gate.last.GUID, want)
	}
}

func TestGateOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.gate.err = errors.New("disk on fire")
	_, err := w.login(user, "x")
	if err == nil || strings.Contains(err.Error(), "fire") {
		t.Errorf("login = %v, want a refusal that shows nothing internal", err)
	}
}

func TestGuessesAreThrottled(t *testing.T) {
	w := newWorld(t)
	for range maxFailures {
		if _, err := w.login(user, "bad"); err == nil {
			t.Fatal("came in with a bad code")
		}
	}
	w.gate.code("good")
	if _, err := w.login(user, "good"); err == nil {
		t.Error("an address that guessed so often was listened to")
	}
	if !w.gate.codes["good"] {
		t.Error("the code was used up")
	}
}

func TestCommand(t *testing.T) {
	w := newWorld(t)
	var got node.Exec
	w.engine.exec = func(_ context.Context, e node.Exec) (int, error) {
		got = e
		in, err := io.ReadAll(e.Stdin)
		fmt.Fprintf(e.Stdout, "out:%s", in)
		fmt.Fprint(e.Stderr, "err")
		return 7, err
	}
	s := w.session()
	if err := s.Setenv("LC_ALL", "C.UTF-8"); err != nil {
		t.Errorf("setenv: %v", err)
	}
	for _, bad := range []string{"", "A B", "A=B", "1A", strings.Repeat("A", 200)} {
		if err := s.Setenv(bad, "x"); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
	var out, errOut bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("in"), &out, &errOut
	err := s.Run("do it")
	if exit := (*ssh.ExitError)(nil); !errors.As(err, &exit) || exit.ExitStatus() != 7 || exit.Signal() != "" {
		t.Errorf("run = %v, want status 7", err)
	}
	if out.String() != "out:in" || errOut.String() != "err" {
		t.Errorf("output %q and %q", &out, &errOut)
	}
	if fmt.Sprint(got.Command) != "[exec do it]" || fmt.Sprint(got.Env) != "[LC_ALL=C.UTF-8]" || got.TTY || got.Program.Name != "guest" {
		t.Errorf("the engine was asked for %+v", got)
	}
}

func TestTerminal(t *testing.T) {
	w := newWorld(t)
	w.engine.exec = func(_ context.Context, e node.Exec) (int, error) {
		if !e.TTY || e.Command[0] != "shell" {
			return 1, nil
		}
		fmt.Fprintln(e.Stdout, e.Env, <-e.Resize)
		for size := range e.Resize {
			if size == [2]uint16{33, 44} {
				return 0, nil
			}
		}
		return 2, nil
	}
	s := w.session()
	if err := s.RequestPty("xterm", 1_000_000, 1, nil); err == nil {
		t.Error("a terminal of a million lines was made")
	}
	if err := s.RequestPty("xterm", 40, 100, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("[TERM=xterm] [100 40]"))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "[TERM=xterm] [100 40]" {
		t.Fatalf("began with %q, %v", line, err)
	}
	if err := s.WindowChange(44, 33); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("wait = %v", err)
	}
}

func TestSignal(t *testing.T) {
	for _, c := range []struct {
		status int
		signal string
	}{{128 + int(syscall.SIGTERM), "TERM"}, {3, ""}} {
		w := newWorld(t)
		w.engine.exec = func(_ context.Context, e node.Exec) (int, error) {
			fmt.Fprint(e.Stdout, "!")
			if s := <-e.Signals; s != os.Signal(syscall.SIGTERM) {
				return 1, nil
			}
			return c.status, nil
		}
		s := w.session()
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("wait"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal("NONSENSE"); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(ssh.SIGTERM); err != nil {
			t.Fatal(err)
		}
		exit := (*ssh.ExitError)(nil)
		if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != c.signal || c.signal == "" && exit.ExitStatus() != c.status {
			t.Errorf("ended with %v, want status %d or signal %q", err, c.status, c.signal)
		}
	}
}

func TestEngineFails(t *testing.T) {
	for err, want := range map[error]string{node.ErrNotFound: "gone", errors.New("secret path"): "could not be run"} {
		w := newWorld(t)
		w.engine.exec = func(context.Context, node.Exec) (int, error) { return 0, err }
		s := w.session()
		var errOut bytes.Buffer
		s.Stderr = &errOut
		exit := (*ssh.ExitError)(nil)
		if err := s.Run("x"); !errors.As(err, &exit) || exit.ExitStatus() != 255 {
			t.Errorf("run = %v, want status 255", err)
		}
		if !strings.Contains(errOut.String(), want) || strings.Contains(errOut.String(), "secret") {
			t.Errorf("said %q, want %q", &errOut, want)
		}
	}
}

// hang is a command that lasts until it is told to end.
func (w *world) hang() (ended <-chan struct{}) {
	end := make(chan struct{})
	w.engine.exec = func(ctx context.Context, e node.Exec) (int, error) {
		fmt.Fprint(e.Stdout, "!")
		<-ctx.Done()
		close(end)
		return 0, ctx.Err()
	}
	return end
}

func begin(t *testing.T, s *ssh.Session) {
	t.Helper()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("hang"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("waited in vain until %s", what)
	}
}

func TestCommandEndsWithItsChannel(t *testing.T) {
	w := newWorld(t)
	ended := w.hang()
	s := w.session()
	begin(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the command ended", ended)
}

func TestAccessWithdrawn(t *testing.T) {
	w := newWorld(t)
	ended := w.hang()
	s := w.session()
	begin(t, s)
	w.gate.mu.Lock()
	w.gate.shut = true
	w.gate.mu.Unlock()
	w.changed <- struct{}{}
	await(t, "the command ended", ended)
	if err := s.Wait(); err == nil {
		t.Error("the session ended well")
	}
}

func TestForward(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		in, _ := io.ReadAll(conn) // until the client has closed its half
		fmt.Fprintf(conn, "got %s", in)
		conn.Close()
	}()
	client := w.client()
	conn, err := client.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "this")
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(conn); err != nil || string(out) != "got this" {
		t.Errorf("read %q, %v", out, err)
	}
	if want := "instance " + l.Addr().String(); w.engine.dial[0] != want {
		t.Errorf("the engine dialed %q, want %q", w.engine.dial[0], want)
	}
	l.Close()
	if _, err := client.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("connected with a closed port")
	}
	for _, bad := range []forwardRequest{{Host: "x", Port: 0}, {Host: "x", Port: 70000}, {Host: strings.Repeat("x", 300), Port: 80}} {
		if _, _, err := client.OpenChannel("direct-tcpip", ssh.Marshal(bad)); err == nil {
			t.Errorf("forwarded to %+v", bad)
		}
	}
	if _, _, err := client.OpenChannel("x11", nil); err == nil {
		t.Error("an x11 channel was opened")
	}
	if _, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("remote forwarding was granted")
	}
}

func TestRequests(t *testing.T) {
	w := newWorld(t)
	client := w.client()
	for kind, want := range map[string]bool{"keepalive@openssh.com": true, "keepalive@cloudfoundry.org": true, "nonsense": false} {
		if ok, _, err := client.SendRequest(kind, true, nil); ok != want || err != nil {
			t.Errorf("request %s: %t, %v; want %t", kind, ok, err, want)
		}
	}
	for range maxChannels {
		if _, _, err := client.OpenChannel("session", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := client.OpenChannel("session", nil); err == nil {
		t.Errorf("more than %d channels were opened", maxChannels)
	}
}

func TestSessionRefuses(t *testing.T) {
	w := newWorld(t)
	w.engine.exec = func(ctx context.Context, _ node.Exec) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	s := w.session()
	if err := s.RequestSubsystem("netconf"); err == nil {
		t.Error("an unknown subsystem was begun")
	}
	if ok, err := s.SendRequest("exec", true, []byte{1}); ok || err != nil {
		t.Errorf("a torn request: %t, %v", ok, err)
	}
	if err := s.Start(strings.Repeat("x", maxCommand+1)); err == nil {
		t.Error("a command that is too long was begun")
	}
	s2, err := w.client().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s2.Start("one"); err != nil {
		t.Fatal(err)
	}
	if ok, err := s2.SendRequest("exec", true, ssh.Marshal(textRequest{"two"})); ok || err != nil {
		t.Errorf("a second command: %t, %v", ok, err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	now := time.Now()
	th := newThrottle(func() time.Time { return now })
	for range maxPerAddress {
		if !th.open("a") {
			t.Fatal("refused too early")
		}
		th.greeted()
	}
	if th.open("a") {
		t.Error("one address has more connections than it may")
	}
	for range maxHandshakes {
		if !th.open("b" + fmt.Sprint(th.all)) {
			t.Fatal("refused too early")
		}
	}
	if th.open("c") {
		t.Error("more handshakes are under way than may be")
	}
	th.greeted()
	if !th.open("c") {
		t.Error("a handshake that is over still counts")
	}
	th.closed("a")
	th.greeted()
	if !th.open("a") {
		t.Error("a connection that is closed still counts")
	}
	for range maxFailures {
		th.fail("d")
	}
	if th.greeted(); th.open("d") {
		t.Error("an address that failed too often is let in")
	}
	if now = now.Add(failureWindow); !th.open("d") {
		t.Error("failures are never forgotten")
	}
}

func TestAddressOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:99": "192.0.2.1", "[::ffff:192.0.2.1]:99": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressOf(a); got != want {
			t.Errorf("addressOf(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	w := newWorld(t)
	if got := Fingerprint(w.key); len(got) != 43 {
		t.Errorf("fingerprint %q has %d characters, want the 43 that the CLI takes for SHA-256", got, len(got))
	}
	if _, err := ParseHostKey([]byte("nonsense")); err == nil {
		t.Error("a broken key was read")
	}
}
