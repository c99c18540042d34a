package bits

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// racy is how old a file's times must be before its sum is remembered. A file that is written again
// within the tick of the file system's clock has the same times and another content.
const racy = 2 * time.Second

// forgetAfter is how long sums of a folder that is not pushed are kept.
const forgetAfter = 60 * 24 * time.Hour

// Cache remembers the SHA-1 of the files of one folder, so that a push reads only what has changed. An
// entry counts while path, size, mtime and ctime are the same; ctime can't be set by programs, so that
// a file replaced under its old mtime is noticed. Where the system has no ctime nothing is remembered.
// It may be used by several goroutines, and is no source of truth: deleting it costs time only.
type Cache struct {
	file    string
	started time.Time

	mu      sync.Mutex
	old     map[string]cacheEntry // as read; never written
	entries map[string]cacheEntry // seen in this run; becomes the file
	changed bool
}

type cacheEntry struct {
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"`
	CTime int64  `json:"ctime"`
	SHA1  string `json:"sha1"`
}

// OpenCache reads what is remembered of folder in dir. A cache that can't be read is empty.
func OpenCache(dir, folder string) *Cache {
	if absolute, err := filepath.Abs(folder); err == nil {
		folder = absolute
	}
	key := sha256.Sum256([]byte(folder))
	c := &Cache{
		file:    filepath.Join(dir, hex.EncodeToString(key[:16])+".json"),
		started: time.Now(),
		old:     map[string]cacheEntry{},
		entries: map[string]cacheEntry{},
	}
	if data, err := os.ReadFile(c.file); err == nil && json.Unmarshal(data, &c.old) != nil {
		c.old = map[string]cacheEntry{}
	}
	return c
}

// Get returns the sum of a file that has not changed.
func (c *Cache) Get(path string, info fs.FileInfo) (string, bool) {
	entry, ok := c.old[path]
	ctime, known := changeTime(info)
	if !ok || !known || entry.Size != info.Size() || entry.MTime != info.ModTime().UnixNano() || entry.CTime != ctime.UnixNano() {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[path] = entry
	return entry.SHA1, true
}

// Put remembers the sum of a file, unless it was changed a moment ago.
func (c *Cache) Put(path string, info fs.FileInfo, sum string) {
	ctime, known := changeTime(info)
	if limit := c.started.Add(-racy); !known || ctime.After(limit) || info.ModTime().After(limit) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = true
	c.entries[path] = cacheEntry{Size: info.Size(), MTime: info.ModTime().UnixNano(), CTime: ctime.UnixNano(), SHA1: sum}
}

// Save writes what was seen in this run and forgets folders that were not pushed for long.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed && len(c.entries) == len(c.old) {
		return nil
	}
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(c.entries)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, ".sums-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), c.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return forget(dir, c.started.Add(-forgetAfter))
}

func forget(dir string, before time.Time) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var all error
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.ModTime().Before(before) {
			all = errors.Join(all, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return all
}
