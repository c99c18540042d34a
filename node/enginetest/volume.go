package enginetest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
)

// volumePath is a folder in the test's image that its user may write.
const volumePath = "/data"

// volume names a new volume, which is destroyed when the test and its workloads have ended. To be called
// before the workloads are started.
func (s *suite) volume(t *testing.T) node.Volume {
	t.Helper()
	v := node.Volume{ID: uuid.NewString(), Path: volumePath, SizeMB: 64}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.e.RemoveVolume(ctx, v.ID); err != nil {
			t.Errorf("remove volume: %v", err)
		}
		if _, there := s.volumeStatus(t, v.ID); there {
			t.Error("a volume is listed after its removal")
		}
	})
	return v
}

func (s *suite) volumeStatus(t *testing.T, id string) (node.VolumeStatus, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := s.e.Volumes(ctx)
	if err != nil {
		t.Fatalf("volumes: %v", err)
	}
	for _, v := range all {
		if v.ID == id {
			return v, true
		}
	}
	return node.VolumeStatus{}, false
}

func with(v node.Volume) func(*node.Workload) {
	return func(w *node.Workload) { w.Volumes = []node.Volume{v} }
}

// volumeOutlives: what is written stays through a crash, the end of the workload, a new engine, and a new size.
func (s *suite) volumeOutlives(t *testing.T) {
	v := s.volume(t)
	first := s.workload(with(v))
	ctx := testContext(t)
	if err := s.e.Start(ctx, first); err != nil {
		t.Fatal(err)
	}
	st := s.untilReady(t, first.ID)
	name := url.Values{"name": {volumePath + "/row"}}
	if got := get(t, st, "/overwrite", name); got != "%!v(<nil>)" && got != "<nil>" {
		t.Fatalf("the workload cannot write into its volume: %s", got)
	}
	read := func(when string, st node.Status) {
		t.Helper()
		if got := get(t, st, "/file", name); got != "mine" {
			t.Errorf("%s the volume holds %q", when, got)
		}
	}
	s.knock("http://" + net.JoinHostPort(st.Address, strconv.Itoa(port)) + "/exit")
	before := st.StartedAt
	st = s.until(t, first.ID, "it runs again", func(n node.Status) bool { return n.Ready && n.StartedAt.After(before) })
	read("after a crash", st)
	if err := s.e.Stop(ctx, first.ID, -1); err != nil {
		t.Fatal(err)
	}
	have, there := s.volumeStatus(t, v.ID)
	if !there || len(have.UsedBy) != 0 {
		t.Fatalf("after its workload was stopped the volume is %+v, there: %t", have, there)
	}
	if err := s.e.Close(); err != nil {
		t.Fatal(err)
	}
	s.e = s.open(t, s.reg.Prefix)
	v.SizeMB *= 2
	second := s.start(t, with(v))
	read("in a new workload of a new engine", s.untilReady(t, second.ID))
	if have, _ := s.volumeStatus(t, v.ID); !slices.Equal(have.UsedBy, []string{second.ID}) {
		t.Errorf("it is used by %v, want %s", have.UsedBy, second.ID)
	}
}

// volumeInUse: a volume is in one workload at a time, and not destroyed meanwhile.
func (s *suite) volumeInUse(t *testing.T) {
	v := s.volume(t)
	first := s.start(t, with(v))
	s.untilReady(t, first.ID)
	second := s.workload(with(v))
	if err := s.e.Start(testContext(t), second); !errors.Is(err, node.ErrVolumeInUse) {
		t.Errorf("a second workload with the volume: %v, want ErrVolumeInUse", err)
	}
	if err := s.e.RemoveVolume(testContext(t), v.ID); !errors.Is(err, node.ErrVolumeInUse) {
		t.Errorf("remove = %v, want ErrVolumeInUse", err)
	}
	if err := s.e.Start(testContext(t), first); err != nil {
		t.Errorf("the first one started again: %v", err)
	}
	s.untilReady(t, first.ID)
}

// volumeRefused: bad names and places are refused before anything is made.
func (s *suite) volumeRefused(t *testing.T) {
	for _, v := range []node.Volume{{ID: "", Path: "/data"}, {ID: "../x", Path: "/data"}, {ID: "v", Path: ""}, {ID: "v", Path: "data"}, {ID: "v", Path: "/"}, {ID: "v", Path: "/a/../b"}} {
		if err := s.e.Start(testContext(t), s.workload(with(v))); err == nil {
			t.Errorf("a workload with the volume %+v was started", v)
		}
	}
	if err := s.e.RemoveVolume(testContext(t), uuid.NewString()); err != nil {
		t.Errorf("remove a volume that is not there: %v", err)
	}
}

// addressAgain: a workload that takes another's place may have its address.
func (s *suite) addressAgain(t *testing.T) {
	first := s.start(t, nil)
	address := s.untilReady(t, first.ID).Address
	if err := s.e.Stop(testContext(t), first.ID, -1); err != nil {
		t.Fatal(err)
	}
	second := s.start(t, func(w *node.Workload) { w.Address = address })
	if got := s.untilReady(t, second.ID).Address; got != address {
		t.Logf("it wanted %s and has %s; an engine may give another", address, got)
	}
	third := s.start(t, func(w *node.Workload) { w.Address = address })
	if got := s.untilReady(t, third.ID).Address; got == "" || got == s.untilReady(t, second.ID).Address {
		t.Errorf("an address that is taken was given again: %q", got)
	}
}
