package ui

import "strings"

const barWidth = 30

// Progress shows how much of a whole is done, as a line that changes.
func (u *UI) Progress(label string, done, whole int64) {
	if whole <= 0 {
		return
	}
	filled := int(done * barWidth / whole)
	u.Status("%s [%s%s] %3d%%  %s of %s", label, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled),
		done*100/whole, Bytes(done), Bytes(whole))
}
