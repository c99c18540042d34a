package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrDamaged says that a stream was not written with this key for this purpose, was changed, or is cut off.
var ErrDamaged = errors.New("the backup is damaged, cut off, or of another platform")

// A stream is the magic, then chunks of up to chunkBytes, each sealed with AES-256-GCM under a key that is used for
// this stream alone. The nonce is the chunk's number, with 1 in its last byte for the last chunk; the name of the
// stream is authenticated with each. So chunks cannot be moved, left out or cut off, and streams cannot be swapped.
const (
	magic      = "cupola backup 1\n"
	chunkBytes = 64 << 10
	keyBytes   = 32
)

// EncryptPiece is Encrypt with a key of many streams, from which one of its own is derived: salt and name never make the
// same one twice. Its output begins with the salt.
func EncryptPiece(out io.Writer, in io.Reader, key []byte, name string) error {
	salt := NewKey()
	own, err := derive(key, salt, name)
	if err != nil {
		return err
	}
	if _, err := out.Write(salt); err != nil {
		return err
	}
	return Encrypt(out, in, own, name)
}

// DecryptPiece copies what EncryptPiece wrote to out, as Decrypt does.
func DecryptPiece(out io.Writer, in io.Reader, key []byte, name string) error {
	salt := make([]byte, keyBytes)
	if _, err := io.ReadFull(in, salt); err != nil {
		return ErrDamaged
	}
	own, err := derive(key, salt, name)
	if err != nil {
		return err
	}
	return Decrypt(out, in, own, name)
}

func derive(key, salt []byte, name string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, salt, "cupola backup piece "+name, keyBytes)
}

// NewKey returns a key for one stream.
func NewKey() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails
	return key
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("a key of %d bytes is needed, this has %d", keyBytes, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func nonce(n uint64, last bool) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[3:], n)
	if last {
		b[11] = 1
	}
	return b[:]
}

// Encrypt copies in to out, sealed.
func Encrypt(out io.Writer, in io.Reader, key []byte, name string) error {
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, magic); err != nil {
		return err
	}
	return eachChunk(in, chunkBytes, func(n uint64, chunk []byte, last bool) error {
		_, err := out.Write(aead.Seal(nil, nonce(n, last), chunk, []byte(name)))
		return err
	})
}

// Decrypt copies what Encrypt wrote to out. What it has written before an error is genuine, but not all.
func Decrypt(out io.Writer, in io.Reader, key []byte, name string) error {
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in, head); err != nil || !bytes.Equal(head, []byte(magic)) {
		return ErrDamaged
	}
	return eachChunk(in, chunkBytes+aead.Overhead(), func(n uint64, chunk []byte, last bool) error {
		plain, err := aead.Open(nil, nonce(n, last), chunk, []byte(name))
		if err != nil {
			return ErrDamaged
		}
		_, err = out.Write(plain)
		return err
	})
}

// eachChunk reads chunks of one size, the last of which may be shorter or empty, and says which is the last.
func eachChunk(in io.Reader, size int, do func(n uint64, chunk []byte, last bool) error) error {
	now, next := make([]byte, size), make([]byte, size)
	have, err := fill(in, now)
	if err != nil {
		return err
	}
	for n := uint64(0); ; n++ {
		more := 0
		if have == size {
			if more, err = fill(in, next); err != nil {
				return err
			}
		}
		if err := do(n, now[:have], more == 0); err != nil || more == 0 {
			return err
		}
		now, next, have = next, now, more
	}
}

func fill(in io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, nil
	}
	return n, err
}
