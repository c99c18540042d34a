package stack

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestPrepare makes the whole stack. It takes minutes and a Debian mirror, so it runs when asked for by the
// folder to keep it in.
func TestPrepare(t *testing.T) {
	dir := os.Getenv("CUPOLA_TEST_STACK_CACHE")
	if dir == "" {
		t.Skip("CUPOLA_TEST_STACK_CACHE names no folder to prepare a stack in")
	}
	last := ""
	s, err := Prepare(context.Background(), Options{CacheDir: dir, Progress: func(step string, done, total int) {
		if step != last {
			t.Logf("%s %4d/%d %s", time.Now().Format(time.TimeOnly), done, total, step)
		}
		last = step
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s: %d packages, %d to build, in %s", s.ID, s.Version, len(s.Packages), len(s.BuildPackages), s.RunPath)
}
