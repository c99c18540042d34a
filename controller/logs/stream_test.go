package logs

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protowire"
)

// access lets "bearer all" read everything and "bearer one" app1.
var access = Access{
	Source: func(r *http.Request, source string) error {
		switch r.Header.Get("Authorization") {
		case "bearer all":
			return nil
		case "bearer one":
			if source == app1 {
				return nil
			}
			return errors.New("not yours")
		}
		return ErrUnauthorized
	},
	All: func(r *http.Request) error {
		switch r.Header.Get("Authorization") {
		case "bearer all":
			return nil
		case "bearer one":
			return errors.New("not everything")
		}
		return ErrUnauthorized
	},
}

// waitFor waits until somebody subscribes: what is appended earlier is not for them.
func waitFor(s *Store, subscribers int) {
	for {
		s.hub.mu.RLock()
		n := len(s.hub.single)
		for _, members := range s.hub.shards {
			n += len(members)
		}
		s.hub.mu.RUnlock()
		if n >= subscribers {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func openStream(t *testing.T, url, token string) *http.Response {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	res := must(http.DefaultClient.Do(r))
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// nextBatch returns the next batch of server-sent events.
func nextBatch(t *testing.T, r *bufio.Reader) []wireEnvelope {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		data, isData := strings.CutPrefix(line, "data: {")
		if !isData {
			continue
		}
		var batch struct{ Batch []wireEnvelope }
		if err := json.Unmarshal([]byte("{"+data), &batch); err != nil {
			t.Fatal(err)
		}
		return batch.Batch
	}
}

func TestStream(t *testing.T) {
	s := openTest(t, Options{})
	server := httptest.NewServer(s.Stream(access))
	defer server.Close()
	for path, want := range map[string]int{"": 400, "?source_id=" + app1: 400, "?log&source_id=x": 404, "?log&source_id=" + app2: 404, "?log": 404} {
		if res := openStream(t, server.URL+"/v2/read"+path, "bearer one"); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if res := openStream(t, server.URL+"/v2/read?log", ""); res.StatusCode != 401 {
		t.Errorf("without a token: %d", res.StatusCode)
	}
	res := openStream(t, server.URL+"/v2/read?log&source_id="+app1, "bearer one")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	waitFor(s, 1)
	appended(t, s, Envelope{SourceID: app1, Gauges: map[string]Gauge{"cpu": {"percentage", 1}}})
	appendLines(t, s, app2, 0, 1)
	appendLines(t, s, app1, 0, 250)
	r := bufio.NewReader(res.Body)
	var got []wireEnvelope
	for len(got) < 250 {
		got = append(got, nextBatch(t, r)...)
	}
	for i, e := range got {
		if e.SourceID != app1 || e.Log == nil || string(e.Log.Payload) != string(line(app1, i).Payload) {
			t.Fatalf("envelope %d is %+v", i, e)
		}
	}
	s.CloseStreams()
	rest := string(must(io.ReadAll(r)))
	if !strings.Contains(rest, "event: closing") {
		t.Errorf("the last word is %q", rest)
	}
}

// TestShards shares what comes among the readers of a shard, each instance with one of them.
func TestShards(t *testing.T) {
	s := openTest(t, Options{})
	server := httptest.NewServer(s.Stream(access))
	defer server.Close()
	var mu sync.Mutex
	reader := map[string]int{} // by instance
	total, done := 0, make(chan struct{})
	for n := range 3 {
		res := openStream(t, server.URL+"/v2/read?log&shard_id=mine", "bearer all")
		go func() {
			for r := bufio.NewReader(res.Body); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				data, isData := strings.CutPrefix(line, "data: ")
				var batch struct{ Batch []wireEnvelope }
				if !isData || json.Unmarshal([]byte(data), &batch) != nil {
					continue
				}
				mu.Lock()
				for _, e := range batch.Batch {
					key := e.SourceID + e.InstanceID
					if was, seen := reader[key]; seen && was != n {
						t.Errorf("instance %s went to %d and %d", key, was, n)
					}
					reader[key] = n
					if total++; total == 600 {
						close(done)
					}
				}
				mu.Unlock()
			}
		}()
	}
	waitFor(s, 3)
	appendLines(t, s, app1, 0, 300)
	appendLines(t, s, app2, 0, 300)
	<-done
	s.CloseStreams()
}

// fieldsOf reads a protocol buffer message: of each field the last value, of numbers as they are on the wire.
func fieldsOf(t *testing.T, m []byte) map[protowire.Number]any {
	t.Helper()
	out := map[protowire.Number]any{}
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal("damaged message")
		}
		m = m[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(m)
			out[field], m = v, m[n:]
		case protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(m)
			out[field], m = math.Float64frombits(v), m[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(m)
			out[field], m = string(v), m[n:]
		default:
			t.Fatalf("field %d has kind %d", field, kind)
		}
	}
	return out
}

func TestFirehose(t *testing.T) {
	s := openTest(t, Options{})
	server := httptest.NewServer(s.Firehose(access))
	defer server.Close()
	dial := func(path, token string) (*websocket.Conn, int) {
		conn, res, err := websocket.Dial(t.Context(), server.URL+path, &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {token}, "Origin": {"wss://doppler.example.com"}},
		})
		if err != nil {
			return nil, res.StatusCode
		}
		return conn, res.StatusCode
	}
	for path, want := range map[string]int{"/firehose/x": 404, "/apps/" + app2 + "/stream": 404, "/apps/x/stream": 404, "/firehose/x?filter-type=y": 400} {
		if _, status := dial(path, "bearer one"); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if _, status := dial("/firehose/x", "bearer no"); status != 401 {
		t.Errorf("with a bad token: %d", status)
	}
	conn, _ := dial("/firehose/x", "bearer all")
	defer conn.CloseNow()
	waitFor(s, 1)
	read := func() map[protowire.Number]any {
		t.Helper()
		kind, m, err := conn.Read(t.Context())
		if err != nil || kind != websocket.MessageBinary {
			t.Fatal(kind, err)
		}
		return fieldsOf(t, m)
	}
	appendLines(t, s, app1, 1, 2)
	e := read()
	log := fieldsOf(t, []byte(e[8].(string)))
	if e[2] != uint64(5) || log[1] != "line 1" || log[2] != uint64(2) || log[4] != app1 || log[5] != "APP/PROC/WEB" || log[6] != "1" || log[3] != uint64(line(app1, 1).Time.UnixNano()) {
		t.Errorf("line: %v %v", e, log)
	}
	appended(t, s, Envelope{SourceID: app1, InstanceID: "3", Tags: map[string]string{"origin": "rep"}, Gauges: map[string]Gauge{
		"cpu": {"percentage", 1.5}, "memory": {"bytes", 100}, "disk": {"bytes", 200}, "memory_quota": {"bytes", 300}, "disk_quota": {"bytes", 400}}})
	e = read()
	m := fieldsOf(t, []byte(e[12].(string)))
	if e[1] != "rep" || e[2] != uint64(9) || m[1] != app1 || m[2] != uint64(3) || m[3] != 1.5 || m[4] != uint64(100) || m[5] != uint64(200) || m[6] != uint64(300) || m[7] != uint64(400) {
		t.Errorf("container: %v %v", e, m)
	}
	appended(t, s, Envelope{SourceID: app1, InstanceID: "0", Timer: &Timer{"http", start, start.Add(time.Second)}, Tags: map[string]string{
		"method": "POST", "status_code": "201", "uri": "/x", "request_id": app2, "content_length": "7"}})
	e = read()
	h := fieldsOf(t, []byte(e[7].(string)))
	if e[2] != uint64(4) || h[1] != uint64(start.UnixNano()) || h[2] != uint64(start.Add(time.Second).UnixNano()) || h[5] != uint64(2) || h[6] != "/x" || h[9] != uint64(201) || h[10] != uint64(7) {
		t.Errorf("http: %v %v", e, h)
	}
	appended(t, s, Envelope{SourceID: app1, Counter: &Counter{"requests", 2, 9}})
	e = read()
	if c := fieldsOf(t, []byte(e[10].(string))); e[2] != uint64(7) || c[1] != "requests" || c[2] != uint64(2) || c[3] != uint64(9) {
		t.Errorf("counter: %v", c)
	}
	s.CloseStreams()
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("end: %v", err)
	}
}

