package dataservice_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// TestBackupTroubles: a backup for which there is no room fails and says so; one that is damaged, cut off, of another or gone is
// refused; neither touches what the server has.
func TestBackupTroubles(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	f := &fickle{Folder: vault.Folder{Dir: p.backups}}
	p.out, p.vault = t.Output(), f
	p.start()
	for _, c := range rowsIn("redis", "mysql", "objects", "rabbitmq") {
		t.Run(c.offering, func(t *testing.T) {
			i, credentials := p.written(t, c)

			before, err := os.ReadDir(p.backups)
			if err != nil {
				t.Fatal(err)
			}
			f.full.Store(true)
			if why := i.backUpFails(); !strings.Contains(why, vault.ErrNoSpace.Error()) {
				t.Errorf("without room the backup fails with %q", why)
			}
			f.full.Store(false)
			if after, err := os.ReadDir(p.backups); err != nil || len(after) != len(before) {
				t.Errorf("of the backup that failed something stays: %v (%v)", after, err)
			}

			first, second := p.backUp(t, i), p.backUp(t, i)
			if first.ProvedAt.IsZero() || second.ProvedAt.IsZero() {
				t.Errorf("the backups are stamped %q and %q", first.Proof, second.Proof)
			}
			file := func(b *store.DataBackup) string { return filepath.Join(p.backups, b.GUID+".backup") }
			whole, err := os.ReadFile(file(first))
			if err != nil {
				t.Fatal(err)
			}
			touched := append([]byte{}, whole...)
			touched[len(touched)/2] ^= 1
			for _, trouble := range []struct {
				name    string
				content []byte
			}{{"damaged", touched}, {"cut off", whole[:len(whole)-1]}, {"empty", nil}, {"of another", whole}} {
				if err := os.WriteFile(file(second), trouble.content, 0o600); err != nil {
					t.Fatal(err)
				}
				i.refuses(t, second.GUID, trouble.name)
			}
			if err := os.Remove(file(second)); err != nil {
				t.Fatal(err)
			}
			i.refuses(t, second.GUID, "gone")
			if err := c.read(credentials); err != nil {
				t.Errorf("after all that was refused: %v", err)
			}
			i.delete()
		})
	}
}

// backUpFails asks for a backup and returns why it was not made.
func (i *instance) backUpFails() string {
	i.p.t.Helper()
	asked, err := i.p.manager.Backup(i.guid, nil)
	if err != nil {
		i.p.t.Fatal(err)
	}
	for range 2400 {
		switch b := i.p.backup(i.p.t, asked.GUID); b.State {
		case store.OperationFailed:
			return b.Error
		case store.OperationSucceeded:
			i.p.t.Fatal("the backup is made")
		}
		waitALittle()
	}
	i.p.t.Fatal("waited in vain for the backup to fail")
	return ""
}

// TestMySQLDefiners: what acts as the user that made it works on when that binding is gone, in the same instance and in one that
// a backup is restored into.
func TestMySQLDefiners(t *testing.T) {
	if os.Getenv("CUPOLA_ALL_OFFERINGS") == "" {
		t.Skip("set CUPOLA_ALL_OFFERINGS to try this offering")
	}
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	i := p.provision("mysql", "small")
	_, c := i.bind()
	makerID, maker := i.bind()
	plainID, plain := i.bind()
	open := func(c map[string]any) *sql.DB {
		db, err := openMySQL(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	by := open(maker)
	for _, statement := range []string{
		"CREATE TABLE rows_kept (n INT)", "CREATE TABLE seen (n INT)", "CREATE VIEW doubled AS SELECT n * 2 AS n FROM rows_kept",
		"CREATE TRIGGER see AFTER INSERT ON rows_kept FOR EACH ROW INSERT INTO seen VALUES (NEW.n)",
		"CREATE PROCEDURE add_one() INSERT INTO rows_kept VALUES (1)",
	} {
		run(t, by, statement)
	}
	works := func(db *sql.DB, when string, rows int) {
		t.Helper()
		run(t, db, "CALL add_one()")
		for _, from := range []string{"rows_kept", "seen", "doubled"} {
			var n int
			if err := db.QueryRow("SELECT count(*) FROM " + from).Scan(&n); err != nil || n != rows {
				t.Errorf("%s %s has %d rows (%v), want %d", when, from, n, err, rows)
			}
		}
	}
	db := open(c)
	works(db, "before", 1)
	i.unbind(makerID)
	i.unbind(plainID)
	for who, c := range map[string]map[string]any{"who has made a view": maker, "who has made nothing": plain} {
		if err := open(c).Ping(); err == nil {
			t.Errorf("%s gets in after the unbind", who)
		}
	}
	works(db, "after its maker was unbound", 2)
	b := p.backUp(t, i)
	if b.ProvedAt.IsZero() {
		t.Errorf("the backup is stamped %q", b.Proof)
	}
	other := p.provision("mysql", "small")
	_, c = other.bind()
	if err := p.manager.Restore(other.guid, b.GUID, nil); err != nil {
		t.Fatal(err)
	}
	other.until("succeeded")
	works(open(c), "in another instance", 3)
	if err := p.manager.Restore(i.guid, b.GUID, nil); err != nil {
		t.Fatal(err)
	}
	i.until("succeeded")
	works(db, "after a restore in place", 3)
	if err := open(maker).Ping(); err == nil {
		t.Error("who was unbound gets in after a restore")
	}
}

// leaving is a vault that goes away in the middle of what it gives, after some openings that are whole.
type leaving struct {
	vault.Folder
	whole atomic.Int32
}

var errLeft = errors.New("the place of backups went away")

func (l *leaving) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := l.Folder.Open(ctx, name)
	if err != nil || l.whole.Add(-1) >= 0 {
		return r, err
	}
	half, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(half[:len(half)/2]), iotest.ErrReader(errLeft))), nil
}

