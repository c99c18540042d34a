package dataservice_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// archives are those of an instance, the oldest first.
func (i *instance) archives() (all []*store.DataArchive) {
	i.p.t.Helper()
	err := i.p.db.View(func(tx *store.Tx) (err error) {
		all, _, err = store.DataArchives.List(tx, store.Query[store.DataArchive]{Where: []store.Cond{store.By("service", i.guid)}})
		return err
	})
	if err != nil {
		i.p.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *store.DataArchive) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all
}

// untilBase waits until the archive that goes on has n base backups that were recovered on trial.
func (i *instance) untilBase(n int) *store.DataArchive {
	i.p.t.Helper()
	var all []*store.DataArchive
	for range 2400 {
		if all = i.archives(); len(all) > 0 {
			a := all[len(all)-1]
			proved := slices.DeleteFunc(slices.Clone(a.Bases), func(b store.DataBase) bool { return b.ProvedAt.IsZero() })
			if a.BaseTrouble != "" {
				i.p.t.Fatalf("base backup: %s", a.BaseTrouble)
			}
			if len(proved) >= n {
				return a
			}
		}
		waitALittle()
	}
	i.p.t.Fatalf("waited in vain for %d base backups: %+v", n, all)
	return nil
}

// moment is the server's time between what was written before and what is written after.
func moment(t *testing.T, db *sql.DB) (at time.Time) {
	t.Helper()
	if err := db.QueryRow("SELECT clock_timestamp()").Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

// restoreTo asks for a moment of one instance in another, which may be the same.
func (i *instance) restoreTo(of *instance, at time.Time) {
	i.p.t.Helper()
	if err := i.p.manager.RestoreTo(i.guid, of.guid, at, nil); err != nil {
		i.p.t.Fatal(err)
	}
}

// TestRecovery: a table that was dropped is there again as it was just before, in place and in a new instance; roles stay;
// moments that are not kept are refused with those that are.
func TestRecovery(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out, p.every = t.Output(), time.Hour
	p.start()
	i := p.provision("postgres", "small")
	_, c := i.bind()
	db := openPostgres(t, c)
	before := moment(t, db)
	run(t, db, "CREATE TABLE rows (n int, at timestamptz DEFAULT clock_timestamp())")
	run(t, db, "INSERT INTO rows SELECT generate_series(1, 1000)")
	a := i.untilBase(1)
	if proof := a.Bases[0].Proof; !strings.HasSuffix(proof, " rows") {
		t.Errorf("the base backup is stamped %q", proof)
	}
	run(t, db, "INSERT INTO rows VALUES (1001)")
	one := moment(t, db)
	run(t, db, "INSERT INTO rows VALUES (1002)")
	two := moment(t, db)
	run(t, db, "DROP TABLE rows")
	dropped := moment(t, db)

	for _, at := range []time.Time{before, time.Now().Add(time.Hour)} {
		err := p.manager.RestoreTo(i.guid, i.guid, at, nil)
		from := a.Bases[0].FinishedAt.Format(time.RFC3339)
		if !errors.Is(err, dataservice.ErrOutside) || !strings.Contains(err.Error(), "from "+from+" to ") {
			t.Errorf("a moment that is not kept: %v, want the window from %s", err, from)
		}
	}

	i.restoreTo(i, two)
	i.until("succeeded")
	count(t, db, "just before the table was dropped", 1002)

	p.kill(i)
	waitPostgres(t, db)
	_, later := i.bind()
	other := p.provision("postgres", "small")
	_, oc := other.bind()
	copied := openPostgres(t, oc)
	other.restoreTo(i, one)
	other.until("succeeded")
	count(t, copied, "in a new instance", 1001)
	run(t, copied, "INSERT INTO rows VALUES (0)")
	count(t, openPostgres(t, later), "in the first, which another got the rows of,", 1002)

	i.restoreTo(i, dropped) // a moment from before the first restore is there still
	i.until("succeeded")
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("after the table was dropped there are %d tables (%v)", tables, err)
	}
	i.damagedSegment(t, db, two)
}

// damagedSegment: a segment that was touched is named, and the instance stays as it is.
func (i *instance) damagedSegment(t *testing.T, db *sql.DB, at time.Time) {
	t.Helper()
	run(t, db, "CREATE TABLE rows (n int)")
	a := i.untilBase(1)
	segment := a.Bases[0].End
	path := filepath.Join(i.p.backups, a.GUID+"-"+segment+".backup")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	i.restoreTo(i, at)
	if why := i.untilFailed(); !strings.Contains(why, segment) || !strings.Contains(why, "damaged") {
		t.Errorf("a damaged segment %s: %q", segment, why)
	}
	count(t, db, "after a recovery that failed", 0)
}

// fickle is a vault that takes nothing while it is full.
type fickle struct {
	vault.Folder
	full atomic.Bool
}

