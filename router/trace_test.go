package router

import (
	"net/http"
	"regexp"
	"testing"
)

func TestTrace(t *testing.T) {
	const parent, id, span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "fee1f7ba6aeec41c", "579b36fd31cd8714"
	both := Tracing{W3C: true, B3: true}
	made := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`)
	for _, c := range []struct {
		name string
		o    Tracing
		in   map[string]string
		want map[string]string // empty: absent; "*": anything well-formed
	}{
		{"none wanted", Tracing{}, nil, map[string]string{"Traceparent": "", "B3": ""}},
		{"made", both, nil, map[string]string{"Traceparent": "*"}},
		{"w3c alone", Tracing{W3C: true}, nil, map[string]string{"Traceparent": "*", "B3": "", "X-B3-Traceid": ""}},
		{"w3c passes", both, map[string]string{"Traceparent": parent, "Tracestate": "a=b"}, map[string]string{
			"Traceparent": parent, "Tracestate": "a=b", "X-B3-Traceid": parent[3:35], "X-B3-Spanid": parent[36:52], "B3": parent[3:52]}},
		{"broken w3c", both, map[string]string{"Traceparent": "00-xyz", "Tracestate": "a=b"}, map[string]string{"Traceparent": "*", "Tracestate": ""}},
		{"zeros", both, map[string]string{"Traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"}, map[string]string{"Traceparent": "*"}},
		{"b3 passes", both, map[string]string{"X-B3-Traceid": id, "X-B3-Spanid": span}, map[string]string{
			"X-B3-Traceid": id, "X-B3-Spanid": span, "B3": id + "-" + span, "Traceparent": "00-0000000000000000" + id + "-" + span + "-01"}},
		{"not sampled", both, map[string]string{"X-B3-Traceid": id, "X-B3-Spanid": span, "X-B3-Sampled": "0", "X-B3-Parentspanid": span}, map[string]string{
			"B3": id + "-" + span + "-0-" + span, "Traceparent": "00-0000000000000000" + id + "-" + span + "-00"}},
		{"single passes", both, map[string]string{"B3": id + "-" + span + "-1"}, map[string]string{"B3": id + "-" + span + "-1", "X-B3-Traceid": id, "X-B3-Spanid": span}},
		{"deny", both, map[string]string{"B3": "0"}, map[string]string{"B3": "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range c.in {
				h.Set(k, v)
			}
			trace := c.o.set(h)
			for k, want := range c.want {
				got := h.Get(k)
				if want == "*" && !made.MatchString(got) || want != "*" && got != want {
					t.Errorf("%s = %q, want %q", k, got, want)
				}
			}
			if c.o.B3 && (trace.TraceID != h.Get("X-B3-Traceid") || trace.SpanID != h.Get("X-B3-Spanid") || trace.B3 != h.Get("B3")) {
				t.Errorf("the log has %+v, the request %v", trace, h)
			}
		})
	}
}

func TestTraceReachesAppAndLog(t *testing.T) {
	r := start(t, Options{Tracing: Tracing{W3C: true, B3: true}}, CertOptions{})
	got := make(chan http.Header, 1)
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(_ http.ResponseWriter, req *http.Request) { got <- req.Header })}})
	r.get(t, "http://a.example.com/")
	h, a := <-got, r.nextAccess(t)
	if a.Trace.TraceID == "" || a.Trace.TraceID != h.Get("X-B3-TraceId") || a.Trace.Parent != h.Get("traceparent") {
		t.Errorf("log %+v, app %v", a.Trace, h)
	}
}
