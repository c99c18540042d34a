package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// entry is a file of a root folder as it goes into a layer.
type entry struct {
	path     string // below the root, with slashes, without a leading one
	disk     string // where its content is; empty for a whiteout
	info     fs.FileInfo
	uid, gid int
	link     string // target of a symbolic link
	inode    uint64 // of a regular file with several names, else 0
}

// scan lists a root folder in the order of its paths, without what excluded matches and without what no
// image has: device nodes, sockets and pipes.
func scan(root string, excluded []string) ([]entry, error) {
	var entries []entry
	err := filepath.WalkDir(root, func(disk string, d fs.DirEntry, err error) error {
		if err != nil || disk == root {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(disk, root+"/"))
		if matchAny(excluded, rel) || isDoc(rel, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe|fs.ModeIrregular) != 0 {
			return nil
		}
		e, err := newEntry(rel, disk, info)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the files of the image: %w", err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].path < entries[j].path })
	return entries, nil
}

func newEntry(rel, disk string, info fs.FileInfo) (entry, error) {
	e := entry{path: rel, disk: disk, info: info}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return e, fmt.Errorf("no owner known of %s", disk)
	}
	e.uid, e.gid = int(st.Uid), int(st.Gid)
	if info.Mode().IsRegular() && st.Nlink > 1 {
		e.inode = st.Ino
	}
	var err error
	if info.Mode()&fs.ModeSymlink != 0 {
		e.link, err = os.Readlink(disk)
	}
	return e, err
}

// isDoc tells documentation, of which images have the licences only.
func isDoc(rel string, d fs.DirEntry) bool {
	return strings.HasPrefix(rel, "usr/share/doc/") && d.Type().IsRegular() && path.Base(rel) != "copyright"
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// match compares a path with a pattern, in which * stands for any text, slashes included.
func match(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[last])
}

// difference lists what a layer on top of before must hold to give after: what is new or changed, the folders
// above it, and a whiteout for what is gone.
func difference(before, after []entry) ([]entry, error) {
	old := make(map[string]entry, len(before))
	for _, e := range before {
		old[e.path] = e
	}
	wanted := map[string]bool{}
	for _, e := range after {
		o, known := old[e.path]
		delete(old, e.path)
		if known {
			same, err := sameEntry(o, e)
			if err != nil {
				return nil, err
			}
			if same {
				continue
			}
		}
		for p := e.path; p != "." && !wanted[p]; p = path.Dir(p) {
			wanted[p] = true
		}
	}
	out := whiteouts(old)
	for _, e := range after {
		if wanted[e.path] {
			out = append(out, e)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out, nil
}

// whiteouts marks what is gone; what lies in a folder that is gone needs no mark of its own.
func whiteouts(gone map[string]entry) []entry {
	var out []entry
	for p := range gone {
		if _, parentGone := gone[path.Dir(p)]; !parentGone {
			out = append(out, entry{path: path.Join(path.Dir(p), ".wh."+path.Base(p))})
		}
	}
	return out
}

func sameEntry(a, b entry) (bool, error) {
	if a.info.Mode() != b.info.Mode() || a.uid != b.uid || a.gid != b.gid || a.link != b.link {
		return false, nil
	}
	if !a.info.Mode().IsRegular() {
		return true, nil
	}
	if a.info.Size() != b.info.Size() {
		return false, nil
	}
	if a.info.ModTime().Equal(b.info.ModTime()) {
		return true, nil
	}
	return sameContent(a.disk, b.disk)
}

func sameContent(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(fa, bufA)
		m, errB := io.ReadFull(fb, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			ended := (errA == io.EOF || errA == io.ErrUnexpectedEOF) && (errB == io.EOF || errB == io.ErrUnexpectedEOF)
			if !ended {
				return false, fmt.Errorf("compare %s and %s: %w", a, b, errA)
			}
			return true, nil
		}
	}
}

// copyTree copies a root folder with owners, modes, times and hard links.
func copyTree(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", from, to)
	cmd.Env = hostEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		return explain(&CommandError{Program: "cp", Tail: []string{strings.TrimSpace(string(out))}, Err: err})
	}
	return nil
}

// rootFile is a file that we write into a root folder.
type rootFile struct {
	path, content string
	mode          fs.FileMode
}

func writeFiles(root string, files []rootFile) error {
	for _, f := range files {
		name := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		// Removed first: resolv.conf and the like may be links that lead out of the root folder.
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.WriteFile(name, []byte(f.content), f.mode); err != nil {
			return err
		}
		if err := os.Chmod(name, f.mode); err != nil { // whatever our umask is
			return err
		}
	}
	return nil
}

// addUser adds the user vcap, its group and its folders.
func addUser(root string) error {
	for _, f := range []struct{ path, line string }{
		{"etc/passwd", fmt.Sprintf("%s:x:%d:%d::%s:/bin/bash\n", vcapName, vcapID, vcapID, vcapHome)},
		{"etc/group", fmt.Sprintf("%s:x:%d:\n", vcapName, vcapID)},
		{"etc/shadow", vcapName + ":!:19000:0:99999:7:::\n"},
		{"etc/gshadow", vcapName + ":!::\n"},
	} {
		if err := appendTo(filepath.Join(root, f.path), f.line); err != nil {
			return fmt.Errorf("add the user %s: %w", vcapName, err)
		}
	}
	for _, dir := range []string{vcapHome, vcapHome + "/app", vcapHome + "/deps", vcapHome + "/logs", vcapHome + "/tmp"} {
		name := filepath.Join(root, dir)
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(name, 0o755); err != nil {
			return err
		}
		if err := os.Chown(name, vcapID, vcapID); err != nil {
			return err
		}
	}
	return nil
}

func appendTo(name, line string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
