package e2e

import (
	"strings"
	"sync"
)

// untilText collects output and closes found when a text has been seen.
type untilText struct {
	text  string
	found chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	once sync.Once
	all  strings.Builder
}

func (u *untilText) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all.Write(p)
	if strings.Contains(strings.ToLower(u.all.String()), strings.ToLower(u.text)) {
		u.once.Do(func() { close(u.found) })
	}
	return len(p), nil
}

func (u *untilText) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all.String()
}
