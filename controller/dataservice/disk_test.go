package dataservice_test

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// tinyPostgres offers PostgreSQL with a disk of some MB.
func (p *platform) tinyPostgres() {
	p.t.Helper()
	file, err := os.ReadFile("offerings/postgres.yml")
	if err != nil {
		p.t.Fatal(err)
	}
	tiny := strings.NewReplacer("disk_mb: 1024,", "disk_mb: 150,", "disk_mb: 10240,", "disk_mb: 4000,").Replace(string(file))
	if err := os.WriteFile(filepath.Join(p.folder, "postgres.yml"), []byte(tiny), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// TestDiskFull: at the plan's disk a server refuses to write, and takes everything again once there is room; one that is made
// to go on all the same is stopped, and comes back with its rows in a larger plan, where who was unbound meanwhile gets in
// no more.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.tinyPostgres()
	p.measureEvery = time.Second
	p.start()
	i := p.provision("postgres", "small")
	_, c := i.bind()
	secondID, other := i.bind()
	db := openPostgres(t, c)
	run(t, db, "CREATE TABLE rows (n int)")
	run(t, db, "INSERT INTO rows VALUES (1)")
	eventually(t, "measured, with what a client uses", func() error {
		u, known := p.manager.Usage(i.guid)
		if !known || u.DiskBytes < 10<<20 || u.MemoryBytes <= 0 || u.CPU < 0 || u.Connections < 0 || u.Plan.DiskMB != 150 {
			return errors.New("it was not looked at")
		}
		return nil
	})
	run(t, db, "CREATE UNLOGGED TABLE much AS SELECT repeat(md5(i::text), 30) AS x FROM generate_series(1, 120000) i")
	eventually(t, "full", i.disk(store.DataFull))
	eventually(t, "read-only", func() error {
		if _, err := db.Exec("INSERT INTO rows VALUES (2)"); err == nil || !strings.Contains(err.Error(), "read-only") {
			return errors.New("a row was written")
		}
		return nil
	})
	count(t, db, "while it is full", 1+writtenBefore(t, db))
	_, third := i.bind() // a role can be made all the same, and reads
	count(t, openPostgres(t, third), "for another binding", 1+writtenBefore(t, db))
	run(t, db, "BEGIN; SET TRANSACTION READ WRITE; TRUNCATE much; COMMIT")
	eventually(t, "with room again", i.disk(store.DataRoom))
	eventually(t, "writing again", func() error { _, err := db.Exec("DELETE FROM rows WHERE n = 2"); return err })

	goOn(t, db)
	eventually(t, "stopped", i.disk(store.DataStopped))
	eventually(t, "not running", func() error {
		seen := p.status(i)
		if seen {
			return errors.New("its server is there")
		}
		return nil
	})
	if a := p.ask("PUT", i.path("/service_bindings/new"), object{"service_id": i.serviceID, "plan_id": i.planID}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("bind while it is stopped: %d %v", a.status, a.body)
	}
	i.unbind(secondID)
	_, medium := p.plan("postgres", "medium")
	if a := p.ask("PATCH", i.path("?accepts_incomplete=true"), object{"service_id": i.serviceID, "plan_id": medium}); a.status != http.StatusOK && a.status != http.StatusAccepted {
		t.Fatalf("a larger plan: %d %v", a.status, a.body)
	}
	i.planID = medium
	i.until("succeeded")
	eventually(t, "with room in the larger plan", i.disk(store.DataRoom))
	count(t, db, "in the larger plan", 1)
	eventually(t, "writing in the larger plan", func() error { _, err := db.Exec("INSERT INTO rows VALUES (3)"); return err })
	if openPostgres(t, other).Ping() == nil {
		t.Error("who was unbound while it was stopped gets in")
	}
}

// TestFullServers: other servers too refuse what takes more of the disk, and let who is bound make room.
func TestFullServers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.measureEvery = time.Second
	for name, change := range map[string]string{"redis": "disk_mb: 1024", "mysql": "disk_mb: 1024"} {
		file, err := os.ReadFile("offerings/" + name + ".yml")
		if err != nil {
			t.Fatal(err)
		}
		small := map[string]string{"redis": "disk_mb: 2", "mysql": "disk_mb: 220"}[name]
		if err := os.WriteFile(filepath.Join(p.folder, name+".yml"), []byte(strings.Replace(string(file), change, small, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	t.Run("redis", func(t *testing.T) {
		i := p.provision("redis", "small")
		_, c := i.bind()
		big := `EVAL "return redis.call('SET', 'row', string.rep('x', 900000))" 0`
		for range 4 { // of which the last is there, and the log of appended commands has all
			if _, err := redisDo(c, 1, big); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "full", i.disk(store.DataFull))
		eventually(t, "with room again, for the log was written anew", i.disk(store.DataRoom))
		eventually(t, "written", func() error { return redisWrite(c) })
	})
	t.Run("mysql", func(t *testing.T) {
		if os.Getenv("CUPOLA_ALL_OFFERINGS") == "" {
			t.Skip("set CUPOLA_ALL_OFFERINGS to try this offering too")
		}
		i := p.provision("mysql", "small")
		_, c := i.bind()
		db, err := openMySQL(c)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		run(t, db, "CREATE TABLE much (seq INT, x TEXT)")
		for range 20 {
			if _, err := db.Exec("INSERT INTO much SELECT seq, REPEAT('x', 1000) FROM seq_1_to_10000"); err != nil {
				break // it is full, and the connection was ended
			}
		}
		eventually(t, "full", i.disk(store.DataFull))
		eventually(t, "refusing", func() error {
			if _, err := db.Exec("INSERT INTO much VALUES (0, 'x')"); err == nil || !strings.Contains(err.Error(), "denied") {
				return errors.New("a row was written")
			}
			return nil
		})
		eventually(t, "emptied", func() error { _, err := db.Exec("DROP TABLE much"); return err })
		eventually(t, "with room again", i.disk(store.DataRoom))
		eventually(t, "written", func() error { return mysqlWrite(c) })
	})
}

// writtenBefore is how many rows got in before the server was told.
func writtenBefore(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM rows WHERE n = 2").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// goOn writes as somebody does who takes no notice of a full disk, until the server is gone.
func goOn(t *testing.T, db *sql.DB) {
	t.Helper()
	for range 200 {
		if _, err := db.Exec("BEGIN; SET TRANSACTION READ WRITE; INSERT INTO much SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i; COMMIT"); err != nil {
			return
		}
	}
	t.Fatal("the server takes everything")
}

// disk tells whether the record says that of its disk.
func (i *instance) disk(want string) func() error {
	return func() error {
		if got := i.record().Disk; got != want {
			return errors.New("its disk is " + got)
		}
		return nil
	}
}

// status tells whether an instance has a server.
func (p *platform) status(i *instance) bool {
	p.t.Helper()
	return len(p.engine.Find(i.guid)) > 0
}
