package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Blob is a layer of which all is known; its content lies in File, or in the registry when File is empty.
// It implements v1.Layer.
type Blob struct {
	Diff  v1.Hash // of the tar
	Hash  v1.Hash // of the compressed tar
	Bytes int64   // compressed
	Type  types.MediaType
	File  string
}

var _ v1.Layer = (*Blob)(nil)

// Digest, DiffID, Size and MediaType are those of v1.Layer.
func (b *Blob) Digest() (v1.Hash, error)             { return b.Hash, nil }
func (b *Blob) DiffID() (v1.Hash, error)             { return b.Diff, nil }
func (b *Blob) Size() (int64, error)                 { return b.Bytes, nil }
func (b *Blob) MediaType() (types.MediaType, error)  { return b.Type, nil }
func (b *Blob) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Compressed opens the blob's file.
func (b *Blob) Compressed() (io.ReadCloser, error) {
	if b.File == "" {
		return nil, errors.New("layer " + b.Hash.String() + " was in the registry and is there no more; stage again")
	}
	return os.Open(b.File)
}

// pack makes a Blob of the tar that write produces, in a new file in dir.
func pack(dir string, owner Owner, write func(*packer) error) (_ *Blob, err error) {
	f, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	diff := sha256.New()
	c := startCompressor(f)
	p := newPacker(io.MultiWriter(diff, c), owner)
	if err = write(p); err == nil {
		err = p.close()
	}
	digest, n, closeErr := c.finish()
	if err = errors.Join(err, closeErr); err != nil {
		return nil, err
	}
	return &Blob{Diff: sum(diff), Hash: digest, Bytes: n, Type: types.DockerLayer, File: f.Name()}, nil
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// compressor compresses and hashes in a goroutine of its own, beside the one that reads and hashes files.
type compressor struct {
	full, free chan []byte
	current    []byte
	done       chan struct{}
	digest     hash.Hash
	n          int64
	err        error // of the goroutine; read after done
}

const chunkBytes = 1 << 20

func startCompressor(w io.Writer) *compressor {
	c := &compressor{
		full: make(chan []byte, 2), free: make(chan []byte, 3), done: make(chan struct{}), digest: sha256.New(),
	}
	for range cap(c.free) {
		c.free <- nil // made when first used: most layers are small
	}
	go c.run(w)
	return c
}

func (c *compressor) run(w io.Writer) {
	defer close(c.done)
	buffered := bufio.NewWriterSize(w, 256<<10)
	gz, err := gzip.NewWriterLevel(io.MultiWriter(c.digest, counter{&c.n}, buffered), gzip.BestSpeed)
	for chunk := range c.full {
		if err == nil {
			_, err = gz.Write(chunk)
		}
		c.free <- chunk[:0]
	}
	if err == nil {
		err = gz.Close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	c.err = err
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return len(p), nil
}

// Write collects chunks. An error of the compressing side comes from finish.
func (c *compressor) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if c.current == nil {
			if c.current = <-c.free; c.current == nil {
				c.current = make([]byte, 0, min(chunkBytes, max(64<<10, 2*len(p))))
			}
		}
		n := min(len(p), chunkBytes-len(c.current))
		c.current = append(c.current, p[:n]...)
		p = p[n:]
		if len(c.current) == chunkBytes {
			c.full <- c.current
			c.current = nil
		}
	}
	return written, nil
}

func (c *compressor) finish() (v1.Hash, int64, error) {
	if len(c.current) > 0 {
		c.full <- c.current
	}
	close(c.full)
	<-c.done
	return sum(c.digest), c.n, c.err
}
