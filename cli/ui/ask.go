package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// ErrNoAnswer is returned where a question has to be asked and nobody is there to answer.
var ErrNoAnswer = errors.New("nobody is there to answer")

// Ask asks for a line.
func (u *UI) Ask(label string) (string, error) {
	u.write(u.Err, label+": ")
	return u.readLine()
}

// AskHidden asks for a line that is not shown while it is typed. Where input is no terminal it reads a line
// like Ask, so that a password can be piped in.
func (u *UI) AskHidden(label string) (string, error) {
	if u.inFD < 0 {
		return u.Ask(label)
	}
	u.write(u.Err, label+": ")
	answer, err := term.ReadPassword(u.inFD)
	u.write(u.Err, "\n")
	if err != nil {
		return "", ErrNoAnswer
	}
	return string(answer), nil
}

// Confirm asks a question that is answered with yes or no; only yes is yes.
func (u *UI) Confirm(format string, args ...any) (bool, error) {
	answer, err := u.Ask(fmt.Sprintf(format, args...) + " [y/N]")
	if err != nil {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// Choose shows options with numbers and asks for one, by number or by name.
func (u *UI) Choose(label string, options []string) (int, error) {
	for i, option := range options {
		u.Notef("%3d. %s", i+1, Clean(option))
	}
	for {
		answer, err := u.Ask(label)
		if err != nil {
			return 0, err
		}
		answer = strings.TrimSpace(answer)
		for i, option := range options {
			if answer == option || answer == fmt.Sprint(i+1) {
				return i, nil
			}
		}
		u.Notef("There is no %q in the list.", answer)
	}
}

const maxLine = 64 << 10

// readLine reads up to a newline and not a byte further than it must: what follows may be another answer.
func (u *UI) readLine() (string, error) {
	for {
		if i := bytes.IndexByte(u.pending, '\n'); i >= 0 {
			line := strings.TrimSuffix(string(u.pending[:i]), "\r")
			u.pending = u.pending[i+1:]
			return line, nil
		}
		if len(u.pending) > maxLine {
			return "", errors.New("the answer is too long")
		}
		buffer := make([]byte, 4096)
		n, err := u.In.Read(buffer)
		u.pending = append(u.pending, buffer[:n]...)
		if n == 0 && err != nil {
			line := string(u.pending)
			u.pending = nil
			if line != "" && errors.Is(err, io.EOF) {
				return line, nil
			}
			u.write(u.Err, "\n")
			return "", ErrNoAnswer
		}
	}
}

// Asks says whether a person is there to be asked.
func (u *UI) Asks() bool { return u.inFD >= 0 }
