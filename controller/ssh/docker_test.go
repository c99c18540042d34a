package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/cupola-paas/cupola/buildpack/launcher/supervise"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/enginetest"
)

// TestInContainer drives the server and the guest program against a real container.
func TestInContainer(t *testing.T) {
	program := buildGuest(t)
	e, id := startInstance(t)
	w := newWorld(t)
	w.engine.exec = func(ctx context.Context, x node.Exec) (int, error) {
		x.Program.Content = program
		return e.Exec(ctx, id, x)
	}
	t.Run("exec", func(t *testing.T) {
		out, err := w.session().Output("env SECRET")
		if err != nil || string(out) != "s3cret\n" {
			t.Errorf("env gave %q, %v", out, err)
		}
		exit := (*ssh.ExitError)(nil)
		if err := w.session().Run("exit 7"); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
			t.Errorf("exit 7 = %v", err)
		}
	})
	t.Run("with sidecars", func(t *testing.T) { // the plan would have the launcher start the app instead of the command
		if out, err := w.session().Output("env " + supervise.Variable); err != nil || string(out) != "\n" {
			t.Errorf("a session gets the plan of the instance: %q, %v", out, err)
		}
	})
	t.Run("shell", func(t *testing.T) {
		s := w.session()
		s.Stdin = strings.NewReader("echo one\necho two\n")
		var out strings.Builder
		s.Stdout = &out
		if err := errors.Join(s.Shell(), s.Wait()); err != nil || out.String() != "one\ntwo\n" {
			t.Errorf("the shell gave %q, %v", &out, err)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		s := w.session()
		if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.WindowChange(37, 101); err != nil {
			t.Fatal(err)
		}
		out, err := s.Output("size 101x37")
		if err != nil || !strings.Contains(string(out), "size 101x37") {
			t.Errorf("the terminal says %q, %v", out, err)
		}
	})
	t.Run("signal", func(t *testing.T) {
		s := w.session()
		in, err := s.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("cat"); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(in, "x")
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(ssh.SIGTERM); err != nil {
			t.Fatal(err)
		}
		exit := (*ssh.ExitError)(nil)
		if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
			t.Errorf("ended with %v, want by SIGTERM", err)
		}
	})
	t.Run("files", func(t *testing.T) { files(t, w.client()) })
}

// files puts, lists, reads and removes by sftp.
func files(t *testing.T, client *ssh.Client) {
	c, err := sftp.NewClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := strings.Repeat("0123456789abcdef", 20_000)
	f, err := c.Create("/tmp/a file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, strings.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := c.Stat("/tmp/a file"); err != nil || info.Size() != int64(len(want)) {
		t.Errorf("stat = %v, %v", info, err)
	}
	if f, err = c.Open("/tmp/a file"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v; want the %d that were written", len(got), err, len(want))
	}
	if err := c.Remove("/tmp/a file"); err != nil {
		t.Error(err)
	}
	if _, err := c.Create("/etc/passwd"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("write what is root's = %v, want it refused", err)
	}
}

func TestForwardInContainer(t *testing.T) {
	e, id := startInstance(t)
	w := newWorld(t)
	w.engine.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		return e.Dial(ctx, id, network, address)
	}
	client := w.client()
	web := http.Client{Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return client.Dial(network, address)
		},
	}}
	res, err := web.Get("http://localhost:8080/health")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	if conn, err := client.Dial("tcp", "localhost:1"); err == nil {
		conn.Close()
		t.Error("connected with a port that nobody listens on")
	}
}

// startInstance starts the engine tests' app, which listens on its loopback address alone.
func startInstance(t *testing.T) (node.Engine, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	reg := enginetest.NewRegistry(t)
	name := "s" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	e, err := docker.Open(ctx, docker.Options{Installation: name, ImagePrefix: reg.Prefix, Logger: quiet})
	if errors.Is(err, node.ErrUnavailable) {
		t.Skipf("Docker cannot be reached: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, errImages := e.RemoveImages(context.Background(), func(string) bool { return false })
		if err := errors.Join(e.Purge(context.Background()), errImages, e.Close()); err != nil {
			t.Error(err)
		}
	})
	workload := node.Workload{
		ID: uuid.NewString(), Image: reg.Image(t, "2000:2000"), MemoryMB: 64, Ports: []int{8080},
		Env: map[string]string{"LISTEN": "127.0.0.1:8080", "SECRET": "s3cret", supervise.Variable: `{"main":["app"],"sidecars":[{"name":"s","command":"s"}]}`},
	}
	if err := e.Start(ctx, workload); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	logs, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_ = e.Logs(logs, workload.ID, time.Time{}, func(l node.LogLine) {
			if strings.HasPrefix(string(l.Text), "listening") {
				close(listening)
			}
		})
	}()
	await(t, "the app listens", listening)
	return e, workload.ID
}

func buildGuest(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guest")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./cmd/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest program: %v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
