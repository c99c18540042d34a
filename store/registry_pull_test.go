package store

import (
	"net/http"
	"testing"
	"time"
)

// TestPullTokens: one reads for two days and in this process alone, and never writes.
func TestPullTokens(t *testing.T) {
	p, now := newPullTokens(), time.Now()
	token := p.make(now)
	for _, c := range []struct {
		name, token string
		by          pullTokens
		at          time.Duration
		want        bool
	}{
		{"fresh", token, p, 0, true},
		{"late", token, p, pullLife - time.Minute, true},
		{"over", token, p, pullLife + time.Second, false},
		{"of another process", token, newPullTokens(), 0, false},
		{"with another end", "9" + token, p, 0, false},
		{"unsigned", "99999999999", p, 0, false},
		{"empty", "", p, 0, false},
		{"half", token[:len(token)-1], p, 0, false},
	} {
		if got := c.by.good(c.token, now.Add(c.at)); got != c.want {
			t.Errorf("%s: good = %t, want %t", c.name, got, c.want)
		}
	}
	r, err := OpenRegistry(RegistryOptions{Dir: t.TempDir(), Addr: "127.0.0.1:0", Password: "example-password"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(t.Context()) })
	for _, c := range []struct {
		method, user, password string
		want                   int
	}{
		{"GET", PullUser, r.PullToken(), 200}, {"GET", registryUser, r.PullToken(), 401}, {"POST", PullUser, r.PullToken(), 401}, {"GET", PullUser, "", 401},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+r.Host()+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(c.user, c.password)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s as %s = %d, want %d", c.method, c.user, res.StatusCode, c.want)
		}
	}
}
