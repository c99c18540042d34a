package ui

import (
	"strings"

	"golang.org/x/term"
)

// Control sequences of the alternate screen, which leaves what was on the terminal as it was (xterm, DECSET 1049).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// FullScreen takes the whole terminal for Redraw, until leave is called.
func (u *UI) FullScreen() (leave func()) {
	u.write(u.Out, enterScreen)
	return func() { u.write(u.Out, leaveScreen) }
}

// Redraw shows text in place of what was shown before, as much of it as the terminal has room for.
func (u *UI) Redraw(text string) {
	width, height := u.width, u.height
	if u.outFile != nil {
		if w, h, err := term.GetSize(int(u.outFile.Fd())); err == nil {
			width, height = w, h // the window may have changed
		}
	}
	u.write(u.Out, frame(text, width, height))
}

// frame draws over the frame before without a flicker: each line clears its own rest.
func frame(text string, width, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[:min(len(lines), max(1, height-1))]
	var out strings.Builder
	out.WriteString("\x1b[H")
	for _, line := range lines {
		out.WriteString(truncateColoured(line, width) + "\x1b[K\r\n")
	}
	out.WriteString("\x1b[J")
	return out.String()
}

// truncateColoured shortens a line that may have colours: where it is too long it loses them.
func truncateColoured(line string, columns int) string {
	if width(line) <= columns {
		return line
	}
	return Truncate(escapes.ReplaceAllString(line, ""), columns)
}
