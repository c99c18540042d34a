package nomad

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// TestSeveralAddresses: when one agent is gone, another one is asked.
func TestSeveralAddresses(t *testing.T) {
	agent := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `"`+name+`"`) }))
		t.Cleanup(s.Close)
		return s
	}
	one, two := agent("one"), agent("two")
	c := api.DefaultConfig()
	c.Address = one.URL + "," + two.URL
	if err := severalAddresses(c); err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(want string) {
		t.Helper()
		var got string
		if _, err := client.Raw().Query("/v1/status/leader", &got, nil); err != nil || got != want {
			t.Errorf("%q, %v answers, want %q", got, err, want)
		}
	}
	ask("one")
	one.Close()
	ask("two")
	ask("two")
	two.Close()
	if _, err := client.Raw().Query("/v1/status/leader", new(string), nil); err == nil {
		t.Error("nobody is there, and somebody answers")
	}
	for _, bad := range []string{"http://a:1,https://b:2", "http://a:1,", "http://a:1,b", "a,b"} {
		if err := severalAddresses(&api.Config{Address: bad}); err == nil || !strings.Contains(err.Error(), "name several like") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
