package keeper

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// segmentName is what PostgreSQL calls a segment of its write-ahead log; other files that it archives (labels of base
// backups, histories of time lines) are of no use to us.
var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

const (
	packed   = ".gz"
	lookEach = time.Second // between two looks at a folder without segments
)

// Archive keeps a finished segment of a PostgreSQL server in a folder until Ship has brought it away: compressed, and on
// the disk when Archive returns. It is the server's archive_command, and so an error has the server keep the segment
// and ask again. The database must live though nobody takes its segments: when the folder holds limit bytes, or the
// disk is full, the segment is dropped with a word to log. Who gets the next ones sees from their names that one is
// missing.
func Archive(log io.Writer, segment, dir string, limit int64) error {
	name := filepath.Base(segment)
	if !segmentName.MatchString(name) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if held := heldBytes(dir); held >= limit {
		fmt.Fprintf(log, "segment %s is not archived: %d bytes wait to be taken already\n", name, held)
		return nil
	}
	err := pack(segment, filepath.Join(dir, name+packed))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		fmt.Fprintf(log, "segment %s is not archived: the disk is full\n", name)
		return nil
	}
	return err
}

func heldBytes(dir string) (n int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// pack compresses a file into another one of the same time, which is whole when it has its name.
func pack(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	fresh := to + ".partial"
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(fresh))
		}
	}()
	zipped, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err == nil {
		_, err = io.Copy(zipped, in)
		err = errors.Join(err, zipped.Close())
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(fresh, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	if err := os.Rename(fresh, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Ship writes the segments in the folder of Archive to out as entries of a tar stream, one at a time and the oldest
// first, and removes each when a line of in names it: then it is in a safe place. It returns when in ends.
func Ship(out io.Writer, in io.Reader, dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	taken := make(chan string)
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			select {
			case taken <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	stream := tar.NewWriter(out)
	for {
		path, err := oldest(dir)
		if err != nil {
			return err
		}
		if path == "" {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(lookEach):
			}
			continue
		}
		if err := send(stream, path); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case name := <-taken:
			if name != strings.TrimSuffix(filepath.Base(path), packed) {
				return fmt.Errorf("%q is taken, which was not sent", name)
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
}

// oldest is the segment that was written first; empty: there is none. The names of one time line are in the order of time.
func oldest(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), packed); ok && segmentName.MatchString(name) {
			return filepath.Join(dir, f.Name()), nil
		}
	}
	return "", nil
}

// send writes a file as an entry, its padding included, so that the reader has all of it.
func send(stream *tar.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: strings.TrimSuffix(filepath.Base(path), packed), Size: info.Size(), ModTime: info.ModTime(), Mode: 0o600, Format: tar.FormatPAX}
	if err := stream.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(stream, f); err != nil {
		return err
	}
	return stream.Flush()
}

// Segment is the server's restore_command: it unpacks one of the segments in a folder to where the server wants it.
// fs.ErrNotExist says that there are no more.
func Segment(dir, name, to string) (err error) {
	in, err := os.Open(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return err
	}
	defer in.Close()
	plain, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("segment %s: %w", name, err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, plain); err != nil {
		err = fmt.Errorf("segment %s: %w", name, err)
	}
	return errors.Join(err, out.Close())
}
