package appenv

import (
	"slices"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func TestPorts(t *testing.T) {
	image := &store.Droplet{Docker: store.DockerImage{Image: "example/app"}, Ports: []int{7000, 9090}}
	bare := &store.Droplet{Docker: store.DockerImage{Image: "example/app"}}
	for _, test := range []struct {
		name    string
		kind    string
		process []int
		droplet *store.Droplet
		want    []int
	}{
		{"web", "web", nil, nil, []int{8080}},
		{"worker", "worker", nil, nil, nil},
		{"destinations", "web", []int{8080, 9000}, &store.Droplet{}, []int{8080, 9000}},
		{"an image that exposes", "web", nil, image, []int{7000, 9090}},
		{"and destinations", "web", []int{8080, 9000}, image, []int{7000, 9090, 9000}},
		{"its worker", "worker", nil, image, nil},
		{"an image that exposes nothing", "web", nil, bare, []int{8080}},
	} {
		if got := Ports(&store.Process{Type: test.kind, Ports: test.process}, test.droplet); !slices.Equal(got, test.want) {
			t.Errorf("%s: Ports = %v, want %v", test.name, got, test.want)
		}
	}
}
