package stack

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// fixedTime is the time of files that we or maintainer scripts wrote; 1980 as in every buildpack image.
var fixedTime = time.Date(1980, 1, 1, 0, 0, 1, 0, time.UTC)

// fileLayer is a compressed layer on disk whose digests are known, so that nothing is read twice.
type fileLayer struct {
	file           string
	digest, diffID v1.Hash
	size           int64
}

var _ v1.Layer = (*fileLayer)(nil)

// Digest implements v1.Layer.
func (l *fileLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements v1.Layer.
func (l *fileLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size implements v1.Layer.
func (l *fileLayer) Size() (int64, error) { return l.size, nil }

// MediaType implements v1.Layer.
func (l *fileLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed implements v1.Layer.
func (l *fileLayer) Compressed() (io.ReadCloser, error) { return os.Open(l.file) }

// Uncompressed implements v1.Layer.
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// writeLayer packs entries into a gzipped tar file. Times from cutoff on become fixedTime; older ones came
// with a package, are the same on every machine and must stay: Python compares them with its compiled files.
func writeLayer(ctx context.Context, file string, entries []entry, cutoff time.Time) (_ *fileLayer, err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, plain := newCounter(f), sha256.New()
	buf := bufio.NewWriterSize(packed, 256<<10)
	z, err := gzip.NewWriterLevel(buf, 5)
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(io.MultiWriter(plain, z))
	w := layerWriter{tar: tw, cutoff: cutoff, names: map[uint64]string{}}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.add(e); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.path, noSpace(err))
		}
	}
	if err := errors.Join(tw.Close(), z.Close(), buf.Flush()); err != nil {
		return nil, noSpace(err)
	}
	return &fileLayer{file: file, digest: packed.sum(), diffID: hashOf(plain), size: packed.n}, nil
}

type layerWriter struct {
	tar    *tar.Writer
	cutoff time.Time
	names  map[uint64]string // first name of an inode, for hard links
}

func (w *layerWriter) add(e entry) error {
	if e.info == nil {
		return w.tar.WriteHeader(&tar.Header{Name: e.path, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: fixedTime})
	}
	h := w.header(e)
	if err := w.tar.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg || h.Size == 0 {
		return err
	}
	f, err := os.Open(e.disk)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w.tar, f)
	return err
}

// header describes an entry without set-user-id and set-group-id bits: nobody in an app's container becomes
// somebody else.
func (w *layerWriter) header(e entry) *tar.Header {
	mode := int64(e.info.Mode().Perm())
	if e.info.Mode()&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	h := &tar.Header{Name: e.path, Mode: mode, Uid: e.uid, Gid: e.gid, ModTime: e.info.ModTime().Truncate(time.Second).UTC()}
	if !h.ModTime.Before(w.cutoff) {
		h.ModTime = fixedTime
	}
	switch first := w.names[e.inode]; {
	case e.info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(e.path, "/")+"/"
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	case e.inode != 0 && first != "":
		h.Typeflag, h.Linkname = tar.TypeLink, first
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.info.Size()
		if e.inode != 0 {
			w.names[e.inode] = e.path
		}
	}
	return h
}

// counter hashes and counts what passes through to w.
type counter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func newCounter(w io.Writer) *counter { return &counter{w: w, h: sha256.New()} }

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) sum() v1.Hash { return hashOf(c.h) }

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}
