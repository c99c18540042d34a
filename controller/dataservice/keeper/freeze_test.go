package keeper

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// become makes this test's program, when its arguments say so, a server that appends to two files, one after the other,
// as fast as it can, or the process that lets it go on.
func become() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "-writer":
		appendNumbers(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "-thaw":
		pid, err := strconv.Atoi(os.Args[2])
		if err != nil || Thaw(os.Stdin, pid) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func appendNumbers(dir string) {
	a, errA := os.OpenFile(filepath.Join(dir, "a"), os.O_APPEND|os.O_WRONLY, 0)
	b, errB := os.OpenFile(filepath.Join(dir, "b"), os.O_APPEND|os.O_WRONLY, 0)
	if errA != nil || errB != nil {
		os.Exit(1)
	}
	for {
		if _, err := a.WriteString("x"); err != nil {
			os.Exit(0)
		}
		if _, err := b.WriteString("x"); err != nil {
			os.Exit(0)
		}
	}
}

// TestFrozen: a copy is of one moment though the server writes all the time, and the server goes on afterwards.
func TestFrozen(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	dir := filepath.Join(base, "live")
	for _, name := range []string{"a", "b", "sub/quiet"} {
		put(t, filepath.Join(dir, name), "")
	}
	server := exec.Command(self, "-writer", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	pidFile := filepath.Join(base, "pid")
	put(t, pidFile, strconv.Itoa(server.Process.Pid)+"\n")
	for size(t, dir, "b") == 0 {
	}
	var out bytes.Buffer
	err = Frozen(&out, pidFile, dir, filepath.Join(base, "stage"), func(pid int) *exec.Cmd { return exec.Command(self, "-thaw", strconv.Itoa(pid)) })
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(base, "copy")
	if err := Unpack(&out, copied); err != nil {
		t.Fatal(err)
	}
	if a, b := size(t, copied, "a"), size(t, copied, "b"); a == 0 || a-b > 1 || b > a {
		t.Errorf("the copies have %d and %d bytes, which never were there together", a, b)
	}
	if _, err := os.Stat(filepath.Join(copied, "sub/quiet")); err != nil {
		t.Error(err)
	}
	for before := size(t, dir, "b"); size(t, dir, "b") == before; { // it goes on, or this never ends
	}
	if _, err := os.Stat(filepath.Join(base, "stage")); err == nil {
		t.Error("the copy is left behind")
	}
	put(t, pidFile, "no number")
	if err := Frozen(&out, pidFile, dir, filepath.Join(base, "stage"), nil); err == nil || !strings.Contains(err.Error(), "no process") {
		t.Errorf("a file without a process: %v", err)
	}
}

func size(t *testing.T, dir, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
