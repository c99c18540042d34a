package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/router"
)

func TestAccessLine(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)
	a := router.Access{
		Started: at, Host: "a.example.com", Method: "GET", URI: "/p?q=1", Proto: "HTTP/1.1", Status: 200, BytesIn: 3, BytesOut: 4,
		Duration: 1500 * time.Millisecond, Backend: time.Second, AppGUID: "app", InstanceID: "i", Index: 2, Endpoint: "10.0.0.1:8080", Attempts: 2,
		RequestID: "r", ForwardedFor: "10.1.1.1", ForwardedProto: "https", Remote: "10.1.1.1:999", UserAgent: "a\"b\n",
		Trace: router.Trace{TraceID: "t", SpanID: "s", B3: "t-s"},
	}
	want := `a.example.com - [2024-05-06T07:08:09.000000010Z] "GET /p?q=1 HTTP/1.1" 200 3 4 "-" "a\"b\n" "10.1.1.1:999" "10.0.0.1:8080" ` +
		`x_forwarded_for:"10.1.1.1" x_forwarded_proto:"https" vcap_request_id:"r" response_time:1.500000 gorouter_time:0.500000 ` +
		`app_id:"app" app_index:"2" instance_id:"i" failed_attempts:1 backend_time:1.000000 x_cf_routererror:"-" ` +
		`x_b3_traceid:"t" x_b3_spanid:"s" x_b3_parentspanid:"-" b3:"t-s" traceparent:"-" tracestate:"-"`
	if got := accessLine(a); got != want {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}
	a.URI = "/" + strings.Repeat("ä", 100_000)
	if n := len(accessLine(a)); n > 8*accessFieldBytes {
		t.Errorf("a line of %d bytes for a long path", n)
	}
	if got := accessLine(router.Access{AppGUID: "app"}); !strings.Contains(got, `app_index:"-" instance_id:"-"`) {
		t.Errorf("without an instance: %s", got)
	}
}

func TestAccessLogHoldsNobodyUp(t *testing.T) {
	var lines []string
	var dropped uint64
	l := newAccessLog(func(a router.Access) { lines = append(lines, a.URI) }, func(n uint64) { dropped = n })
	for range accessLogRoom + 5 {
		l.add(router.Access{AppGUID: "app", URI: "/"})
	}
	l.add(router.Access{URI: "/nobody's"})
	if n := l.dropped.Load(); n != 5 {
		t.Errorf("%d lines left out, want 5", n)
	}
	l.flush()
	if len(lines) != accessLogRoom || dropped != 0 {
		t.Errorf("%d lines written, want %d", len(lines), accessLogRoom)
	}
}

func TestRoutingFlags(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.TCPPorts = "80" }, "--tcp-ports"},
		{func(c *Config) { c.TCPPorts = "8081-9000" }, "includes 8443, which --https uses"},
		{func(c *Config) { c.SSHAddr, c.TCPPorts = ":2222", "2000-3000" }, "includes 2222, which --ssh uses"},
		{func(c *Config) { c.SSHAddr, c.TCPPorts = SSHOff, "2000-3000" }, ""},
		{func(c *Config) { c.TraceHeaders = "jaeger" }, "--trace-headers"},
		{func(c *Config) { c.TraceHeaders, c.TCPPorts = "none", "2000,3000-3001" }, ""},
	} {
		config := Config{DataDir: t.TempDir(), HTTPAddr: "127.0.0.1:8080", HTTPSAddr: "127.0.0.1:8443", RegistryAddr: "127.0.0.1:5870"}.WithDefaults()
		c.change(&config)
		err := config.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s/%s: %v, want %q", config.TCPPorts, config.TraceHeaders, err, c.want)
		}
	}
}
