package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keyBytes is the length of the store's key: AES-256.
const keyBytes = 32

// sealer encrypts record values with AES-256-GCM. Each value has a random nonce in front; the table and
// the key under which the value lies are authenticated with it, so that a value can't be moved.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("store key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("store key: %w", err)
	}
	return &sealer{aead}, nil
}

// seal appends the sealed plain to dst.
func (s *sealer) seal(dst, plain, place []byte) []byte { return s.aead.Seal(dst, nil, plain, place) }

func (s *sealer) open(sealed, place []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, place)
	if err != nil {
		return nil, errors.New("the record can't be decrypted: the database file is damaged or the store key is another one")
	}
	return plain, nil
}

// loadKey reads the key file. Where there is neither a key nor a database it makes one.
func loadKey(path string, databaseExists bool) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if databaseExists {
			return nil, fmt.Errorf("the store key %s is missing and the database can't be read without it: "+
				"put it back from your backup", path)
		}
		if err := createKey(path); err != nil {
			return nil, err
		}
		key, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("store key: %w", err)
	}
	if len(key) != keyBytes {
		return nil, fmt.Errorf("the store key %s has %d bytes instead of %d: put it back from your backup",
			path, len(key), keyBytes)
	}
	return key, nil
}

func createKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("store key: %w", noSpace(err))
	}
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails
	if err := createFile(path, func(f *os.File) error { _, err := f.Write(key); return err }); err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	return nil
}
