package ui

import (
	"regexp"
	"strings"

	"github.com/rivo/uniseg"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// width is how many columns a terminal gives text; emoji and East Asian characters take two.
func width(text string) int { return uniseg.StringWidth(escapes.ReplaceAllString(text, "")) }

// Truncate shortens text to that many columns, with an ellipsis where something is missing.
func Truncate(text string, columns int) string {
	if width(text) <= columns || columns < 1 {
		return text
	}
	var out strings.Builder
	room := columns - 1
	graphemes := uniseg.NewGraphemes(text)
	for graphemes.Next() {
		if room -= graphemes.Width(); room < 0 {
			break
		}
		out.WriteString(graphemes.Str())
	}
	return out.String() + "…"
}

// Table writes rows under a header, columns aligned. With no rows it writes the sentence empty instead.
func (u *UI) Table(empty string, header []string, rows [][]string) {
	if len(rows) == 0 {
		u.Notef("%s", empty)
		return
	}
	bold := make([]string, len(header))
	for i, h := range header {
		bold[i] = u.Bold(h)
	}
	u.Printf("%s", Columns(append([][]string{bold}, rows...)))
}

// Columns aligns rows by their widest cells. Control characters in cells become blanks, so that a name can
// neither break a line nor steer the terminal.
func Columns(rows [][]string) string {
	var widths []int
	for r, row := range rows {
		clean := make([]string, len(row))
		for i, cell := range row {
			clean[i] = Clean(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(clean[i]))
		}
		rows[r] = clean
	}
	var out strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-width(cell)+3))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

// Paragraphs are rows of two columns like those of Columns, where the second breaks between words so that lines
// stay within the terminal.
func (u *UI) Paragraphs(rows [][]string) string {
	first := 0
	for _, row := range rows {
		first = max(first, width(row[0]))
	}
	room := u.width - first - 3
	if room < 24 {
		return Columns(rows)
	}
	var broken [][]string
	for _, row := range rows {
		label := row[0]
		for _, line := range wrap(row[1], room) {
			broken = append(broken, []string{label, line})
			label = ""
		}
	}
	return Columns(broken)
}

// wrap breaks a text between words; a word that is longer than a line keeps its own.
func wrap(text string, columns int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case width(*last)+1+width(word) <= columns:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

var sgr = regexp.MustCompile("^\x1b\\[[0-9;]*m")

// Clean replaces control characters by blanks; colours stay.
func Clean(text string) string {
	if !strings.ContainsFunc(text, isControl) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if m := sgr.FindString(text[i:]); m != "" {
			out.WriteString(m)
			i += len(m)
			continue
		}
		end := i + 1
		for end < len(text) && text[end]&0xC0 == 0x80 {
			end++
		}
		if r := []rune(text[i:end]); isControl(r[0]) {
			out.WriteByte(' ')
		} else {
			out.WriteString(text[i:end])
		}
		i = end
	}
	return out.String()
}

func isControl(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) }