func TestRecentLogs(t *testing.T) {
	s := openTest(t, Options{})
	server := httptest.NewServer(s.Firehose(access))
	defer server.Close()
	appendLines(t, s, app1, 0, 3)
	res := openStream(t, server.URL+"/apps/"+app1+"/recentlogs", "bearer one")
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for parts := multipart.NewReader(res.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err != nil {
			break
		}
		e := fieldsOf(t, must(io.ReadAll(part)))
		got = append(got, fieldsOf(t, []byte(e[8].(string)))[1].(string))
	}
	if strings.Join(got, ",") != "line 0,line 1,line 2" {
		t.Errorf("recent: %v", got)
	}
}

// TestMetricsBesideLines: metrics do not push lines out, and both together come in the order of time.
func TestMetricsBesideLines(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, PerSourceBytes: 1 << 20})
	appendLines(t, s, app1, 0, 10)
	for i := range 5000 {
		appended(t, s, Envelope{SourceID: app1, Time: start.Add(time.Duration(i) * time.Second), Gauges: map[string]Gauge{"cpu": {"percentage", float64(i)}}})
	}
	appendLines(t, s, app1, 6_000_000, 6_000_001)
	check := func() {
		t.Helper()
		if got := read(t, s, Query{SourceID: app1, Types: []Type{Log}}); len(got) != 11 {
			t.Errorf("%d lines, want 11", len(got))
		}
		all := read(t, s, Query{SourceID: app1})
		for i := 1; i < len(all); i++ {
			if !all[i-1].Time.Before(all[i].Time) {
				t.Fatalf("envelope %d is not after the one before", i)
			}
		}
		down := read(t, s, Query{SourceID: app1, Descending: true, Limit: 2})
		if len(all) < 1000 || down[0].Type() != Log || down[1].Type() != GaugeType || !down[0].Time.Equal(all[len(all)-1].Time) {
			t.Errorf("%d in all, the newest are %+v", len(all), down)
		}
		m, err := s.Meta(app1)
		if err != nil || m.Count != uint64(len(all)) || m.Count+m.Expired != 5011 {
			t.Errorf("meta %+v, %v; want %d kept of 5011", m, err, len(all))
		}
	}
	check()
	closeStore(t, s)
	s = openTest(t, Options{Dir: dir, PerSourceBytes: 1 << 20})
	check()
	appended(t, s, Envelope{SourceID: app1, Time: start, Payload: []byte("late")})
	newest := read(t, s, Query{SourceID: app1, Descending: true, Limit: 2})
	if string(newest[0].Payload) != "late" || !newest[0].Time.After(newest[1].Time) {
		t.Errorf("a late line is not the newest after a restart: %+v", newest[0])
	}
}

