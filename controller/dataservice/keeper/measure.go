package keeper

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Measure is what a server holds of what its plan limits.
type Measure struct {
	DiskBytes   int64 `json:"disk_bytes"`  // of the volume, in whole blocks
	Connections int   `json:"connections"` // of clients, now
}

// Where the kernel lists TCP connections of a container.
var connectionLists = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// WriteMeasure writes what is in a folder (empty: none), and how many connections there are to ports of this container.
func WriteMeasure(out io.Writer, folder string, ports []int) error {
	var m Measure
	if folder != "" {
		n, err := diskBytes(folder)
		if err != nil {
			return err
		}
		m.DiskBytes = n
	}
	for _, name := range connectionLists {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) { // no IPv6
			continue
		}
		if err != nil {
			return err
		}
		m.Connections += connections(f, ports)
		f.Close() // it was only read
	}
	return json.NewEncoder(out).Encode(m)
}

// diskBytes adds up what the files below a folder take of the disk. Those that go meanwhile count nothing.
func diskBytes(folder string) (int64, error) {
	var total int64
	seen := map[uint64]bool{} // files with several names
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == folder || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				return err
			}
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if st.Nlink > 1 && !d.IsDir() {
				if seen[st.Ino] {
					return nil
				}
				seen[st.Ino] = true
			}
			total += st.Blocks * 512
		}
		return nil
	})
	return total, err
}

// connections counts those in a list of the kernel (proc(5), /proc/net/tcp) that are established, come to one of the
// ports, and not from this container itself.
func connections(list io.Reader, ports []int) int {
	n := 0
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != "01" {
			continue
		}
		_, portText, _ := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(portText, 16, 16)
		if err == nil && slices.Contains(ports, int(port)) && !fromHere(f[2]) {
			n++
		}
	}
	return n
}

// fromHere tells loopback addresses, which are written as the processor has their words: 0100007F, also within IPv6.
func fromHere(remote string) bool {
	address, _, _ := strings.Cut(remote, ":")
	return strings.HasSuffix(address, "00007F") && (len(address) == 8 || strings.HasPrefix(address, "0000000000000000FFFF0000")) ||
		address == "00000000000000000000000001000000"
}
