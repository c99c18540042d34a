package sandbox

import (
	"context"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// diskInterval is the least time between two looks at the disk; a look that takes long makes it longer, so
// that watching costs a bounded share of a core.
const diskInterval = 2 * time.Second

// watchDisk looks at the watched folders until ctx ends, and ends the run when they outgrow the limit. It
// returns what they use then, in MB.
func (c *Container) watchDisk(ctx context.Context, end context.CancelCauseFunc) int {
	if c.spec.DiskMB <= 0 || len(c.spec.Watch) == 0 {
		<-ctx.Done()
		return 0
	}
	wait := diskInterval
	for {
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(wait):
		}
		start := time.Now()
		used := UsedMB(c.spec.Watch...)
		if used > c.spec.DiskMB {
			end(errOverDisk)
			return used
		}
		wait = max(diskInterval, 20*time.Since(start))
	}
}

// UsedMB returns the blocks that the files below folders occupy. A file with several names counts once;
// what vanishes meanwhile counts nothing.
func UsedMB(folders ...string) int {
	var blocks int64
	seen := map[uint64]bool{}
	for _, dir := range folders {
		filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // never returns one
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				if st.Nlink > 1 && !d.IsDir() {
					if seen[st.Ino] {
						return nil
					}
					seen[st.Ino] = true
				}
				blocks += st.Blocks
			}
			return nil
		})
	}
	return int(blocks * 512 >> 20)
}
