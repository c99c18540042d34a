package builders

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
)

// TestImagesAheadOfBuilds: a machine that builds is asked for each image once, again when it comes back and when it failed a while
// ago, and one that does not build is not asked.
func TestImagesAheadOfBuilds(t *testing.T) {
	other := machine("other", 4000)
	delete(other.Labels, Label)
	w := newWorld(t, machine("one", 4000), machine("two", 4000), other)
	images := []string{"127.0.0.1:1/stacks/build@sha256:1"}
	w.o.Images = func() ([]string, error) { return images, nil }
	var mu sync.Mutex
	var asked []string
	broken := "two"
	w.serve = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var want wanted
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil || want.Host != "127.0.0.1:1" || r.URL.Path != imagePath {
			t.Errorf("%s %+v, %v", r.URL.Path, want, err)
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.TLS.ServerName+want.Image[len(want.Image)-1:])
		if r.TLS.ServerName == broken {
			http.Error(out, "", http.StatusInternalServerError)
			return
		}
		answer(out, struct{}{}, nil)
	})
	expect := func(when string, want ...string) {
		t.Helper()
		if err := w.fetchAhead(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.ahead.work.Wait()
		slices.Sort(asked)
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked %v, want %v", when, asked, want)
		}
		asked = nil
	}
	expect("at first", "one1", "two1")
	expect("a little later")
	images = append(images, "127.0.0.1:1/stacks/build@sha256:2")
	expect("with another stack", "one2", "two2")
	for f, again := range w.ahead.seen {
		if !again.IsZero() {
			w.ahead.seen[f] = again.Add(-fetchRest)
		}
	}
	broken = ""
	expect("after a rest", "two1", "two2")
	w.engine.machines[0].Up = false
	expect("while a machine is off")
	w.engine.machines[0].Up = true
	expect("when it is back", "one1", "one2")

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestNodeFetches: with real Docker, an image of the platform's registry is there before a build.
func TestNodeFetches(t *testing.T) {
	s := newSite(t)
	want := s.images["build"]
	if _, err := s.docker.ImageInspect(t.Context(), want); err == nil {
		t.Fatal("the image is there before it was asked for")
	}
	if err := s.fetch(t.Context(), "one", want); err != nil {
		t.Fatal(err)
	}
	if _, err := s.docker.ImageInspect(t.Context(), want); err != nil {
		t.Error(err)
	}
	if err := s.fetch(t.Context(), "one", s.registry.Host()+"/stacks/none@sha256:0000000000000000000000000000000000000000000000000000000000000000"); err == nil {
		t.Error("an image that is nowhere was fetched")
	}
	_, _ = s.docker.ImageRemove(context.Background(), want, image.RemoveOptions{})
}
