package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve serves the store to those whose token is "good", who may read app1 alone.
func serve(t *testing.T, s *Store) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(s.Handler(Access{Source: func(r *http.Request, source string) error {
		if r.Header.Get("Authorization") != "bearer good" {
			return fmt.Errorf("check the token: %w", ErrUnauthorized)
		}
		if source != app1 {
			return errors.New("not yours")
		}
		return nil
	}}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, server *httptest.Server, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(body))
}

func TestInfo(t *testing.T) {
	server := serve(t, openTest(t, Options{}))
	if status, body := get(t, server, "/api/v1/info", ""); status != 200 || body != `{"version":"3.0.0","vm_uptime":"0"}` {
		t.Errorf("info = %d %s", status, body)
	}
}

func TestReadAnswers(t *testing.T) {
	s := openTest(t, Options{})
	for _, e := range []Envelope{
		{SourceID: app1, InstanceID: "0", Time: time.Unix(0, 1), Payload: []byte("hello"), Tags: map[string]string{"source_type": "STG"}},
		{SourceID: app1, Time: time.Unix(0, 2), Stderr: true},
		{SourceID: app1, InstanceID: "1", Time: time.Unix(0, 3), Gauges: map[string]Gauge{
			"cpu": {"percentage", 1.5}, "memory": {"bytes", 1 << 40}, "bad": {"x", math.NaN()}}},
	} {
		if err := s.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	const (
		hello  = `{"timestamp":"1","source_id":"` + app1 + `","instance_id":"0","deprecated_tags":{},"tags":{"source_type":"STG"},"log":{"payload":"aGVsbG8=","type":"OUT"}}`
		empty  = `{"timestamp":"2","source_id":"` + app1 + `","instance_id":"","deprecated_tags":{},"tags":{},"log":{"payload":"","type":"ERR"}}`
		gauges = `{"timestamp":"3","source_id":"` + app1 + `","instance_id":"1","deprecated_tags":{},"tags":{},"gauge":{"metrics":{"cpu":{"unit":"percentage","value":1.5},"memory":{"unit":"bytes","value":1099511627776}}}}`
		memory = `{"timestamp":"3","source_id":"` + app1 + `","instance_id":"1","deprecated_tags":{},"tags":{},"gauge":{"metrics":{"memory":{"unit":"bytes","value":1099511627776}}}}`
	)
	tests := []struct{ query, want string }{
		{"", hello + "," + empty + "," + gauges},
		{"?limit=1&descending=true", gauges},
		{"?limit=1000&descending=true&envelope_types=LOG", empty + "," + hello},
		{"?start_time=-6795364578871345152&envelope_types=LOG&limit=1", hello},
		{"?start_time=2&end_time=3", empty},
		{"?envelope_types=GAUGE&envelope_types=TIMER&envelope_type=LOG", gauges},
		{"?envelope_types=ANY&limit=0&start_time=3", gauges},
		{"?envelope_types=COUNTER&end_time=9", ""},
		{"?name_filter=^mem", memory},
	}
	server := serve(t, s)
	for _, test := range tests {
		status, body := get(t, server, "/api/v1/read/"+app1+test.query, "bearer good")
		want := `{"envelopes":{"batch":[` + test.want + `]}}`
		if status != 200 || body != want {
			t.Errorf("read%s = %d\n%s, want\n%s", test.query, status, body, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	server := serve(t, openTest(t, Options{}))
	tests := []struct {
		path, token string
		want        int
	}{
		{"/api/v1/read/" + app1, "", 401},
		{"/api/v1/read/" + app1, "bearer old", 401},
		{"/api/v1/read/" + app2, "bearer good", 404},
		{"/api/v1/read/..%2f..%2fetc", "bearer good", 404},
		{"/api/v1/read/gorouter", "bearer good", 404},
		{"/api/v1/meta", "", 401},
		{"/v1/read/" + app1, "bearer good", 404},
		{"/api/v1/read/" + app1 + "?limit=1001", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?limit=-1", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?start_time=x", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?start_time=5&end_time=5", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?envelope_types=LOGS", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?name_filter=(", "bearer good", 400},
		{"/api/v1/read/" + app1 + "?descending=perhaps", "bearer good", 400},
	}
	for _, test := range tests {
		status, body := get(t, server, test.path, test.token)
		var answer struct{ Message string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Message == "" || status != test.want {
			t.Errorf("GET %s as %q = %d %s, want %d with a message", test.path, test.token, status, body, test.want)
		}
	}
}

func TestMetaAnswers(t *testing.T) {
	s := openTest(t, Options{})
	appendLines(t, s, app1, 0, 3)
	appendLines(t, s, app2, 0, 3)
	status, body := get(t, serve(t, s), "/api/v1/meta", "bearer good")
	want := fmt.Sprintf(`{"meta":{"%s":{"count":"3","expired":"0","oldest_timestamp":"%d","newest_timestamp":"%d"}}}`,
		app1, start.UnixNano(), start.Add(2*time.Millisecond).UnixNano())
	if status != 200 || body != want {
		t.Errorf("meta = %d %s, want %s", status, body, want)
	}
}

// TestReadIsHeld asks for what is not there yet: the answer comes with it. Each try that comes too late to be held still
// has to have the line.
func TestReadIsHeld(t *testing.T) {
	s := openTest(t, Options{})
	server := serve(t, s)
	for i := range 3 {
		query := fmt.Sprintf("?start_time=%d&envelope_types=LOG", line(app1, i).Time.UnixNano())
		answer := make(chan string)
		go func() {
			for {
				if _, body := get(t, server, "/api/v1/read/"+app1+query, "bearer good"); body != `{"envelopes":{"batch":[]}}` {
					answer <- body
					return
				}
			}
		}()
		if err := s.Append(line(app1, i)); err != nil {
			t.Fatal(err)
		}
		if body := <-answer; !strings.Contains(body, `"log"`) {
			t.Errorf("read %d = %s, want the line", i, body)
		}
	}
}
