package docker

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
)

// BenchmarkStartToReady is from the call of Start, with the image there, until List says ready.
func BenchmarkStartToReady(b *testing.B) {
	f := newFixture(b)
	d := f.open(b, nil)
	ctx := context.Background()
	if err := d.Prepull(ctx, f.img, "", ""); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := f.workload(func(w *node.Workload) { w.ID = uuid.NewString() })
		start(b, d, w)
		until(b, d, w.ID, "it is ready", isReady)
		b.StopTimer()
		if err := d.Stop(ctx, w.ID, -1); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkList is a controller's pass over 1,000 workloads.
func BenchmarkList(b *testing.B) {
	d := &Docker{instances: map[string]*instance{}, Feed: node.NewFeed()}
	for n := range 1000 {
		id := fmt.Sprintf("workload-%d", n)
		d.instances[id] = d.newInstance(node.Workload{ID: id, Labels: map[string]string{"app": "a", "index": "0"}}, id)
	}
	b.ReportAllocs()
	for b.Loop() {
		all, err := d.List(context.Background())
		if err != nil || len(all) != 1000 {
			b.Fatal(len(all), err)
		}
	}
}
