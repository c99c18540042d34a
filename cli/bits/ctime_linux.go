package bits

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when the inode last changed; known is false where the system does not tell.
func changeTime(info fs.FileInfo) (t time.Time, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(stat.Ctim.Unix()), true
}
