package router

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// Tracing says which trace context (W3C Trace Context, Zipkin's B3) a request gets that brings none of any kind. What it
// brings is passed on as it is, since the router records no spans of its own; the other kind is made of it.
type Tracing struct {
	W3C, B3 bool
}

const (
	headerTraceparent = "Traceparent"
	headerTracestate  = "Tracestate"
	headerB3          = "B3"
	headerB3Trace     = "X-B3-Traceid"
	headerB3Span      = "X-B3-Spanid"
	headerB3Parent    = "X-B3-Parentspanid"
	headerB3Sampled   = "X-B3-Sampled"
	headerB3Flags     = "X-B3-Flags"
)

// Trace is the trace context of one request, as sent to the app. Unused fields are empty.
type Trace struct {
	TraceID, SpanID, ParentID string // of B3 if there is one, else of W3C
	B3                        string // the single header
	Parent, State             string // traceparent, tracestate
}

// set gives h the trace headers that it lacks and returns what the app then gets.
func (o Tracing) set(h http.Header) (t Trace) {
	if !o.W3C && !o.B3 {
		return t
	}
	t = readTrace(h)
	if t.TraceID == "" {
		ids := [3]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64() | 1} // never all zero
		var raw [24]byte
		for i, id := range ids {
			for j := range 8 {
				raw[8*i+j] = byte(id >> (56 - 8*j))
			}
		}
		var text [48]byte
		hex.Encode(text[:], raw[:])
		t.TraceID, t.SpanID = string(text[:32]), string(text[32:])
	}
	if o.W3C && t.Parent == "" {
		delete(h, headerTracestate) // it belongs to a parent (W3C Trace Context, 3.3)
		t.State = ""
		// The flag says that the caller may have recorded it: with 00 most libraries would record nothing.
		t.Parent = "00-" + strings.Repeat("0", 32-len(t.TraceID)) + t.TraceID + "-" + t.SpanID + "-" + sampledFlag(h)
		h[headerTraceparent] = []string{t.Parent}
	}
	if o.B3 {
		t.setB3(h)
	}
	return t
}

// readTrace reads what is well-formed: B3 in several headers before B3 in one, before W3C.
func readTrace(h http.Header) (t Trace) {
	if parent := one(h, headerTraceparent); validTraceparent(parent) {
		t.Parent, t.State = parent, strings.Join(h[headerTracestate], ",")
	}
	t.B3 = one(h, headerB3)
	trace, span := one(h, headerB3Trace), one(h, headerB3Span)
	switch {
	case isTraceID(trace) && isSpanID(span):
		t.TraceID, t.SpanID = trace, span
		if parent := one(h, headerB3Parent); isSpanID(parent) {
			t.ParentID = parent
		}
	case t.B3 != "":
		t.readSingle()
	}
	if t.TraceID == "" && t.Parent != "" {
		t.TraceID, t.SpanID = t.Parent[3:35], t.Parent[36:52]
	}
	return t
}

// readSingle reads TRACE-SPAN[-SAMPLED[-PARENT]]. The decision alone stays; what is nothing of this is forgotten.
func (t *Trace) readSingle() {
	parts := strings.Split(t.B3, "-")
	if len(parts) < 2 || len(parts) > 4 || !isTraceID(parts[0]) || !isSpanID(parts[1]) {
		if !slices.Contains([]string{"0", "1", "d"}, t.B3) {
			t.B3 = ""
		}
		return
	}
	t.TraceID, t.SpanID = parts[0], parts[1]
	if len(parts) == 4 && isSpanID(parts[3]) {
		t.ParentID = parts[3]
	}
}

// setB3 adds the forms of B3 that are missing.
func (t *Trace) setB3(h http.Header) {
	if one(h, headerB3Trace) != t.TraceID || one(h, headerB3Span) != t.SpanID {
		h[headerB3Trace], h[headerB3Span] = []string{t.TraceID}, []string{t.SpanID}
	}
	if t.B3 != "" {
		return
	}
	t.B3 = t.TraceID + "-" + t.SpanID
	sampled := one(h, headerB3Sampled)
	if one(h, headerB3Flags) == "1" {
		sampled = "d"
	}
	if sampled == "0" || sampled == "1" || sampled == "d" {
		t.B3 += "-" + sampled
		if t.ParentID != "" {
			t.B3 += "-" + t.ParentID
		}
	}
	h[headerB3] = []string{t.B3}
}

// sampledFlag is the flags field of a traceparent that is made of B3 headers, or of nothing.
func sampledFlag(h http.Header) string {
	if one(h, headerB3Sampled) == "0" || one(h, headerB3) == "0" || strings.HasSuffix(one(h, headerB3), "-0") {
		return "00"
	}
	return "01"
}

func one(h http.Header, name string) string {
	if v := h[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// validTraceparent accepts version 00, and what later versions begin with (W3C Trace Context, 3.2).
func validTraceparent(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || !isHex(s[:2]) || s[:2] == "ff" || !isHex(s[53:55]) {
		return false
	}
	if len(s) > 55 && (s[:2] == "00" || s[55] != '-') {
		return false
	}
	return isHex(s[3:35]) && isHex(s[36:52]) && !allZeros(s[3:35]) && !allZeros(s[36:52])
}

func isTraceID(s string) bool { return (len(s) == 16 || len(s) == 32) && isHex(s) && !allZeros(s) }
func isSpanID(s string) bool  { return len(s) == 16 && isHex(s) && !allZeros(s) }

func allZeros(s string) bool { return strings.Trim(s, "0") == "" }

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
