//go:build !linux

package bits

import (
	"io/fs"
	"time"
)

// changeTime is not known here, so that Cache remembers nothing.
func changeTime(fs.FileInfo) (t time.Time, known bool) { return time.Time{}, false }
