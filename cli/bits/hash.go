package bits

import (
	"crypto/sha1"
	"encoding/hex"
	"io"
	"os"
	"sync"
)

// buffers are shared by the hashing goroutines, so that many small files cost no garbage.
var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func hashFile(name string) (sum string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	return hashReader(f)
}

// hashReader is SHA-1 because resource matching speaks it (CAPI v3); it guards nothing.
func hashReader(r io.Reader) (sum string, size int64, err error) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	h := sha1.New()
	size, err = io.CopyBuffer(h, struct{ io.Reader }{r}, *buffer)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
