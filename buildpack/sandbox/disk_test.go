package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsedMB(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if got := UsedMB(dir, filepath.Join(dir, "none")); got != 3 {
		t.Errorf("UsedMB = %d, want 3: a file with two names counts once", got)
	}
}

func TestPullResult(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"status":"a"}` + "\n" + `{"status":"b"}`:      true,
		`{"status":"a"}` + "\n" + `{"error":"no room"}`: false,
		`{"status`: false, "": true,
	} {
		if err := pullResult(strings.NewReader(text)); (err == nil) != ok {
			t.Errorf("pullResult(%s) = %v", text, err)
		}
	}
}
