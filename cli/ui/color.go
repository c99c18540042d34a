package ui

// color is an SGR parameter (ECMA-48 8.3.117).
type color string

const (
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	cyan   color = "36"
	bold   color = "1"
	dim    color = "2"
)

// Colour turns colour off; on leaves it as the terminal and the environment have it.
func (u *UI) Colour(on bool) {
	u.outColor = u.outColor && on
	u.errColor = u.errColor && on
}

func (u *UI) paint(on bool, c color, text string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Bold is text that stands out in a result, such as a name.
func (u *UI) Bold(text string) string { return u.paint(u.outColor, bold, text) }

// Name is text that names something of the user's.
func (u *UI) Name(text string) string { return u.paint(u.outColor, cyan, text) }

// Good, Bad and Middling colour a state of a result.
func (u *UI) Good(text string) string { return u.paint(u.outColor, green, text) }

// Bad colours a state that needs a look.
func (u *UI) Bad(text string) string { return u.paint(u.outColor, red, text) }

// Middling colours a state on the way.
func (u *UI) Middling(text string) string { return u.paint(u.outColor, yellow, text) }