func (f *fickle) Put(ctx context.Context, name string, r io.Reader) error {
	if f.full.Load() {
		_, err := io.CopyN(io.Discard, r, 8) // some of it finds room
		return errors.Join(vault.ErrNoSpace, err)
	}
	return f.Folder.Put(ctx, name, r)
}

// untilArchive waits for an archive of which ok says that it is as it should be.
func (i *instance) untilArchive(what string, ok func(all []*store.DataArchive) bool) {
	i.p.t.Helper()
	var all []*store.DataArchive
	for range 2400 {
		if all = i.archives(); ok(all) {
			return
		}
		waitALittle()
	}
	i.p.t.Fatalf("waited in vain until %s: %+v", what, all)
}

// makeNoise has a server write several segments, more than may wait to be taken, and waits until its archiver has seen all of them:
// what is written later does not compete with them for room. Vacuuming would write as much again, whenever it likes.
func makeNoise(t *testing.T, db *sql.DB) {
	t.Helper()
	run(t, db, "CREATE TABLE noise (b text) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)")
	for range 4 { // each more than 16 MB, which compressing makes half as much
		run(t, db, "INSERT INTO noise SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 12000), generate_series(1, 50) AS g GROUP BY g")
	}
	var last string
	if err := db.QueryRow("SELECT pg_walfile_name(pg_current_wal_lsn() - 16 * 1024 * 1024::numeric)").Scan(&last); err != nil {
		t.Fatal(err)
	}
	seen := ""
	for range 2400 {
		if err := db.QueryRow("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver").Scan(&seen); err != nil {
			t.Fatal(err)
		}
		if seen >= last {
			return
		}
		waitALittle()
	}
	t.Fatalf("waited in vain until the archiver has seen %s: %s", last, seen)
}

// TestRecoveryOfTroubles: an archive that is full is told of and does not stop the server; what is lost meanwhile is a gap
// between two archives, of which each can be restored from; a platform that ends in the middle of a restore goes on with it.
func TestRecoveryOfTroubles(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	f := &fickle{Folder: vault.Folder{Dir: p.backups}}
	p.out, p.every, p.vault = t.Output(), time.Hour, f
	text, err := os.ReadFile("offerings/postgres.yml")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("{{percent 10 .Plan.DiskMB}}"), []byte("16"), 1)           // MB that wait at most
	text = bytes.Replace(text, []byte("archive_timeout = 60"), []byte("archive_timeout = 5"), 1) // the next is soon there
	if err := os.WriteFile(filepath.Join(p.folder, "postgres.yml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	i := p.provision("postgres", "small")
	_, c := i.bind()
	db := openPostgres(t, c)
	run(t, db, "CREATE TABLE rows (n int)")
	run(t, db, "INSERT INTO rows VALUES (1)")
	i.untilBase(1)
	first := moment(t, db)
	run(t, db, "CREATE TABLE noise (b text)")
	if err := p.manager.RestoreTo(i.guid, i.guid, first, nil); err != nil { // which has it archived
		t.Fatal(err)
	}
	i.until("succeeded")
	f.full.Store(true)
	makeNoise(t, db)
	i.untilArchive("the trouble is told of", func(all []*store.DataArchive) bool {
		return strings.Contains(all[len(all)-1].Trouble, vault.ErrNoSpace.Error())
	})
	run(t, db, "INSERT INTO rows VALUES (2)")
	f.full.Store(false)
	run(t, db, "INSERT INTO rows VALUES (3)")
	run(t, db, "DROP TABLE noise") // a restore that writes it again would make another gap
	i.untilArchive("there is a new archive after the gap", func(all []*store.DataArchive) bool {
		return len(all) == 2 && all[0].Closed != "" && all[1].Trouble == ""
	})
	i.untilBase(1)
	second := moment(t, db)
	run(t, db, "DROP TABLE rows")

	p.restoreThroughAnEnd(i, second)
	count(t, db, "after the platform has ended in the middle of a restore", 3)
	i.restoreTo(i, first)
	i.until("succeeded")
	count(t, db, "before the gap", 1)
	err = p.manager.RestoreTo(i.guid, i.guid, i.archives()[1].CreatedAt, nil)
	if !errors.Is(err, dataservice.ErrOutside) || strings.Count(err.Error(), "from ") != 2 {
		t.Errorf("a moment in the gap: %v, want both windows", err)
	}
}

// restoreThroughAnEnd ends the platform while it recovers a moment, and starts it again.
func (p *platform) restoreThroughAnEnd(i *instance, at time.Time) {
	p.t.Helper()
	i.restoreTo(i, at)
	for range 2400 {
		if a := p.ask("GET", i.path("/last_operation?"+i.ids()), nil); strings.Contains(a.text("description"), "recovered") {
			break
		}
		waitALittle()
	}
	p.stop()
	if s := i.record(); s.State != store.DataRestoring {
		p.t.Fatalf("it is %s, want it in the middle", s.State)
	}
	p.start()
	i.until("succeeded")
}
