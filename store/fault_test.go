package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// killedDir tells the test binary to be the process that is killed: see TestKill.
const killedDir = "CUPOLA_STORE_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled counts up a setting and writes as many apps, and prints each number once it is durable.
func writeUntilKilled(dir string) error {
	db, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	for {
		n := 0
		err := db.Update(func(tx *Tx) error {
			count, err := counter(tx)
			if err != nil {
				return err
			}
			n = count + 1
			if n%3 == 0 { // now and then take one away again
				app, err := Apps.Find(tx, "name", fmt.Sprint("app", n-2))
				if err != nil {
					return err
				}
				if err := Apps.Delete(tx, app.GUID); err != nil {
					return err
				}
			}
			if err := Apps.Put(tx, &App{Name: fmt.Sprint("app", n), SpaceGUID: "s"}); err != nil {
				return err
			}
			return Settings.Put(tx, &Setting{Meta: Meta{GUID: "count"}, Value: fmt.Append(nil, n)})
		})
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func counter(tx *Tx) (n int, err error) {
	s, err := Settings.Get(tx, "count")
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(s.Value), &n)
	return n, err
}

// TestKill kills a process in the middle of Updates, some times over, and checks what it left: all that it had reported,
// and nothing by halves.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		reported := writeAndKill(t, dir, 1+rand.IntN(30))
		db, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := db.Check(); err != nil {
			t.Errorf("round %d: Check: %v", round, err)
		}
		view(t, db, func(tx *Tx) error {
			n, err := counter(tx)
			if err != nil {
				return err
			}
			if n < reported || n > reported+1 {
				t.Errorf("round %d: %d is stored and %d was reported", round, n, reported)
			}
			if apps, err := Apps.Count(tx); apps != n-n/3 || err != nil {
				t.Errorf("round %d: %d apps with a counter of %d, %v", round, apps, n, err)
			}
			return nil
		})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// writeAndKill lets the process report some Updates, kills it, and returns the last number that it reported.
func writeAndKill(t *testing.T, dir string, updates int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Fatal(err)
		}
		if i == updates {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return last
}

func TestFailedUpdateChangesNothing(t *testing.T) {
	db := openTest(t, t.TempDir())
	woken := db.Watch(t.Context())
	refused := errors.New("refused")
	put := func(tx *Tx) error { return Apps.Put(tx, &App{Name: "a"}) }
	if err := db.Update(func(tx *Tx) error { return errors.Join(put(tx), refused) }); !errors.Is(err, refused) {
		t.Errorf("Update = %v, want the error of fn", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.Update(func(tx *Tx) error { _ = put(tx); panic("in fn") })
	}()
	view(t, db, func(tx *Tx) error {
		if n, err := Apps.Count(tx); n != 0 || err != nil {
			t.Errorf("%d apps, %v, after Updates that failed", n, err)
		}
		return nil
	})
	select {
	case <-woken:
		t.Error("a watcher was woken by an Update that failed")
	default:
	}
	if err := db.View(put); err == nil {
		t.Error("a View could write")
	}
	if err := db.Update(func(tx *Tx) error {
		return Apps.Put(tx, &App{Meta: Meta{GUID: strings.Repeat("x", 40_000)}})
	}); !errors.Is(err, errKeyTooLong) {
		t.Errorf("Put with a GUID of 40,000 bytes = %v, want that it is too long", err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk can't be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	other := filepath.Join(dir, "other") // somebody else's file on the disk
	if err := os.WriteFile(other, make([]byte, 200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, dir)
	n := 0
	var err error
	for err == nil {
		err = db.Update(func(tx *Tx) error {
			return Settings.Put(tx, &Setting{Meta: Meta{GUID: fmt.Sprint(n)}, Value: make([]byte, 20_000)})
		})
		n++
	}
	if !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Update on a full disk = %v, want ErrNoSpace", err)
	}
	view(t, db, func(tx *Tx) error {
		if count, err := Settings.Count(tx); count != n-1 || err != nil {
			t.Errorf("%d settings, %v, after %d Updates of which the last failed", count, err, n)
		}
		return nil
	})
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) error { return Settings.Put(tx, &Setting{Value: make([]byte, 20_000)}) })
	blobs, err := OpenBlobs(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := blobs.Put(t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 0); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Put of a blob on a full disk = %v, want ErrNoSpace", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = db.bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(versionKey, binary.BigEndian.AppendUint64(nil, schemaVersion+1))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "schema version 2") {
		t.Errorf("Open = %v, want that version 2 is not known", err)
	}
}

func TestIndexesAreBuiltAnew(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	putApps(t, db, 20)
	err = db.bolt.Update(func(tx *bbolt.Tx) error { // as code with other indexes would leave it
		c := tx.Bucket(dataBucket).Cursor()
		prefix := string(indexPrefix("apps", "space"))
		for k, _ := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, _ = c.Next() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		if err := tx.Bucket(dataBucket).Put(entryKey("apps", "old", "x", position{}), []byte("x")); err != nil {
			return err
		}
		return tx.Bucket(metaBucket).Put(indexesKey, []byte("others"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Check(); err == nil || !strings.Contains(err.Error(), "is missing") || !strings.Contains(err.Error(), "does not have that value") {
		t.Errorf("Check = %v, want entries that are missing and one too many", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	view(t, openTest(t, dir), func(tx *Tx) error {
		if n, err := Apps.Count(tx, By("space", "s1")); n != 7 || err != nil {
			t.Errorf("Count = %d, %v, want 7", n, err)
		}
		return nil
	})
}

func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	apps := putApps(t, db, 3)
	err = db.bolt.Update(func(tx *bbolt.Tx) error { // the record of one app under the key of another
		b := tx.Bucket(dataBucket)
		return b.Put(recordKey("apps", apps[1].GUID), b.Get(recordKey("apps", apps[0].GUID)))
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Check": db.Check(),
		"Get":   db.View(func(tx *Tx) error { _, err := Apps.Get(tx, apps[1].GUID); return err }),
		"All": db.View(func(tx *Tx) error {
			for range Apps.All(tx) {
			}
			return nil
		}),
	} {
		if err == nil || !strings.Contains(err.Error(), "can't be decrypted") || !strings.Contains(err.Error(), apps[1].GUID) {
			t.Errorf("%s = %v, want that the record of %s can't be decrypted", name, err, apps[1].GUID)
		}
	}
}

func TestWatch(t *testing.T) {
	db := openTest(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	apps, builds, all := db.Watch(ctx, Apps.Name()), db.Watch(ctx, Builds.Name(), Droplets.Name()), db.Watch(ctx)
	for range 3 {
		update(t, db, func(tx *Tx) error { return Apps.Put(tx, &App{Meta: Meta{GUID: "a"}}) })
	}
	update(t, db, func(*Tx) error { return nil })
	if got := [3]int{len(apps), len(builds), len(all)}; got != [3]int{1, 0, 1} {
		t.Errorf("wake-ups of apps, builds, all = %v, want 1, 0, 1", got)
	}
	<-apps
	update(t, db, func(tx *Tx) error { return Apps.Delete(tx, "a") })
	if len(apps) != 1 {
		t.Error("Delete did not wake the watcher")
	}
	stop()
	for db.watching() > 0 { // AfterFunc runs on a goroutine of its own
		time.Sleep(time.Millisecond)
	}
}

func (db *DB) watching() int {
	db.watchMu.Lock()
	defer db.watchMu.Unlock()
	return len(db.watchers)
}

// TestNoWakeUpIsLost has loops that read after each wake-up alone. They all get to the last number, whatever the
// interleaving.
func TestNoWakeUpIsLost(t *testing.T) {
	db := openTest(t, t.TempDir())
	const writers, each, watchers = 4, 100, 4
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range watchers {
		wake := db.Watch(ctx, Settings.Name())
		all.Go(func() {
			for seen := 0; seen < writers*each; {
				select {
				case <-ctx.Done():
					t.Errorf("no wake-up after %d of %d Updates", seen, writers*each)
					return
				case <-wake:
				}
				if err := db.View(func(tx *Tx) (err error) { seen, err = counter(tx); return err }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range writers {
		all.Go(func() {
			for range each {
				err := db.Update(func(tx *Tx) error {
					n, err := counter(tx)
					if err != nil {
						return err
					}
					return Settings.Put(tx, &Setting{Meta: Meta{GUID: "count"}, Value: fmt.Append(nil, n+1)})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestViewsSeeOneMoment moves an amount between two records while readers add them up.
func TestViewsSeeOneMoment(t *testing.T) {
	db := openTest(t, t.TempDir())
	put := func(tx *Tx, guid string, n int) error {
		return Processes.Put(tx, &Process{Meta: Meta{GUID: guid}, Instances: n})
	}
	update(t, db, func(tx *Tx) error { return errors.Join(put(tx, "a", 100), put(tx, "b", 0)) })
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				sum := 0
				err := db.View(func(tx *Tx) error {
					for p := range Processes.All(tx) {
						sum += p.Instances
					}
					return nil
				})
				if sum != 100 || err != nil {
					t.Errorf("a View sees %d, %v, want 100", sum, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		update(t, db, func(tx *Tx) error { return errors.Join(put(tx, "a", 100-i), put(tx, "b", i)) })
	}
	close(done)
	readers.Wait()
}
