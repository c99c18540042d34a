package dataservice

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

func TestSegmentNames(t *testing.T) {
	for _, c := range []struct {
		after, name string
		follows     bool
	}{
		{"000000010000000000000001", "000000010000000000000002", true},
		{"0000000100000000000000FF", "000000010000000100000000", true},
		{"000000010000000000000001", "000000010000000000000003", false},
		{"000000010000000000000001", "000000020000000000000002", false}, // another time line
		{"000000010000000000000002", "000000010000000000000001", false},
		{"000000010000000000000100", "000000010000000000000101", false}, // segments of another size
	} {
		if got := segmentFollows(c.after, c.name); got != c.follows {
			t.Errorf("segmentFollows(%s, %s) = %t", c.after, c.name, got)
		}
	}
	for name, before := range map[string]bool{
		"000000010000000000000001": true, "000000010000000000000002": false, "000000010000000000000003": false,
		"000000020000000000000001": false, // another time line
		"0000000100000000":         false,
	} {
		if got := segmentBefore(name, "000000010000000000000002"); got != before {
			t.Errorf("%s is before: %t", name, got)
		}
	}
	var all []string
	err := segmentsOf("0000000100000000000000FE", "000000010000000100000001", func(name string) error {
		all = append(all, name)
		return nil
	})
	want := []string{"0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000", "000000010000000100000001"}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("the segments are %v (%v), want %v", all, err, want)
	}
}

// TestAnInterruptedBase: a base backup that waits for a segment that was lost is told so at once, and the archive that has begun
// after the gap gets one without delay, unlike one that had a base backup fail.
func TestAnInterruptedBase(t *testing.T) {
	m := idleManager(t)
	s := &store.DataService{Meta: store.Meta{GUID: "db", CreatedAt: time.Now().Add(-time.Hour)}}
	put(t, m, func(tx *store.Tx) error {
		return store.DataArchives.Put(tx, &store.DataArchive{ServiceGUID: "db", First: "000000010000000000000005", Last: "000000010000000000000006"})
	})
	due := func() bool {
		all, err := m.archives("db")
		if err != nil {
			t.Fatal(err)
		}
		return m.baseDue(s, all)
	}
	if a, err := m.awaitSegment(t.Context(), "db", "000000010000000000000005"); err != nil || a.ServiceGUID != "db" {
		t.Errorf("one that is there: %v", err)
	}
	_, lost := m.awaitSegment(t.Context(), "db", "000000010000000000000004")
	if !errors.Is(lost, errInterrupted) {
		t.Errorf("one that was lost: %v", lost)
	}
	if m.baseTrouble("db", lost); !due() {
		t.Error("after an interruption the next base backup is not due")
	}
	if m.baseTrouble("db", errors.New("disk broken")); due() {
		t.Error("a base backup that failed is made again without a pause")
	}
}

// TestRetention: base backups go with the segments before the next one, and as far back as is promised a moment can be restored.
func TestRetention(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	base := func(guid string, daysAgo int, start string) store.DataBase {
		return store.DataBase{GUID: guid, State: store.OperationSucceeded, FinishedAt: now.AddDate(0, 0, -daysAgo), Start: start}
	}
	a := &store.DataArchive{Days: 2, First: "000000010000000000000001", Last: "000000010000000000000040", Until: now, Bases: []store.DataBase{
		base("a", 4, "000000010000000000000001"), base("b", 3, "000000010000000000000010"), base("c", 1, "000000010000000000000020"), base("d", 0, "000000010000000000000030")}}
	if n := expired(a, now); n != 1 {
		t.Fatalf("%d are not needed, want a alone: from b on every moment of the last 2 days can be restored", n)
	}
	leaveOldest(a)
	if want := (store.DataPieces{Base: "a", First: "000000010000000000000001", Last: "00000001000000000000000F"}); len(a.Leaving) != 1 || a.Leaving[0] != want {
		t.Errorf("what goes is %+v, want %+v", a.Leaving, want)
	}
	if from, _, ok := a.Window(); !ok || a.First != "000000010000000000000010" || !from.Equal(now.AddDate(0, 0, -3)) {
		t.Errorf("what stays begins with %s at %s", a.First, from)
	}
	if expired(a, now) != 0 || outlived(a, now) {
		t.Error("more goes than is promised")
	}
	a.Closed = "a gap"
	if later := now.AddDate(0, 0, 3); outlived(a, now) || !outlived(a, later) {
		t.Error("a closed archive must stay for its days, and no longer")
	}
}
