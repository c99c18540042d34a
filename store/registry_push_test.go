package store

import (
	"net/http"
	"testing"
)

// TestPushTokens: one writes into its own repository, reads all, deletes no image, and ends when it is revoked.
func TestPushTokens(t *testing.T) {
	r, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: "example-password"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(t.Context()) })
	token, revoke := r.PushToken("droplets/a1")
	other, _ := r.PushToken("droplets/a2")
	ask := func(user, password, method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Host()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(user, password)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for _, c := range []struct {
		name, user, password, method, path string
		want                               int
	}{
		{"read", PushUser, token, "GET", "/v2/", 200},
		{"write", PushUser, token, "POST", "/v2/droplets/a1/blobs/uploads/", 202},
		{"another repository", PushUser, token, "POST", "/v2/droplets/a2/blobs/uploads/", 401},
		{"a repository below", PushUser, token, "POST", "/v2/droplets/a1/more/blobs/uploads/", 401},
		{"a path that leads out", PushUser, token, "POST", "/v2/droplets/a1/blobs/uploads/../../../a2/blobs/uploads/", 401},
		{"the same path, hidden", PushUser, token, "POST", "/v2/droplets/a1/blobs/uploads/%2e%2e/%2e%2e/%2e%2e/a2/blobs/uploads/", 401},
		{"delete an image", PushUser, token, "DELETE", "/v2/droplets/a1/manifests/sha256:0000", 401},
		{"another's password", PushUser, other, "POST", "/v2/droplets/a1/blobs/uploads/", 401},
		{"another user", PullUser, token, "GET", "/v2/", 401},
		{"no password", PushUser, "", "GET", "/v2/", 401},
	} {
		if got := ask(c.user, c.password, c.method, c.path); got != c.want {
			t.Errorf("%s: %s %s = %d, want %d", c.name, c.method, c.path, got, c.want)
		}
	}
	revoke()
	if got := ask(PushUser, token, "GET", "/v2/"); got != 401 {
		t.Errorf("after it was revoked: %d, want 401", got)
	}
}
