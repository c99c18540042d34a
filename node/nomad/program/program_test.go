package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this test's program be the one that is run: a shell could not be told of a SIGHUP where the tests were started
// with it ignored, as by nohup.
func TestMain(m *testing.M) {
	if marker := os.Getenv("PROGRAM_MARKER"); marker != "" {
		run(marker)
	}
	os.Exit(m.Run())
}

// run fails once, and then says with what it was called and when it is to read its files again.
func run(marker string) {
	if _, err := os.Stat(marker); err != nil {
		fmt.Println("first")
		_ = os.WriteFile(marker, nil, 0o600)
		os.Exit(1)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	fmt.Println(strings.Join(os.Args[1:], " "))
	for range told {
		fmt.Println("reloaded")
	}
}

// script is a program that says what it is told, as the installed one would.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nomad")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVersion(t *testing.T) {
	for _, c := range []struct{ program, version, want string }{
		{script(t, "echo 'Nomad v1.9.7'; echo BuildDate 2025"), "1.9.7", ""},
		{script(t, "echo 'Nomad v1.8.0-beta.1'"), "1.8.0-beta.1", ""},
		{script(t, "echo 'Nomad v1.7.7'"), "1.7.7", "install Nomad 1.8.0 or later"},
		{script(t, "exit 3"), "", "does not say its version"},
		{"/nowhere/nomad", "", "there is no program"},
	} {
		_, version, err := Version(t.Context(), c.program)
		if version != c.version || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Version(%s) = %q, %v; want %q, %q", c.program, version, err, c.version, c.want)
		}
	}
}

// TestRun: a program that ends is started again, one that runs is told to read its files again, and all end together.
func TestRun(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	lines := make(chan string, 16)
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := r.Read(buf)
			if err != nil {
				return
			}
			lines <- strings.TrimSpace(string(buf[:n]))
		}
	}()
	t.Setenv("PROGRAM_MARKER", filepath.Join(t.TempDir(), "marker"))
	p := &Program{Path: os.Args[0], Config: "/config.json", Out: w, Log: slog.New(slog.DiscardHandler)}
	if err := p.Reload(); err != nil {
		t.Errorf("Reload of what does not run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != want {
				t.Fatalf("it says %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("it never says %q", want)
		}
	}
	expect("first")
	expect("agent -config /config.json")
	if p.Process() == 0 {
		t.Error("it runs without a process")
	}
	if err := p.Reload(); err != nil {
		t.Error(err)
	}
	expect("reloaded")
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if p.Process() != 0 {
		t.Error("it has ended and has a process")
	}
}
