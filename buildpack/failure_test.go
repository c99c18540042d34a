package buildpack

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

func TestRunFailure(t *testing.T) {
	limits := Limits{MemoryMB: 64, DiskMB: 10}
	tests := []struct {
		name    string
		exit    sandbox.Exit
		outcome lifecycle.Outcome
		want    Code
	}{
		{"well", sandbox.Exit{}, lifecycle.Outcome{}, ""},
		{"well, although a child was killed", sandbox.Exit{}, lifecycle.Outcome{OOMKills: 1}, ""},
		{"killed for memory", sandbox.Exit{Code: 137, OOMKilled: true}, lifecycle.Outcome{}, OutOfMemory},
		{"a child killed for memory", sandbox.Exit{Code: 51}, lifecycle.Outcome{OOMKills: 1, Buildpack: "b"}, OutOfMemory},
		{"time", sandbox.Exit{Code: 137, TimedOut: true}, lifecycle.Outcome{}, TimedOut},
		{"disk", sandbox.Exit{Code: 137, OverDisk: true}, lifecycle.Outcome{}, OutOfDisk},
		{"none", sandbox.Exit{Code: 20}, lifecycle.Outcome{}, NoBuildpackDetected},
		{"errored", sandbox.Exit{Code: 21}, lifecycle.Outcome{}, DetectFailed},
		{"failed", sandbox.Exit{Code: 51}, lifecycle.Outcome{}, BuildFailed},
		{"API", sandbox.Exit{Code: 12}, lifecycle.Outcome{}, BadBuildpack},
		{"unknown", sandbox.Exit{Code: 13}, lifecycle.Outcome{}, BadBuildpack},
		{"no outcome", sandbox.Exit{Code: 2}, lifecycle.Outcome{}, Internal},
	}
	for _, test := range tests {
		got := Code("")
		if err := runFailure(test.exit, &test.outcome, limits); err != nil {
			got = err.Code
		}
		if got != test.want {
			t.Errorf("%s: code %q, want %q", test.name, got, test.want)
		}
	}
}

func TestAsError(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	known := &Error{Code: BuildFailed}
	tests := []struct {
		ctx  context.Context
		err  error
		want Code
	}{
		{context.Background(), fmt.Errorf("x: %w", known), BuildFailed},
		{context.Background(), fmt.Errorf("export: %w", &export.ReuseError{Buildpack: "b"}), BuildFailed},
		{context.Background(), fmt.Errorf("export: %w", syscall.ENOSPC), OutOfDisk},
		{context.Background(), fmt.Errorf("x"), Internal},
		{canceled, known, Canceled},
	}
	for _, test := range tests {
		if got := asError(test.ctx, test.err).Code; got != test.want {
			t.Errorf("asError(%v) = %q, want %q", test.err, got, test.want)
		}
	}
}

func TestTriedMessageIsBounded(t *testing.T) {
	o := &lifecycle.Outcome{
		Tried:   []lifecycle.Tried{{ID: "a", Version: "1", Result: lifecycle.Errored, Code: 3, Output: strings.Repeat("x", 10_000) + "end"}},
		Reasons: []string{"a did not pass", "b requires x, which no buildpack before it provides"},
	}
	m := triedMessage(o)
	if len(m) > 1000 || !strings.Contains(m, "end") || !strings.Contains(m, "b requires x") || strings.Contains(m, "did not pass") {
		t.Errorf("message = %s", m)
	}
}

func TestBuilderRunImage(t *testing.T) {
	const label = "io.buildpacks.builder.metadata"
	tests := map[string]string{
		`{"images":[{"image":"a"}],"stack":{"runImage":{"image":"b"}}}`: "a",
		`{"stack":{"runImage":{"image":"b"}}}`:                          "b",
		`{}`:                                                            "", `{`: "", "": "",
	}
	for text, want := range tests {
		got, err := builderRunImage(map[string]string{label: text})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("builderRunImage(%s) = %q, %v; want %q", text, got, err, want)
		}
	}
}
