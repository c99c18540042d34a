package lifecycle

import (
	"cmp"
	"strconv"
	"strings"
)

// compareVersions orders X.Y.Z versions by number, and other text by letter.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		n, errX := strconv.ParseUint(x, 10, 64)
		m, errY := strconv.ParseUint(y, 10, 64)
		c := cmp.Compare(x, y)
		if errX == nil && errY == nil {
			c = cmp.Compare(n, m)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
