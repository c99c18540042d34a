package keeper

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// freezeLimit is how long a server may stand still: less than its clients wait for a sign of life.
	freezeLimit = 15 * time.Second
	// settled is how old a file must be to count as the same when its size and time are: clocks of file systems tick.
	settled = 2 * time.Second
)

// ErrTooMuch says that a server writes more than can be copied while it may stand still.
var ErrTooMuch = errors.New("more has changed than can be copied while the server stands still")

// Frozen copies the folder of a running server as it is at one moment and writes the copy to out, as a compressed tar
// stream. What the server has answered for is on its disk, so it starts from the copy as after a crash. The server
// stands still (SIGSTOP) only while that is copied which has changed since a first copy, up to freezeLimit. Whatever
// becomes of this process, another one sees to it that the server goes on.
//
// guard is the program with its arguments that does what Thaw does.
func Frozen(out io.Writer, pidFile, dir, stage string, guard func(pid int) *exec.Cmd) (err error) {
	pid, err := readPID(pidFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	c := &copier{from: dir, to: stage, have: map[string]fs.FileInfo{}}
	if err := c.pass(time.Time{}); err != nil {
		return err
	}
	if err := c.whileFrozen(pid, guard); err != nil {
		return err
	}
	return writeTree(out, stage)
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s holds no process: %q", file, text)
	}
	return pid, nil
}

// Thaw lets a process go on when in ends, or after freezeLimit.
func Thaw(in io.Reader, pid int) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, in) // any end will do
	}()
	select {
	case <-ended:
	case <-time.After(freezeLimit):
	}
	return syscall.Kill(pid, syscall.SIGCONT)
}

// copier copies a tree in passes, each of which copies what has changed.
type copier struct {
	from, to string
	have     map[string]fs.FileInfo // of what was copied, from before it was read
	began    time.Time              // of the last pass
}

func (c *copier) whileFrozen(pid int, guard func(int) *exec.Cmd) (err error) {
	watch := guard(pid)
	hold, err := watch.StdinPipe()
	if err != nil {
		return err
	}
	if err := watch.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Close(), watch.Wait()) }() // which lets it go on
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.Now().Add(freezeLimit * 2 / 3) // well before the guard acts by itself
	err = c.pass(deadline)
	if err == nil && time.Now().After(deadline) {
		err = ErrTooMuch
	}
	return err
}

// pass makes the copy like the folder; a deadline that is not zero ends it.
func (c *copier) pass(deadline time.Time) error {
	last := c.began
	c.began = time.Now()
	seen := map[string]bool{}
	err := filepath.WalkDir(c.from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && deadline.IsZero() {
			return nil // it went while we looked
		}
		if err != nil {
			return err
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			return ErrTooMuch
		}
		name, err := filepath.Rel(c.from, path)
		if err != nil {
			return err
		}
		seen[name] = true
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(c.to, name), 0o700)
		}
		err = c.file(name, entry, last)
		if errors.Is(err, fs.ErrNotExist) && deadline.IsZero() {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.forget(seen)
}

func (c *copier) file(name string, entry fs.DirEntry, last time.Time) error {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() { // a socket or a link says nothing in another place
		return err
	}
	had := c.have[name]
	if had != nil && had.Size() == info.Size() && had.ModTime().Equal(info.ModTime()) && os.SameFile(had, info) && info.ModTime().Before(last.Add(-settled)) {
		return nil
	}
	c.have[name] = info
	in, err := os.Open(filepath.Join(c.from, name))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(c.to, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// forget removes from the copy what is in the folder no more.
func (c *copier) forget(seen map[string]bool) error {
	var gone []string
	err := filepath.WalkDir(c.to, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.to, path)
		if err == nil && !seen[name] {
			gone = append(gone, path)
		}
		return err
	})
	slices.Reverse(gone) // what is in a folder before the folder
	for _, path := range gone {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func writeTree(out io.Writer, dir string) error {
	zipped, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	stream := tar.NewWriter(zipped)
	if err := stream.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return errors.Join(stream.Close(), zipped.Close())
}
