package dashboard

import (
	"net/http"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// quota gives the org acme a quota of so much memory, and of nothing else.
func (w *world) quota(name string, memoryMB int) {
	w.t.Helper()
	const none = store.Unlimited
	w.must(w.db.Update(func(tx *store.Tx) error {
		q := &store.Quota{
			Name: name, TotalMemoryMB: memoryMB, ProcessMemoryMB: none, TotalInstances: none, AppTasks: none, LogRateBytes: none, PaidServicesAllowed: true,
			ServiceInstances: none, ServiceKeys: none, Routes: none, ReservedPorts: none, Domains: none,
		}
		w.must(store.OrgQuotas.Put(tx, q))
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.QuotaGUID = q.GUID
		return store.Orgs.Put(tx, org)
	}))
}

// TestSlidersKnowTheQuota shows that a slider ends where a quota does, and that the page says what the quota leaves.
func TestSlidersKnowTheQuota(t *testing.T) {
	w := newWorld(t)
	guid := w.app("shop", 2, 2, nil) // 512 MB
	w.app("blog", 1, 1, nil)         // 256 MB
	w.signIn("admin", "secret", "/apps/"+guid+"/scale").want(http.StatusOK, `max="4096" step="32"`)
	w.quota("small", 1280)
	w.get("/apps/"+guid+"/scale").want(http.StatusOK, "the quota small of org acme leaves 1.0 GB", `data-room="1024"`, `max="512" step="32"`)
	w.quota("smaller", 600) // less than what runs already
	w.get("/apps/"+guid+"/scale").want(http.StatusOK, "the quota smaller of org acme leaves 344 MB", `max="256" step="32"`)
}
