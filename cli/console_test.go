package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/cli/ui"
)

func TestCtrlC(t *testing.T) {
	r, w := io.Pipe()
	k := &console{ui: ui.New(os.Stdin, os.Stdout, os.Stderr, func(string) string { return "" }), file: config.At(t.TempDir())}
	k.ui.Err = w
	ctx, stop := k.watchSignals(context.Background())
	defer stop()
	k.beforeBreak("The build goes on at the server.")
	interrupt := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	lines := bufio.NewScanner(r)
	for lines.Scan() && lines.Text() == "" {
	}
	if got := lines.Text(); !strings.Contains(got, "The build goes on at the server. Press Ctrl-C again") {
		t.Errorf("the first Ctrl-C says %q", got)
	}
	if ctx.Err() != nil {
		t.Error("the first Ctrl-C ends the command")
	}
	interrupt()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("cause = %v, want errInterrupted", context.Cause(ctx))
	}
}

func TestTrustHint(t *testing.T) {
	got := trustHint("https://login.cupola.localhost:8443")
	for _, want := range []string{"cupola api https://api.cupola.localhost:8443 --skip-ssl-validation && cupola ca > cupola-ca.pem", "--ca-cert cupola-ca.pem"} {
		if !strings.Contains(got, want) {
			t.Errorf("trustHint = %q, want it to contain %q", got, want)
		}
	}
}

func TestAppURL(t *testing.T) {
	tests := []struct{ api, route, want string }{
		{"https://api.example.com", "a.example.com/x", "https://a.example.com/x"},
		{"https://api.cupola.localhost:8443", "a.cupola.localhost/x", "https://a.cupola.localhost:8443/x"},
		{"https://api.cupola.localhost:8443", "a.cupola.localhost", "https://a.cupola.localhost:8443"},
		{"http://127.0.0.1:80", "tcp.example.com:1024", "http://tcp.example.com:1024"},
	}
	for _, tt := range tests {
		s := &session{cfg: config.Config{API: tt.api}}
		if got := s.appURL(tt.route); got != tt.want {
			t.Errorf("appURL(%s) with %s = %s, want %s", tt.route, tt.api, got, tt.want)
		}
	}
}
