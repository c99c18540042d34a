package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// The cost of a password hash: the second of the two settings that OWASP's Password Storage Cheat Sheet names for
// argon2id. Each hash needs argonMemoryKiB while it is made.
const (
	argonMemoryKiB = 19 * 1024
	argonTime      = 2
	argonThreads   = 1
	argonKeyBytes  = 32
	argonSaltBytes = 16
	passwordBytes  = 1024 // at most

	// memoryKept is how long after the last hash its memory is given back to the system.
	memoryKept = 3 * time.Second

	// hashesQueued is how many may wait for their turn, each some 30 ms of one core; more are refused.
	hashesQueued = 300
)

// errBusy is the answer when too many passwords wait to be checked.
var errBusy = &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "Too many people log in at the moment: try again in a few seconds.", 5 * time.Second}

// hasher makes and checks password hashes, as many at a time as there are cores, so that a crowd of logins
// needs little memory; and gives that memory back when they are over.
type hasher struct {
	slots *semaphore.Weighted
	queue atomic.Int32 // hashes that are made or wait
	dummy string       // of a password nobody knows; checked in place of a user's who does not exist

	mu     sync.Mutex // guards timer and closed
	timer  *time.Timer
	closed bool
}

func newHasher() *hasher {
	h := &hasher{slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
	// The dummy's parameters are what counts, not its value: any salt and key will do.
	h.dummy = encodePHC(make([]byte, argonSaltBytes), randomBytes(argonKeyBytes))
	return h
}

// hash is the PHC string of a new password. It fails with errBusy, or when ctx ends before its turn.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := validatePassword(password); err != nil {
		return "", err
	}
	salt := randomBytes(argonSaltBytes)
	key, err := h.derive(ctx, password, phc{argonMemoryKiB, argonTime, argonThreads, salt, nil})
	if err != nil {
		return "", err
	}
	return encodePHC(salt, key), nil
}

// verify takes the same time for a hash that is empty (a user who is not there) or can't be read. It fails as
// hash does.
func (h *hasher) verify(ctx context.Context, phc, password string) (bool, error) {
	real := true
	p, err := parsePHC(phc)
	if err != nil {
		real = false
		p, _ = parsePHC(h.dummy)
	}
	if len(password) > passwordBytes {
		password, real = "", false
	}
	got, err := h.derive(ctx, password, p)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, p.key) == 1 && real, nil
}

// derive waits for a slot; who hangs up meanwhile leaves the queue.
func (h *hasher) derive(ctx context.Context, password string, p phc) ([]byte, error) {
	defer h.queue.Add(-1)
	if h.queue.Add(1) > hashesQueued {
		return nil, errBusy
	}
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer h.slots.Release(1)
	defer h.giveBackLater()
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, argonKeyBytes), nil
}

// giveBackLater returns the memory of hashes to the system once no hash was made for a while.
func (h *hasher) giveBackLater() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
	case h.timer == nil:
		h.timer = time.AfterFunc(memoryKept, debug.FreeOSMemory)
	default:
		h.timer.Reset(memoryKept)
	}
}

func (h *hasher) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// encodePHC writes the PHC string format: $argon2id$v=19$m=...,t=...,p=...$salt$hash.
func encodePHC(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func parsePHC(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errors.New("not an argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, err
	}
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, err
	}
	p.key, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err == nil && (len(p.key) != argonKeyBytes || p.time == 0 || p.threads == 0 || p.memory > 1<<20) {
		err = errors.New("not a usable argon2id hash")
	}
	return p, err
}

// passwordError says what is wrong with a new password.
type passwordError string

func (e passwordError) Error() string { return string(e) }

func validatePassword(password string) error {
	switch {
	case password == "":
		return passwordError("the password is empty: choose one")
	case len(password) > passwordBytes:
		return passwordError(fmt.Sprintf("the password is too long: it may have %d bytes", passwordBytes))
	case !utf8.ValidString(password):
		return passwordError("the password is not valid UTF-8")
	}
	return nil
}

// badPassword puts what is wrong with a new password in the words of the request; other errors stay as they are.
func badPassword(err error, say func(error) error) error {
	var wrong passwordError
	if errors.As(err, &wrong) {
		return say(wrong)
	}
	return err
}
