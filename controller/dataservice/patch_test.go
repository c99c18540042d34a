package dataservice_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/images"
)

// patchedImages are the real ones; a fresh one is another once there was an update, and is kept then.
type patchedImages struct {
	*images.Maker
	update, taken atomic.Bool
}

func (i *patchedImages) Image(ctx context.Context, o *dataservice.Offering, fresh bool) (repository, digest string, err error) {
	if fresh {
		i.taken.Store(i.update.Load())
	}
	m := *i.Maker
	if i.taken.Load() {
		m.Keeper = append(append([]byte{}, m.Keeper...), 0) // what follows a program's end changes nothing but the image
	}
	return m.Image(ctx, o, false)
}

// TestPatch: newer packages reach an instance as an upgrade of an offering whose own version is the same, and not before it is
// asked for.
func TestPatch(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	changing := &patchedImages{}
	p.images = func(m *images.Maker) dataservice.Images { changing.Maker = m; return changing }
	p.start()
	i := p.provision("objects", "small")
	_, c := i.bind()
	eventually(t, "written", func() error { return objectsWrite(c) })
	old := i.record()
	if changed, err := p.manager.Refresh(t.Context()); err != nil || changed || p.versionOf("objects") != old.Version {
		t.Fatalf("without an update: changed %t, version %s, %v", changed, p.versionOf("objects"), err)
	}
	changing.update.Store(true)
	changed, err := p.manager.Refresh(t.Context())
	version := p.versionOf("objects")
	if err != nil || !changed || !strings.HasPrefix(version, old.Version+"+") {
		t.Fatalf("with an update: changed %t, version %s, %v", changed, version, err)
	}
	if changed, err := p.manager.Refresh(t.Context()); err != nil || changed {
		t.Errorf("once more: changed %t, %v", changed, err)
	}
	if now := i.record(); now.ImageDigest != old.ImageDigest || now.Version != old.Version {
		t.Error("the instance was changed without being asked")
	}
	i.upgrade(version)
	i.until("succeeded")
	if now := i.record(); now.ImageDigest == old.ImageDigest || now.Version != version {
		t.Errorf("after the upgrade it is %s of %s", now.Version, now.ImageDigest)
	}
	eventually(t, "read after the upgrade", func() error { return objectsRead(c) })
	if n := p.proved(i); n != 1 {
		t.Errorf("%d backups were proved before the upgrade, want 1", n)
	}
	if changed, err := p.manager.Refresh(t.Context()); err != nil || changed {
		t.Errorf("after the upgrade: changed %t, %v", changed, err)
	}
}

// versionOf is the maintenance_info of an offering's plans.
func (p *platform) versionOf(offering string) string {
	p.t.Helper()
	for _, s := range p.ask("GET", "/v2/catalog", nil).body["services"].([]any) {
		if s := s.(object); s["name"] == offering {
			return s["plans"].([]any)[0].(object)["maintenance_info"].(object)["version"].(string)
		}
	}
	p.t.Fatalf("the catalog has no %s", offering)
	return ""
}
