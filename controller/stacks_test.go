package controller

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestPrepull: the nodes fetch a run image that is newer than the stack's, and only then; one that fails stops nothing.
func TestPrepull(t *testing.T) {
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var fetched []string
	s := &stacks{db: db, log: slog.New(slog.DiscardHandler), spread: func(_ context.Context, image string) error {
		fetched = append(fetched, image)
		return errors.New("a node is away")
	}}
	for _, run := range []string{"run@1", "run@1", "run@2"} {
		s.prepull(t.Context(), "debian", run)
		if err := s.write("debian", "version", "build@1", run); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"run@2"}; !slices.Equal(fetched, want) {
		t.Errorf("fetched %q, want %q", fetched, want)
	}
}