func TestTooOldIsDeleted(t *testing.T) {
	now := start
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, MaxAge: time.Hour, Clock: clock})
	appendLines(t, s, app1, 0, 1)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = time.Now().Add(2 * time.Hour) // files have the time of the disk
	mu.Unlock()
	if got := read(t, s, Query{SourceID: app1}); len(got) != 0 {
		t.Errorf("%d lines that are too old are given", len(got))
	}
	if err := s.retain(); err != nil {
		t.Fatal(err)
	}
	if n := diskUsage(t, dir); n != 0 {
		t.Errorf("%d bytes that are too old are on disk", n)
	}
}

// TestManyReaders: a thousand that wait get a line each, while much is said.
func TestManyReaders(t *testing.T) {
	s := openTest(t, Options{})
	var readers sync.WaitGroup
	appendLines(t, s, app1, 0, 1)
	last := s.lastTime(app1)
	for range 1000 {
		readers.Go(func() {
			if err := s.Wait(t.Context(), app1, last); err != nil {
				t.Error(err)
			}
			if got, err := s.Read(Query{SourceID: app1, Descending: true, Limit: 100}); err != nil || len(got) < 2 {
				t.Errorf("%d lines, %v", len(got), err)
			}
		})
	}
	appendLines(t, s, app1, 1, 20_000)
	readers.Wait()
}
