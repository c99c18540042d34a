package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// session runs the shell or the command and hands its input and output through.
func session(ctx context.Context, client *ssh.Client, o Options) error {
	s, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	defer s.Close()
	s.Stdout, s.Stderr = o.Out, o.Err
	input, err := s.StdinPipe()
	if err != nil {
		return err
	}
	restore, err := terminal(ctx, s, o)
	if err != nil {
		return err
	}
	defer restore()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() }) // a session knows no context
	defer stop()
	if o.Command == "" {
		err = s.Shell()
	} else {
		err = s.Start(o.Command)
	}
	if err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	go feed(input, o.In) // ends with the process: a read of a terminal can't be broken off
	return ended(ctx, s.Wait())
}

// feed hands input on until it ends, and says so to the other side.
func feed(to io.WriteCloser, from io.Reader) {
	_, _ = io.Copy(to, from) // a session that has ended takes nothing more
	_ = to.Close()
}

// ended turns the end of a session into an exit code.
func ended(ctx context.Context, err error) error {
	var (
		exit    *ssh.ExitError
		missing *ssh.ExitMissingError
	)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit) && exit.Signal() != "":
		return &ExitError{Code: 255, Signal: exit.Signal()}
	case errors.As(err, &exit):
		return &ExitError{Code: exit.ExitStatus()}
	case errors.As(err, &missing), errors.Is(err, io.EOF):
		return errors.New("the connection ended before the remote command: has the instance been replaced?")
	}
	return err
}

// wantsTTY says whether the other side gets a terminal.
func (o Options) wantsTTY() bool {
	here := term.IsTerminal(int(o.In.Fd()))
	switch o.TTY {
	case TTYNever:
		return false
	case TTYAlways:
		return true
	case TTYWanted:
		return here
	}
	return here && o.Command == ""
}

// terminal asks for a terminal of the size of ours, hands on what is typed as it is, and follows changes of size.
func terminal(ctx context.Context, s *ssh.Session, o Options) (restore func(), err error) {
	if !o.wantsTTY() {
		return func() {}, nil
	}
	width, height, err := term.GetSize(int(o.Out.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "xterm"
	}
	modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 115200, ssh.TTY_OP_OSPEED: 115200}
	if err := s.RequestPty(kind, height, width, modes); err != nil {
		return nil, fmt.Errorf("ask for a terminal: %w", err)
	}
	if !term.IsTerminal(int(o.In.Fd())) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(o.In.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	stop := followSize(ctx, s, o.Out)
	return func() {
		stop()
		_ = term.Restore(int(o.In.Fd()), before) // there is no other way to put it back
	}, nil
}
