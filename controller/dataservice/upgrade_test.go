package dataservice_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestRedisBackup: what a backup holds comes back, over what was written since.
func TestRedisBackup(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	i := p.provision("redis", "small")
	_, c := i.bind()
	eventually(t, "written", func() error { return redisWrite(c) })
	for _, command := range []string{"RPUSH list a b c", "SET short lived EX 1000"} {
		if _, err := redisDo(c, 1, command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	b := p.backUp(t, i)
	if b.ProvedAt.IsZero() || b.Proof != "3 keys" {
		t.Errorf("the backup is stamped %q at %s, want 3 keys", b.Proof, b.ProvedAt)
	}
	for _, command := range []string{"SET row overwritten", "SET later x", "DEL list"} {
		if _, err := redisDo(c, 1, command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	if err := p.manager.Restore(i.guid, b.GUID, nil); err != nil {
		t.Fatal(err)
	}
	i.until("succeeded")
	if err := redisRead(c); err != nil {
		t.Error(err)
	}
	for command, want := range map[string]string{"LLEN list": ":3", "EXISTS later": ":0", "EXISTS short": ":1"} {
		if got, err := redisDo(c, 1, command); err != nil || got[1] != want {
			t.Errorf("after the restore %s answers %q (%v), want %s", command, got, err, want)
		}
	}
	p.kill(i)
	eventually(t, "read after its server was killed", func() error { return redisRead(c) })
}

// offer puts the redis of this binary into the operator's folder, in another version and changed, and starts the platform anew.
func (p *platform) offer(version string, change ...string) {
	p.t.Helper()
	text, err := os.ReadFile("offerings/redis.yml")
	if err != nil {
		p.t.Fatal(err)
	}
	changed := strings.NewReplacer(append(change, "version: 8.1.0", "version: "+version)...).Replace(string(text))
	if err := os.WriteFile(filepath.Join(p.folder, "redis.yml"), []byte(changed), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.stop()
	p.start()
}

func (i *instance) record() (s *store.DataService) {
	i.p.t.Helper()
	err := i.p.db.View(func(tx *store.Tx) (err error) {
		s, err = store.DataServices.Get(tx, i.guid)
		return err
	})
	if err != nil {
		i.p.t.Fatal(err)
	}
	return s
}

// upgrade asks for a version, as platforms do.
func (i *instance) upgrade(version string) {
	i.p.t.Helper()
	a := i.p.ask("PATCH", i.path("?accepts_incomplete=true"), object{"service_id": i.serviceID, "maintenance_info": object{"version": version}})
	if a.status != http.StatusOK && a.status != http.StatusAccepted {
		i.p.t.Fatalf("upgrade: %d %v", a.status, a.body)
	}
}

// TestUpgrade: an upgrade is made after a backup that was proved, from a new image; one whose server does not start is
// undone, and the row is there all the time.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	i := p.provision("redis", "small")
	_, c := i.bind()
	eventually(t, "written", func() error { return redisWrite(c) })
	old := i.record()
	if old.Version != "8.1.0" {
		t.Errorf("its version is %q", old.Version)
	}

	p.offer("8.1.1", "volume: /data", "volume: /data\nuser: \"2000:2001\"", "loglevel notice", "loglevel warning")
	a := p.ask("PATCH", i.path(""), object{"service_id": i.serviceID, "maintenance_info": object{"version": "8.1.1"}})
	if a.status != http.StatusUnprocessableEntity || a.text("error") != "AsyncRequired" {
		t.Errorf("an upgrade for a platform that does not wait: %d %v", a.status, a.body)
	}
	i.upgrade("8.1.1")
	i.until("succeeded")
	eventually(t, "read after the upgrade", func() error { return redisRead(c) })
	upgraded := i.record()
	if upgraded.Version != "8.1.1" || upgraded.ImageDigest == old.ImageDigest || upgraded.Upgrade || upgraded.UpgradeBackup != "" {
		t.Errorf("after the upgrade it is %+v", upgraded)
	}
	if n := p.proved(i); n != 1 {
		t.Errorf("%d backups were proved before the upgrade, want 1", n)
	}

	p.offer("8.1.2", "port 0", "port 0\n    no-such-directive yes")
	i.upgrade("8.1.2")
	if why := i.untilFailed(); !strings.Contains(why, "stays as it was") {
		t.Errorf("an upgrade that cannot work: %q", why)
	}
	if now := i.record(); now.Version != "8.1.1" || now.ImageDigest != upgraded.ImageDigest || now.State != store.DataReady {
		t.Errorf("after an upgrade that failed it is %+v", now)
	}
}

// proved is how many backups of an instance were restored on trial.
func (p *platform) proved(i *instance) (n int) {
	p.t.Helper()
	err := p.db.View(func(tx *store.Tx) error {
		for b := range store.DataBackups.All(tx) {
			if b.ServiceGUID == i.guid && !b.ProvedAt.IsZero() {
				n++
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
