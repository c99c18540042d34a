package dataservice_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/lib/pq" // the driver "postgres"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/store"
)

// openPostgres connects with credentials as an app would, verifying the server's certificate.
func openPostgres(t testing.TB, c map[string]any) *sql.DB {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(text(c["ca_certificate"])), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", strings.Replace(text(c["uri"]), "sslmode=require", "sslmode=verify-full&connect_timeout=30&sslrootcert="+ca, 1))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(0)
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t testing.TB, db *sql.DB, when string, want int) {
	t.Helper()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM rows").Scan(&n); err != nil || n != want {
		t.Fatalf("%s there are %d rows (%v), want %d", when, n, err, want)
	}
}

// TestPostgres is the life of an instance: its row outlives everything but the purge.
func TestPostgres(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	i := p.provision("postgres", "small")
	firstID, c := i.bind()
	db := openPostgres(t, c)
	run(t, db, "CREATE TABLE rows (n int)")
	run(t, db, "INSERT INTO rows VALUES (1)")

	plain := openPostgres(t, map[string]any{"uri": strings.Replace(text(c["uri"]), "sslmode=require", "sslmode=disable", 1)})
	if err := plain.Ping(); err == nil {
		t.Error("it may be used without TLS")
	}

	secondID, other := i.bind()
	second := openPostgres(t, other)
	run(t, second, "INSERT INTO rows VALUES (2)") // in a table that the first has made
	run(t, second, "CREATE TABLE mine (n int)")
	if text(other["username"]) == text(c["username"]) || text(other["password"]) == text(c["password"]) {
		t.Error("two bindings share a role or a password")
	}
	i.unbind(secondID)
	if err := second.Ping(); err == nil {
		t.Error("after unbind its role still connects")
	}
	run(t, db, "INSERT INTO mine VALUES (1)")
	count(t, db, "after another was unbound", 2)

	p.kill(i)
	waitPostgres(t, db)
	count(t, db, "after its container was killed", 2)

	p.stop()
	count(t, db, "while nobody looks", 2)
	p.start()
	count(t, db, "after the platform was started again", 2)

	p.removeContainer(i)
	waitPostgres(t, db)
	count(t, db, "after its container was removed", 2)

	_, i.planID = p.plan("postgres", "medium")
	a := p.ask("PATCH", i.path("?accepts_incomplete=true"), object{"service_id": i.serviceID, "plan_id": i.planID})
	if a.status != http.StatusOK && a.status != http.StatusAccepted {
		t.Fatalf("update: %d %v", a.status, a.body)
	}
	i.until("succeeded")
	var connections string
	if err := db.QueryRow("SHOW max_connections").Scan(&connections); err != nil || connections != "200" {
		t.Errorf("after the update it takes %s connections (%v), want 200", connections, err)
	}
	count(t, db, "after the plan was changed", 2)

	p.backUpAndRestore(t, i, db)

	i.unbind(firstID)
	i.delete()
	if a := p.ask("GET", i.path("/last_operation?"+i.ids()), nil); a.status != http.StatusGone {
		t.Errorf("after deprovisioning last_operation is %d", a.status)
	}
	volumes, err := p.engine.Volumes(context.Background())
	if err != nil || len(volumes) != 1 || len(volumes[0].UsedBy) != 0 {
		t.Errorf("after deprovisioning the volumes are %+v (%v), want its own, unused", volumes, err)
	}
	p.undeleteAndPurge(t, i)
}

