package cache

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Fingerprint returns a digest over what the kernel says of every file below dir: name, size, mode, owner,
// inode, times of modification and of change, and the targets of links. As long as it is the same nobody
// wrote to the tree: the time of change cannot be set back, unlike the time of modification, which package
// managers set to a constant. The folder's own time of change is left out, because a rename touches it.
func Fingerprint(dir string) (string, error) {
	h := sha256.New()
	w := bufio.NewWriterSize(h, 64<<10)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.ErrUnsupported
		}
		name, change := path[len(dir):], [2]int64{st.Ctim.Sec, st.Ctim.Nsec}
		if name == "" {
			change = [2]int64{}
		}
		w.WriteString(name)
		w.WriteByte(0)
		var b [80]byte
		record := binary.LittleEndian.AppendUint64(b[:0], uint64(st.Ino))
		for _, v := range []int64{st.Size, int64(st.Mode), int64(st.Uid), int64(st.Gid), st.Mtim.Sec, st.Mtim.Nsec, change[0], change[1]} {
			record = binary.LittleEndian.AppendUint64(record, uint64(v))
		}
		w.Write(record)
		if info.Mode().Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			w.WriteString(target)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	w.Flush()
	return hex.EncodeToString(h.Sum(nil)), nil
}
