package controller

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// TestStagingLogRate: of what goes over the limit nothing is kept, and the log says so once a second.
func TestStagingLogRate(t *testing.T) {
	for rate, want := range map[int][]string{
		store.Unlimited: {"12345", "67890", "end"},
		8:               {"12345", "app instance exceeded log rate limit (8 bytes/sec)", "end"},
	} {
		db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		kept, err := logs.Open(logs.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		sink := &logSink{store: kept, tags: newTagger(db), log: slog.New(slog.DiscardHandler)}
		app := uuid.NewString()
		out := sink.Staging(app, rate)
		if _, err := out.Write([]byte("12345\n67890\nend")); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		all, err := kept.Read(logs.Query{SourceID: app})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range all {
			got = append(got, string(e.Payload))
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %d bytes a second the log has %q, want %q", rate, got, want)
		}
	}
}
