package objects

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// How content is told to be sent in pieces ("Signature Calculations for the Authorization Header: Transferring Payload in
// Multiple Chunks").
const (
	chunksSigned         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	chunksSignedTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	chunksTrailer        = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	maxChunk             = 64 << 20
	maxTrailer           = 4096
	emptySHA             = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	checksumHeaderPrefix = "X-Amz-Checksum-"
)

// checksums are what a client may send one of, by the end of its header's name.
var checksums = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) }, // reflected
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

// body is the content of a request. Its Read ends with an error instead of io.EOF when the content is not what was signed or
// summed.
type body struct {
	io.Reader
	size int64 // negative: not known

	md5     hash.Hash // for the ETag
	payload hash.Hash // nil: not signed as a whole
	sum     hash.Hash // nil: none was sent
	sumName string    // of the header
	want    struct{ md5, payload, sum string }
	chunks  *chunkReader // nil: in one piece
}

func newBody(r *http.Request, g *signature) (*body, error) {
	b := &body{Reader: r.Body, size: r.ContentLength, md5: newMD5()}
	if text := r.Header.Get("Content-Md5"); text != "" {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != md5.Size {
			return nil, fail(http.StatusBadRequest, "InvalidDigest", "Content-MD5 is not a sum in base64.")
		}
		b.want.md5 = hex.EncodeToString(sum)
	}
	for name := range r.Header {
		if make, ok := checksums[strings.TrimPrefix(name, checksumHeaderPrefix)]; ok && strings.HasPrefix(name, checksumHeaderPrefix) {
			b.sum, b.sumName, b.want.sum = make(), name, r.Header.Get(name)
		}
	}
	switch g.payload {
	case unsigned:
	case chunksSigned, chunksSignedTrailer, chunksTrailer:
		return b, b.inChunks(r, g)
	default:
		b.payload, b.want.payload = sha256.New(), g.payload
	}
	return b, nil
}

func (b *body) inChunks(r *http.Request, g *signature) error {
	n, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return fail(http.StatusLengthRequired, "MissingContentLength", "X-Amz-Decoded-Content-Length is missing or no number.")
	}
	b.size = n
	b.chunks = &chunkReader{r: bufio.NewReaderSize(r.Body, 64<<10), trailer: g.payload != chunksSigned}
	if g.payload != chunksTrailer {
		b.chunks.g, b.chunks.before = g, g.value
	}
	if name := textproto.CanonicalMIMEHeaderKey(r.Header.Get("X-Amz-Trailer")); name != "" {
		make, ok := checksums[strings.TrimPrefix(name, checksumHeaderPrefix)]
		if !ok {
			return fail(http.StatusBadRequest, "InvalidRequest", "X-Amz-Trailer names no checksum that is known here.")
		}
		b.sum, b.sumName = make(), name
		b.chunks.wants = name
	}
	b.Reader = b.chunks
	return nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.md5.Write(p[:n])
	if b.payload != nil {
		b.payload.Write(p[:n])
	}
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		err = b.verify()
	}
	return n, err
}

// verify is io.EOF when everything is as it was told.
func (b *body) verify() error {
	if b.chunks != nil && b.chunks.wants != "" {
		b.want.sum = b.chunks.found
	}
	switch {
	case b.want.md5 != "" && b.want.md5 != b.etag():
		return fail(http.StatusBadRequest, "BadDigest", "The content is not what Content-MD5 says.")
	case b.payload != nil && b.want.payload != hex.EncodeToString(b.payload.Sum(nil)):
		return fail(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The content is not what x-amz-content-sha256 says.")
	case b.sum != nil && b.want.sum != b.checksum():
		return fail(http.StatusBadRequest, "BadDigest", "The content is not what its checksum says.")
	}
	return io.EOF
}

// newMD5 is what ETags are made with; it protects nothing.
func newMD5() hash.Hash { return md5.New() }

func (b *body) etag() string     { return hex.EncodeToString(b.md5.Sum(nil)) }
func (b *body) checksum() string { return base64.StdEncoding.EncodeToString(b.sum.Sum(nil)) }

// chunkReader takes the content out of chunks: SIZE[;chunk-signature=HEX]\r\n DATA \r\n, the last of size zero, then a trailer.
type chunkReader struct {
	r       *bufio.Reader
	g       *signature // nil: chunks are not signed
	before  string     // signature of the chunk before
	trailer bool
	wants   string // the trailer that was announced
	found   string // its value

	left      int64 // of this chunk
	sum       hash.Hash
	signature string
	begun     bool
	done      bool
}

var errChunk = fail(http.StatusBadRequest, "InvalidRequest", "The content is not in chunks as it was said to be.")

// Read implements io.Reader.
func (c *chunkReader) Read(p []byte) (int, error) {
	for c.left == 0 {
		if c.done {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next ends a chunk and begins another.
func (c *chunkReader) next() error {
	if c.begun {
		if err := c.endChunk(); err != nil {
			return err
		}
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(size, 16, 64)
	if err != nil || n < 0 || n > maxChunk {
		return errChunk
	}
	c.left, c.begun, c.signature = n, true, strings.TrimPrefix(extension, "chunk-signature=")
	if c.g != nil {
		c.sum = sha256.New()
	}
	if n > 0 {
		return nil
	}
	c.done = true
	if err := c.checkSignature(); err != nil {
		return err
	}
	return c.readTrailer()
}

func (c *chunkReader) endChunk() error {
	if line, err := c.line(); err != nil || line != "" {
		return errChunk
	}
	return c.checkSignature()
}

func (c *chunkReader) checkSignature() error {
	if c.g == nil {
		return nil
	}
	text := strings.Join([]string{algorithm + "-PAYLOAD", c.g.at.Format(timeFormat), c.g.scope(), c.before, emptySHA, hex.EncodeToString(c.sum.Sum(nil))}, "\n")
	return c.compare(text, c.signature)
}

func (c *chunkReader) compare(text, shown string) error {
	if want := hexMAC(c.g.key, text); !hmac.Equal([]byte(want), []byte(shown)) {
		return fail(http.StatusForbidden, "SignatureDoesNotMatch", "The signature of a chunk is not that of its content.")
	}
	c.before = shown
	return nil
}

// readTrailer reads what follows the last chunk: lines NAME:VALUE, some of which clients part by an empty one.
func (c *chunkReader) readTrailer() error {
	rest, err := io.ReadAll(io.LimitReader(c.r, maxTrailer+1))
	if err != nil {
		return err
	}
	if len(rest) > maxTrailer {
		return errChunk
	}
	if !c.trailer {
		return nil
	}
	signed, shown := "", ""
	for line := range strings.Lines(string(rest)) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.TrimSpace(value)
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "":
		case "X-Amz-Trailer-Signature":
			shown = value
		case c.wants:
			c.found = value
			signed += strings.ToLower(name) + ":" + value + "\n"
		}
	}
	return c.endTrailer(signed, shown)
}

func (c *chunkReader) endTrailer(signed, shown string) error {
	if c.wants != "" && c.found == "" {
		return errChunk
	}
	if c.g == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(signed))
	return c.compare(strings.Join([]string{algorithm + "-TRAILER", c.g.at.Format(timeFormat), c.g.scope(), c.before, hex.EncodeToString(sum[:])}, "\n"), shown)
}

// line reads one without its end; io.ErrUnexpectedEOF when the content ended.
func (c *chunkReader) line() (string, error) {
	text, err := c.r.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		return strings.TrimRight(string(text), "\r\n"), io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", errChunk
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
