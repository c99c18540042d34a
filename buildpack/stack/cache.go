package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The cache folder:
//
//	.lock                        flock'd by who prepares
//	RECIPE.json                  metadata of the newest stack of that recipe, and the name of its folder
//	RECIPE-VERSION/{run,build}   OCI layouts, never changed once they are there
//	.work-*                      a preparation under way, or what a crash left of one
//	prepare.log                  what debootstrap and apt printed in the last preparation
const (
	tempPrefix = ".work-"
	logName    = "prepare.log"
)

// metadata is what RECIPE.json holds.
type metadata struct {
	ID            string    `json:"id"`
	Version       string    `json:"version"`
	Folder        string    `json:"folder"`
	Created       time.Time `json:"created"`
	Packages      []Package `json:"packages"`
	BuildPackages []Package `json:"build_packages"`
}

// load opens the newest stack of a recipe. A stack that misses a file is an error like none at all.
func load(cache string, rec recipe) (*Stack, error) {
	b, err := os.ReadFile(filepath.Join(cache, rec.hash()+".json"))
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if m.Folder == "" || m.Folder != filepath.Base(m.Folder) {
		return nil, fmt.Errorf("the stack cache names the folder %q", m.Folder)
	}
	dir := filepath.Join(cache, m.Folder)
	s := &Stack{
		ID: m.ID, Version: m.Version, Packages: m.Packages, BuildPackages: m.BuildPackages, Created: m.Created,
		BuildPath: filepath.Join(dir, "build"), RunPath: filepath.Join(dir, "run"),
	}
	if s.Run, err = readLayout(s.RunPath); err != nil {
		return nil, err
	}
	s.Build, err = readLayout(s.BuildPath)
	return s, err
}

// publish moves a finished stack to its place and then points to it, in this order. Older stacks of the
// recipe go, except the one that was the newest until now: somebody may be reading it.
func publish(cache string, rec recipe, out string, m metadata) error {
	previous := ""
	if s, err := load(cache, rec); err == nil {
		previous = filepath.Base(filepath.Dir(s.RunPath))
	}
	m.Folder = rec.hash() + "-" + m.Version
	dir := filepath.Join(cache, m.Folder)
	if m.Folder != previous {
		if err := os.RemoveAll(dir); err != nil { // incomplete, else load had found it
			return err
		}
		if err := syncTree(out); err != nil {
			return noSpace(err)
		}
		if err := os.Rename(out, dir); err != nil {
			return err
		}
	}
	if err := writeMetadata(cache, rec, m); err != nil {
		return noSpace(err)
	}
	return removeOlder(cache, rec, m.Folder, previous)
}

func writeMetadata(cache string, rec recipe, m metadata) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	name := filepath.Join(cache, rec.hash()+".json")
	if err := os.WriteFile(name+".new", b, 0o644); err != nil {
		return err
	}
	if err := syncFile(name + ".new"); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFile(cache)
}

func removeOlder(cache string, rec recipe, keep ...string) error {
	dirs, err := filepath.Glob(filepath.Join(cache, rec.hash()+"-*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if base := filepath.Base(dir); base != keep[0] && base != keep[1] {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// syncTree puts a folder on the disk, so that the rename after it can't come before it.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(name)
	})
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lock takes the cache folder for this caller alone and returns what gives it back. The kernel gives it back
// too when the process dies.
func lock(ctx context.Context, name string, report func(string, int, int)) (func(), error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the stack cache: %w", err)
	}
	// Each open file has a lock of its own, so this keeps goroutines apart as well as processes.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the stack cache: %w", err), f.Close())
		}
		if !said {
			report("waiting for another preparation of the stack", 0, progressTotal)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-tick.C:
		}
	}
}

// removeStale removes what crashed preparations left. The folder's lock is held, so none is under way.
func removeStale(cache string) error {
	dirs, err := filepath.Glob(filepath.Join(cache, tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := removeTree(dir); err != nil {
			return fmt.Errorf("remove an unfinished stack: %w", err)
		}
	}
	return nil
}

// removeTree removes a root folder, and refuses while anything is mounted in it: what it would remove then is
// the host's. Mounts live in namespaces of their own, so none is expected.
func removeTree(dir string) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			return fmt.Errorf("%s is still mounted: unmount it, then remove %s", f[4], dir)
		}
	}
	return os.RemoveAll(dir)
}

// noSpace names a full disk as such.
func noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w; free about 4 GB and try again: %w", ErrNoSpace, err)
	}
	return err
}
