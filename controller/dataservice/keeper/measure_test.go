package keeper

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConnections(t *testing.T) {
	const list = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2000        0 1 1 0
   1: 0502A8C0:1538 0A02A8C0:D431 01 00000000:00000000 00:00000000 00000000  2000        0 2 1 0
   2: 0100007F:1538 0100007F:D432 01 00000000:00000000 00:00000000 00000000  2000        0 3 1 0
   3: 0502A8C0:1538 0A02A8C0:D433 06 00000000:00000000 00:00000000 00000000  2000        0 4 1 0
   4: 0502A8C0:D431 0A02A8C0:1538 01 00000000:00000000 00:00000000 00000000  2000        0 5 1 0
   5: 0000000000000000FFFF00000502A8C0:1538 0000000000000000FFFF00000A02A8C0:D434 01 0:0 0:0 0 2000 0 6 1 0
   6: 0000000000000000FFFF00000100007F:1538 0000000000000000FFFF00000100007F:D434 01 0:0 0:0 0 2000 0 6 1 0
`
	if got := connections(strings.NewReader(list), []int{5432}); got != 2 {
		t.Errorf("connections to 5432 = %d, want the 2 from elsewhere that are established", got)
	}
}

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one"), bytes.Repeat([]byte{1}, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "same")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteMeasure(&out, dir, nil); err != nil {
		t.Fatal(err)
	}
	var m Measure
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	if m.DiskBytes < 1<<20 || m.DiskBytes > 1<<20+64<<10 {
		t.Errorf("a file of 1 MiB with two names takes %d bytes", m.DiskBytes)
	}
	if err := WriteMeasure(&out, filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a folder that is not there was measured")
	}
}
