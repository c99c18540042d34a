// Package ui is what the commands show and ask: tables, lines that change in place, colours, prompts.
//
// Results go to Out, everything else (progress, hints, errors) to Err, so that output can be piped. Colour
// and changing lines appear only where a person looks at a terminal, and colour never when NO_COLOR is set.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// UI is a conversation with one person or one pipe. It may be used by several goroutines at once.
type UI struct {
	In       io.Reader
	Out, Err io.Writer

	outColor, errColor bool
	outTerminal        bool
	live               bool // Err can show lines that change
	width, height      int
	inFD               int // of a terminal to ask at; -1: there is none
	outFile            *os.File

	jsonOnly  bool     // Out gets JSON alone
	wroteJSON bool     // it got some
	notes     []string // what Notef said meanwhile

	mu      sync.Mutex
	status  string // the changing line that stands on Err now
	pending []byte // of In, read but not yet asked for
}

// New is a UI over files, which may be terminals.
func New(in, out, err *os.File, getenv func(string) string) *UI {
	u := &UI{In: in, Out: out, Err: err, inFD: -1, width: 80, height: 24}
	dumb := getenv("TERM") == "dumb"
	colour := getenv("NO_COLOR") == "" && !dumb
	u.outTerminal = term.IsTerminal(int(out.Fd()))
	u.outColor = colour && u.outTerminal
	u.errColor = colour && term.IsTerminal(int(err.Fd()))
	u.live = !dumb && term.IsTerminal(int(err.Fd()))
	if term.IsTerminal(int(in.Fd())) {
		u.inFD = int(in.Fd())
	}
	u.outFile = out
	if w, h, e := term.GetSize(int(err.Fd())); e == nil && w > 20 && h > 3 {
		u.width, u.height = w, h
	}
	return u
}

// Live says whether lines can change in place.
func (u *UI) Live() bool { return u.live }

// OutIsTerminal says whether a person reads the result.
func (u *UI) OutIsTerminal() bool { return u.outTerminal }

// JSONOnly has Out get nothing but JSON from now on: the rest of the result goes to Err, where the progress is. It
// is called before anything is written.
func (u *UI) JSONOnly() { u.jsonOnly, u.outColor = true, u.errColor }

// WantsJSON says that Out gets JSON alone.
func (u *UI) WantsJSON() bool { return u.jsonOnly }

// Println writes a line of the result.
func (u *UI) Println(args ...any) { u.write(u.result(), fmt.Sprintln(args...)) }

// Printf writes a part of the result.
func (u *UI) Printf(format string, args ...any) { u.write(u.result(), fmt.Sprintf(format, args...)) }

func (u *UI) result() io.Writer {
	if u.jsonOnly {
		return u.Err
	}
	return u.Out
}

// Notef writes a line about what is going on.
func (u *UI) Notef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	u.write(u.Err, text+"\n")
	if u.jsonOnly {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.notes = append(u.notes, escapes.ReplaceAllString(text, ""))
	}
}

// Hintf writes a line that says what could come next.
func (u *UI) Hintf(format string, args ...any) {
	u.write(u.Err, u.paint(u.errColor, dim, fmt.Sprintf(format, args...))+"\n")
}

// Warnf writes a line that a person should see and that stops nothing.
func (u *UI) Warnf(format string, args ...any) {
	u.write(u.Err, u.paint(u.errColor, yellow, "warning: ")+fmt.Sprintf(format, args...)+"\n")
}

// Error writes an error and, if there is one, the hint that belongs to it.
func (u *UI) Error(err error, hint string) {
	text := u.paint(u.errColor, red, "error: ") + err.Error() + "\n"
	if hint != "" {
		text += u.paint(u.errColor, dim, hint) + "\n"
	}
	u.write(u.Err, text)
}

// JSON writes v as the result.
func (u *UI) JSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	u.writeJSON(data)
	return nil
}

// JSONLine writes v as one line of the result, for results that have no end.
func (u *UI) JSONLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	u.writeJSON(data)
	return nil
}

func (u *UI) writeJSON(data []byte) {
	u.wroteJSON = true
	u.write(u.Out, string(data)+"\n")
}

// FinishJSON is for the end of a command that was asked for JSON and has done what it does: where it wrote none,
// its notes are the result.
func (u *UI) FinishJSON() error {
	if !u.jsonOnly || u.wroteJSON {
		return nil
	}
	return u.JSON(struct {
		Notes []string `json:"notes"`
	}{append([]string{}, u.notes...)})
}

// write keeps the changing line below what is written.
func (u *UI) write(w io.Writer, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status != "" {
		_, _ = io.WriteString(u.Err, clearLine)
	}
	_, _ = io.WriteString(w, text) // a terminal that is gone is no reason to stop what was asked for
	if u.status != "" {
		_, _ = io.WriteString(u.Err, u.status)
	}
}

const clearLine = "\r\x1b[K"

// Status shows a line that changes in place; the empty text removes it. Where lines can't change it does nothing.
func (u *UI) Status(format string, args ...any) {
	if !u.live {
		return
	}
	text := ""
	if format != "" {
		text = u.paint(u.errColor, dim, Truncate(fmt.Sprintf(format, args...), u.width-1))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if text == u.status {
		return
	}
	u.status = text
	_, _ = io.WriteString(u.Err, clearLine+text)
}