// backUpAndRestore: a backup is proved, brings back what was lost, and is refused when it was touched.
func (p *platform) backUpAndRestore(t *testing.T, i *instance, db *sql.DB) {
	b := p.backUp(t, i)
	if b.ProvedAt.IsZero() || b.Proof != "2 tables, 3 rows" {
		t.Errorf("the backup is stamped %q at %s", b.Proof, b.ProvedAt)
	}
	run(t, db, "DELETE FROM rows")
	run(t, db, "CREATE TABLE later (n int)")
	if err := p.manager.Restore(i.guid, b.GUID, nil); err != nil {
		t.Fatal(err)
	}
	i.until("succeeded")
	count(t, db, "after the backup was restored", 2)
	run(t, db, "INSERT INTO mine VALUES (2)") // whose table is still the bindings' to use

	stored := filepath.Join(p.backups, b.GUID+".backup")
	content, err := os.ReadFile(stored)
	if err != nil || int64(len(content)) != b.Bytes {
		t.Fatalf("the backup has %d bytes (%v), want %d", len(content), err, b.Bytes)
	}
	if strings.Contains(string(content), "CREATE TABLE") || strings.Contains(string(content), "PGDMP") {
		t.Error("the backup can be read without its key")
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(stored, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.manager.Restore(i.guid, b.GUID, nil); err != nil {
		t.Fatal(err)
	}
	if why := i.untilFailed(); !strings.Contains(why, vault.ErrDamaged.Error()) {
		t.Errorf("a damaged backup: %q", why)
	}
	count(t, db, "after a damaged backup was refused", 2)
}

// undeleteAndPurge: what was deleted comes back with its rows, and goes for ever when it is purged.
func (p *platform) undeleteAndPurge(t *testing.T, i *instance) {
	if err := p.manager.Undelete(i.guid, nil); err != nil {
		t.Fatal(err)
	}
	i.until("succeeded")
	_, c := i.bind()
	count(t, openPostgres(t, c), "after the deletion was undone", 2)
	if err := p.manager.Purge(i.guid, nil); err == nil {
		t.Error("what is in use was purged")
	}
	i.delete()
	if err := p.manager.Purge(i.guid, nil); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		volumes, err := p.engine.Volumes(context.Background())
		kept, errKept := os.ReadDir(p.backups)
		if err == nil && errKept == nil && len(volumes)+len(kept) == 0 {
			return
		}
		waitALittle()
	}
	t.Error("the volume or a backup of a purged instance is still there")
}

// backUp makes a backup and waits for its stamp.
func (p *platform) backUp(t *testing.T, i *instance) *store.DataBackup {
	t.Helper()
	asked, err := p.manager.Backup(i.guid, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2400 {
		b := p.backup(t, asked.GUID)
		if b.State == store.OperationFailed {
			t.Fatalf("the backup failed: %s", b.Error)
		}
		if b.Proof != "" {
			return b
		}
		waitALittle()
	}
	t.Fatal("waited in vain for the backup")
	return nil
}

// backup is the record of one.
func (p *platform) backup(t testing.TB, guid string) (b *store.DataBackup) {
	t.Helper()
	err := p.db.View(func(tx *store.Tx) (err error) {
		b, err = store.DataBackups.Get(tx, guid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// untilFailed polls until the last operation has failed, and returns why.
func (i *instance) untilFailed() string {
	i.p.t.Helper()
	for range 600 {
		if a := i.p.ask("GET", i.path("/last_operation?"+i.ids()), nil); a.text("state") == "failed" {
			return a.text("description")
		}
		waitALittle()
	}
	i.p.t.Fatal("the operation does not fail")
	return ""
}

// waitPostgres waits until the server takes clients again.
func waitPostgres(t testing.TB, db *sql.DB) {
	t.Helper()
	var err error
	for range 600 {
		if err = db.Ping(); err == nil {
			return
		}
		waitALittle()
	}
	t.Fatalf("the server does not come back: %v", err)
}

func (p *platform) api() *client.Client {
	p.t.Helper()
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { api.Close() })
	return api
}

// kill ends the server's process the hard way.
func (p *platform) kill(i *instance) {
	p.t.Helper()
	api := p.api()
	name := "cupola-" + p.installation + "-" + i.guid
	before, err := api.ContainerInspect(context.Background(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	process, err := os.FindProcess(before.State.Pid)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	for range 600 {
		now, err := api.ContainerInspect(context.Background(), name)
		if err == nil && now.State.StartedAt != before.State.StartedAt {
			return
		}
		waitALittle()
	}
	p.t.Fatal("Docker does not start it again")
}

// removeContainer removes the container behind the engine's back.
func (p *platform) removeContainer(i *instance) {
	p.t.Helper()
	err := p.api().ContainerRemove(context.Background(), "cupola-"+p.installation+"-"+i.guid, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil {
		p.t.Fatal(err)
	}
}
