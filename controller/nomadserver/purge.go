package nomadserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/store"
)

// Made reports whether the platform of a store had a server of its own.
func Made(db *store.DB) bool {
	return db.View(func(tx *store.Tx) error { _, err := store.Settings.Get(tx, bootstrapSetting); return err }) == nil
}

// Unmount takes away what Nomad's client has left mounted in the folder of a server that has ended, so that it can be deleted.
func Unmount(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			if err := unix.Unmount(f[1], 0); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", f[1], err))
			}
		}
	}
	return errors.Join(errs...)
}
