package dataservice

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/cupola-paas/cupola/node"
)

// maxSaid bounds what is kept of what a command complains about.
const maxSaid = 2048

// said keeps the first bytes that are written to it.
type said struct{ b bytes.Buffer }

func (s *said) Write(p []byte) (int, error) {
	s.b.Write(p[:min(len(p), maxSaid-s.b.Len())])
	return len(p), nil
}

func (s *said) String() string { return s.b.String() }

// writerStringer keeps something of what is written to it.
type writerStringer interface {
	io.Writer
	fmt.Stringer
}

// runAll runs commands of a catalogue file one after another in the instance's container.
func (m *Manager) runAll(ctx context.Context, guid string, v *view, commands []Command) error {
	for _, c := range commands {
		if err := m.runCommand(ctx, guid, v, c, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// runCommand runs one. in is its input, nil: what the file says; out may be nil. Its error holds what it complained
// about, without secrets.
func (m *Manager) runCommand(ctx context.Context, guid string, v *view, c Command, in io.Reader, out io.Writer) error {
	return m.runSaying(ctx, guid, v, c, in, out, &said{})
}

// runSaying is runCommand that keeps what the command complains about in complaint.
func (m *Manager) runSaying(ctx context.Context, guid string, v *view, c Command, in io.Reader, out io.Writer, complaint writerStringer) error {
	c, err := v.command(c)
	if err != nil {
		return err
	}
	do := m.exec
	if in != nil || out != nil { // what takes its time leaves the standby to others
		do = m.Engine.Exec
	}
	if in == nil {
		in = strings.NewReader(c.Stdin)
	}
	e := node.Exec{Command: c.Run, Stdin: in, Stdout: out, Stderr: complaint}
	for k, value := range c.Env {
		e.Env = append(e.Env, k+"="+value)
	}
	status, err := do(ctx, guid, e)
	if err != nil {
		return fmt.Errorf("run %s in service instance %s: %w", c.Run[0], guid, err)
	}
	text := strings.TrimSpace(strings.ToValidUTF8(complaint.String(), ""))
	if status != 0 && (c.Tolerate == "" || !strings.Contains(text, c.Tolerate)) {
		return &CommandError{Program: c.Run[0], Status: status, Said: redact(text, v.secrets()...)}
	}
	return nil
}

// CommandError is a command of a catalogue file that failed.
type CommandError struct {
	Program string
	Status  int
	Said    string // without secrets
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s ended with status %d: %s", e.Program, e.Status, e.Said)
}
