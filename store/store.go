// Package store keeps what the platform must not forget: typed records in one bbolt file, blobs and
// container images on disk.
//
// It promises that an Update that returned nil survives a power cut, that a reader sees one moment in
// time, and that no secret can be read in the database file: every record is sealed with a key from
// another file, and only GUIDs, states and names stand in index keys as they are. It is the only package
// that knows bbolt. The controller and its loops call it; it knows none of them.
package store

import (
	"errors"
	"fmt"
)

// What callers can tell apart.
var (
	// ErrNotFound says that there is no record with that GUID or index value.
	ErrNotFound = errors.New("not found")
	// ErrNoSpace says that the disk is full; nothing was changed.
	ErrNoSpace = errors.New("no space left on the disk of the store")
	// ErrLocked says that another process has the database open.
	ErrLocked = errors.New("the database is in use by another process")
	// ErrTooLarge says that a blob has more bytes than its limit; nothing of it is kept.
	ErrTooLarge = errors.New("larger than the limit")
)

// ConflictError says that a record would break a unique index.
type ConflictError struct{ Table, Index, Value string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: another record has %s %q", e.Table, e.Index, e.Value)
}
