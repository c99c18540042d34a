package builders

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestImagesAheadOfBuilds: a machine that builds is asked for each image once, again when it comes back and when it failed a while
// ago, and one that does not build is not asked.
func TestImagesAheadOfBuilds(t *testing.T) {
	other := machine("other", 4000)
	delete(other.Labels, Label)
	w := newWorld(t, machine("one", 4000), machine("two", 4000), other)
	images := []string{"127.0.0.1:1/stacks/build@sha256:1"}
	w.o.Images = func() ([]string, error) { return images, nil }
	broken := "two"
	w.engine.refuse[broken] = errors.New("its disk is full")
	expect := func(when string, want ...string) {
		t.Helper()
		if err := w.fetchAhead(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.ahead.work.Wait()
		slices.Sort(w.engine.asked)
		if !slices.Equal(w.engine.asked, want) {
			t.Errorf("%s: asked %v, want %v", when, w.engine.asked, want)
		}
		w.engine.asked = nil
	}
	expect("at first", "one 127.0.0.1:1/stacks/build@sha256:1", "two 127.0.0.1:1/stacks/build@sha256:1")
	expect("a little later")
	images = append(images, "127.0.0.1:1/stacks/build@sha256:2")
	expect("with another stack", "one 127.0.0.1:1/stacks/build@sha256:2", "two 127.0.0.1:1/stacks/build@sha256:2")
	for f, again := range w.ahead.seen {
		if !again.IsZero() {
			w.ahead.seen[f] = again.Add(-fetchRest)
		}
	}
	delete(w.engine.refuse, broken)
	expect("after a rest", "two 127.0.0.1:1/stacks/build@sha256:1", "two 127.0.0.1:1/stacks/build@sha256:2")
	w.engine.machines[0].Up = false
	expect("while a machine is off")
	w.engine.machines[0].Up = true
	expect("when it is back", "one 127.0.0.1:1/stacks/build@sha256:1", "one 127.0.0.1:1/stacks/build@sha256:2")

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
}