// TestVaultGoesAway: a restore in place for which the vault does not last leaves what is there; one that has begun needs the vault no more.
func TestVaultGoesAway(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	l := &leaving{Folder: vault.Folder{Dir: p.backups}}
	l.whole.Store(1 << 30)
	p.out, p.vault = t.Output(), l
	p.start()
	for _, c := range rowsIn("redis", "mysql", "nats", "rabbitmq") {
		t.Run(c.offering, func(t *testing.T) {
			i, credentials := p.written(t, c)
			b := p.backUp(t, i)
			l.whole.Store(0)
			i.restore(t, b.GUID)
			if why := i.untilFailed(); !strings.Contains(why, errLeft.Error()) || !strings.Contains(why, "nothing was changed") {
				t.Errorf("the restore failed with %q", why)
			}
			if err := c.read(credentials); err != nil {
				t.Errorf("after a restore that was broken off: %v", err)
			}
			l.whole.Store(1)
			i.restore(t, b.GUID)
			i.until("succeeded")
			eventually(t, "restored", func() error { return c.read(credentials) })
			if left, err := os.ReadDir(p.spool); err != nil || len(left) != 0 {
				t.Errorf("in the spool is left %v (%v)", left, err)
			}
			l.whole.Store(1 << 30)
			i.delete()
		})
	}
}

// TestRestoreFails: a restore in place that fails when the old content is gone already puts that back.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	spoil := map[string]func(plain []byte) []byte{
		"redis": func([]byte) []byte { return []byte("FLUSHALL\r\nNO SUCH COMMAND\r\n") },
		"mysql": func([]byte) []byte { return []byte("THIS IS NO SQL;\n") },
		"nats":  func(plain []byte) []byte { return plain[:len(plain)/2] },
	}
	for _, c := range rowsIn("redis", "mysql", "nats") {
		t.Run(c.offering, func(t *testing.T) {
			i, credentials := p.written(t, c)
			b := p.backUp(t, i)
			path := filepath.Join(p.backups, b.GUID+".backup")
			sealed, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			var plain, spoiled bytes.Buffer
			if err := errors.Join(vault.Decrypt(&plain, sealed, b.Key, b.GUID), sealed.Close()); err != nil {
				t.Fatal(err)
			}
			if err := vault.Encrypt(&spoiled, bytes.NewReader(spoil[c.offering](plain.Bytes())), b.Key, b.GUID); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoiled.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			i.restore(t, b.GUID)
			if why := i.untilFailed(); !strings.Contains(why, "what was there before was put back") {
				t.Errorf("the restore failed with %q", why)
			}
			if err := c.read(credentials); err != nil {
				t.Errorf("after a restore that failed: %v", err)
			}
			if left, err := os.ReadDir(p.spool); err != nil || len(left) != 0 {
				t.Errorf("in the spool is left %v (%v)", left, err)
			}
			i.delete()
		})
	}
}
