package staging

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// waiters makes builds of orgs in the order of their creation; "a1 a2 b1" are three builds of two orgs.
func waiters(text string) []waiter {
	var list []waiter
	for _, name := range strings.Fields(text) {
		b := &store.Build{}
		b.GUID = name
		list = append(list, waiter{b, name[:1]})
	}
	return list
}

func guids(list []waiter) string {
	var out []string
	for _, w := range list {
		out = append(out, w.build.GUID)
	}
	return strings.Join(out, " ")
}

func TestOrgsTakeTurns(t *testing.T) {
	for _, c := range []struct {
		name, waiting string
		running       map[string]int
		turns         map[string]int
		want          string
	}{
		{"one org", "a1 a2 a3", nil, nil, "a1 a2 a3"},
		{"one after the other", "a1 a2 a3 b1 c1 b2", nil, nil, "a1 b1 c1 a2 b2 a3"},
		{"who has builds under way comes later", "a1 a2 b1 b2", map[string]int{"a": 2}, nil, "b1 b2 a1 a2"},
		{"who had a turn comes later", "a1 b1", nil, map[string]int{"a": 7, "b": 3}, "b1 a1"},
		{"nobody", "", nil, nil, ""},
	} {
		q := queue{turn: 10, turns: c.turns}
		if got := guids(q.order(waiters(c.waiting), c.running)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestFiftyPushesAtOnce stages fifty apps of two orgs, of which one has nearly all.
func TestFiftyPushesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.Parallel = 2
	w.builder.hold = make(chan struct{})
	builds := []*store.Build{}
	add := func(name string, space *store.Space) {
		w.app = &store.App{Name: name, SpaceGUID: space.GUID, State: store.AppStopped}
		w.update(func(tx *store.Tx) error { return store.Apps.Put(tx, w.app) })
		builds = append(builds, w.newBuild("nodejs_buildpack"))
	}
	big, small := w.space("big"), w.space("small")
	for i := range 48 {
		add(fmt.Sprintf("big-%d", i), big)
	}
	add("small-0", small)
	add("small-1", small)
	w.step()
	for _, want := range []string{"Waiting: this build is the next", "Waiting: 1 build is ahead of this one", "Waiting: 47 builds are ahead of this one"} {
		if !strings.Contains(w.log.text(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	close(w.builder.hold)
	for slices.ContainsFunc(builds, func(b *store.Build) bool { return w.build(b.GUID).State == store.StateStaging }) {
		w.workers.Wait()
		w.step()
	}
	for _, b := range builds {
		if got := w.build(b.GUID); got.State != store.StateStaged {
			t.Errorf("build %s = %s %q", b.GUID, got.State, got.Error)
		}
	}
	place := slices.IndexFunc(w.builder.started(), func(id string) bool { return id == builds[49].GUID })
	if place > 3 {
		t.Errorf("the small org's second build was number %d to start, want it among the first four", place+1)
	}
}
