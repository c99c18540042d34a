package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// seen answers with the request's header as the app saw it.
func seen(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Host: %s\nURI: %s\nProto: %s\n", r.Host, r.RequestURI, r.Proto)
	r.Header.Write(w)
}

func line(text, name string) string {
	for l := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(l, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestRequestHeader(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "inst-7", seen)
	e.Index, e.AppGUID = 7, "guid"
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}})
	_, text := r.get(t, "https://a.example.com/x/..%2f/%41?q=%20;a&b", "Host", "A.example.com:443",
		"X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "5.6.7.8", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil",
		"X-Real-Ip", "6.6.6.6", "Forwarded", "for=6.6.6.6", "X-Forwarded-Client-Cert", "forged",
		"X_Forwarded_Proto", "http", "X-Cf_InstanceID", "forged", "X-Keep_Me", "kept",
		"X-CF-ApplicationID", "forged", "X-Request-Start", "1", "X-Request-Id", "my-id", "Te", "trailers", "Proxy-Authorization", "x")
	for name, want := range map[string]string{
		"Host": "A.example.com:443", "URI": "/x/..%2f/%41?q=%20;a&b", "Proto": "HTTP/1.1",
		"X-Forwarded-For": "1.2.3.4, 5.6.7.8, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "A.example.com:443",
		"X-Real-Ip": "", "Forwarded": "", "X-Forwarded-Client-Cert": "", "X_forwarded_proto": "", "X-Cf_instanceid": "", "X-Keep_me": "kept",
		"X-Cf-Applicationid": "guid", "X-Cf-Instanceid": "inst-7", "X-Cf-Instanceindex": "7",
		"X-Request-Id": "my-id", "X-Vcap-Request-Id": "my-id", "Te": "trailers", "Proxy-Authorization": "",
	} {
		if got := line(text, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if ms := line(text, "X-Request-Start"); len(ms) != 13 {
		t.Errorf("X-Request-Start = %q, want milliseconds", ms)
	}
	_, text = r.get(t, "http://a.example.com//double/slash", "X-Request-Id", "bad id\x80", "Connection", "X-Forwarded-Proto, X-Mine", "X-Mine", "1")
	if got := line(text, "URI"); got != "//double/slash" {
		t.Errorf("URI = %q, want //double/slash", got)
	}
	if id := line(text, "X-Request-Id"); len(id) != 36 || line(text, "X-Vcap-Request-Id") != id {
		t.Errorf("X-Request-Id = %q, want a new UUID in both", id)
	}
	if line(text, "X-Mine") != "" || line(text, "X-Forwarded-Proto") != "http" || line(text, "Connection") != "" {
		t.Errorf("Connection was not heeded: %s", text)
	}
}

func TestTrustedProxy(t *testing.T) {
	r := start(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", seen)}})
	_, text := r.get(t, "http://a.example.com/", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "www.example.com", "X-Real-Ip", "1.1.1.1")
	if line(text, "X-Forwarded-Proto") != "https" || line(text, "X-Forwarded-Host") != "www.example.com" || line(text, "X-Real-Ip") != "1.1.1.1" {
		t.Errorf("a trusted proxy's fields were changed: %s", text)
	}
}

func TestResponsePassesUnchanged(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h["Content-Type"] = nil
		h.Set("Connection", "X-Private")
		h.Set("X-Private", "1")
		h.Set("X-Vcap-Request-Id", "forged")
		h.Add("Set-Cookie", "a=b")
		h.Add("Set-Cookie", "c=d")
		h.Set("Content-Encoding", "gzip") // not really: nobody may look
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "<html>")
	})}})
	for _, scheme := range []string{"http", "https"} {
		res, text := r.get(t, scheme+"://a.example.com/")
		if res.StatusCode != http.StatusTeapot || text != "<html>" || len(res.Header["Set-Cookie"]) != 2 {
			t.Errorf("%s: got %d %q %v", scheme, res.StatusCode, text, res.Header)
		}
		if _, ok := res.Header["Content-Type"]; ok || res.Header.Get("X-Private") != "" || res.Header.Get("X-Vcap-Request-Id") == "forged" {
			t.Errorf("%s: header %v", scheme, res.Header)
		}
		if res.ContentLength != 6 {
			t.Errorf("%s: Content-Length = %d, want 6", scheme, res.ContentLength)
		}
	}
	if res, _ := r.do(t, "HEAD", "http://a.example.com/", nil); res.ContentLength != 6 {
		t.Errorf("HEAD: Content-Length = %d, want 6", res.ContentLength)
	}
}

func TestAccessLog(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "inst", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "got %d", n)
	})
	e.Index = 2
	r.set(t, Route{Host: "a.example.com", AppGUID: "route-app", Endpoints: []Endpoint{e}}, Route{Host: "b.example.com", AppGUID: "stopped"})
	r.do(t, "POST", "https://a.example.com/p?q=1", strings.NewReader("12345"), "User-Agent", "ua", "Referer", "ref", "X-Vcap-Request-Id", "rid")
	a := r.nextAccess(t)
	got := fmt.Sprint(a.Host, a.Method, a.URI, a.Proto, a.Status, a.BytesIn, a.BytesOut, a.AppGUID, a.ProcessGUID, a.InstanceID, a.Index,
		a.Attempts, a.RequestID, a.ForwardedFor, a.ForwardedProto, a.UserAgent, a.Referer, a.RouterError, a.Error)
	want := fmt.Sprint("a.example.com", "POST", "/p?q=1", "HTTP/2.0", 200, 5, 5, "app", "proc", "inst", 2, 1, "rid", "127.0.0.1", "https", "ua", "ref", "", nil)
	if got != want {
		t.Errorf("access = %s\nwant     %s", got, want)
	}
	if a.Duration <= 0 || a.FirstByte <= 0 || a.FirstByte > a.Duration || a.Started.IsZero() || a.Endpoint != e.Address || a.Remote == "" {
		t.Errorf("access = %+v", a)
	}
	r.get(t, "http://b.example.com/")
	if a := r.nextAccess(t); a.Status != 404 || a.AppGUID != "stopped" || a.InstanceID != "" || a.RouterError != "unknown_route" {
		t.Errorf("access to a stopped app = %+v", a)
	}
	s := r.Stats()
	if s.Requests != 2 || s.ByClass[2] != 1 || s.ByClass[4] != 1 || s.BytesIn != 5 || s.BytesOut != 5 || s.UnknownRoutes != 1 ||
		s.Instances["inst"].Requests != 1 || s.Apps["app"].ByClass[2] != 1 || s.Latency[len(s.Latency)-1].Count != 2 || s.Routes != 2 {
		t.Errorf("stats = %+v", s)
	}
}

func TestStreamingIsFlushed(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	next := make(chan struct{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sse" {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", "24")
		}
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})}})
	for _, url := range []string{"http://a.example.com/sse", "https://a.example.com/sse", "http://a.example.com/chunked", "https://a.example.com/sized"} {
		res, err := r.client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		for i := range 3 {
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
				t.Fatalf("%s: event %d = %q, %v", url, i, lines.Text(), lines.Err())
			}
			next <- struct{}{} // the app goes on only after the client has seen this one
		}
		res.Body.Close()
	}
}

func TestRequestBodyStreams(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		buf := make([]byte, 1)
		for {
			if _, err := r.Body.Read(buf); err != nil {
				return
			}
			w.Write(buf)
			w.(http.Flusher).Flush()
		}
	})}})
	body, out := io.Pipe()
	req, _ := http.NewRequest("POST", "https://a.example.com/", body)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := make([]byte, 1)
	for _, c := range []byte("echo") {
		out.Write([]byte{c})
		if _, err := io.ReadFull(res.Body, got); err != nil || got[0] != c {
			t.Fatalf("echo of %q = %q, %v", c, got, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest = %q, %v", rest, err)
	}
}

// zeros is a body of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLargeBodies(t *testing.T) {
	const size = 64 << 20
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if n != size || err != nil {
			w.WriteHeader(500)
			return
		}
		io.Copy(w, zeros(size))
	})}})
	for _, scheme := range []string{"http", "https"} {
		req, _ := http.NewRequest("PUT", scheme+"://a.example.com/", zeros(size))
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || n != size || err != nil {
			t.Errorf("%s: status %d, %d bytes, %v", scheme, res.StatusCode, n, err)
		}
	}
}

func TestTrailers(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/late" {
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status, X-Sent")
		if len(body) > 0 {
			w.Write(body)
		} else {
			w.(http.Flusher).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set("X-Sent", r.Trailer.Get("X-Sent"))
	})
	h2 := e
	h2.Protocol, h2.InstanceID = HTTP2, "i2"
	r.set(t, Route{Host: "h1.example.com", Endpoints: []Endpoint{e}}, Route{Host: "h2.example.com", Endpoints: []Endpoint{h2}})
	for _, url := range []string{"http://h1.example.com/", "https://h1.example.com/", "http://h2.example.com/", "https://h2.example.com/"} {
		for _, body := range []string{"x", ""} {
			req, _ := http.NewRequest("POST", url, io.NopCloser(strings.NewReader(body)))
			req.Header.Set("Te", "trailers")
			req.Trailer = http.Header{"X-Sent": []string{"yes"}}
			res, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(got) != body || res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("X-Sent") != "yes" {
				t.Errorf("POST %s %q = %q, trailer %v, %v", url, body, got, res.Trailer, err)
			}
		}
		res, _ := r.get(t, url+"late")
		if res.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("GET %slate: trailer %v", url, res.Trailer)
		}
	}
}

func TestH2COut(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", seen)
	e.Protocol = HTTP2
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}})
	for _, uri := range []string{"/x%2Fy?z", "//two", "/"} {
		_, text := r.get(t, "https://a.example.com"+uri)
		if line(text, "Proto") != "HTTP/2.0" || line(text, "URI") != uri || line(text, "Host") != "a.example.com" {
			t.Errorf("the app saw %q for %s", text, uri)
		}
	}
}

func TestH2CIn(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", say("hello"))}})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{DialContext: r.dialContext, Protocols: protocols}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("http://a.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.ProtoMajor != 2 || string(text) != "hello" {
		t.Errorf("got %s %q", res.Proto, text)
	}
}

func TestExpectContinue(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(413)
			return
		}
		io.Copy(w, r.Body)
	})}})
	c, err := net.Dial("tcp", r.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if status, _ := in.ReadString('\n'); !strings.HasPrefix(status, "HTTP/1.1 100 ") {
		t.Fatalf("before the body: %q, want 100", status)
	}
	in.ReadString('\n')
	io.WriteString(c, "body")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(res.Body); string(text) != "body" {
		t.Errorf("answer = %q", text)
	}
	got := r.raw(t, "POST /refuse HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") {
		t.Errorf("refused upload = %q, want 413 and no 100", got)
	}
}

func TestEarlyHints(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		io.WriteString(w, "done")
	})}})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://a.example.com/", nil)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if fmt.Sprint(hints) != "[103</style.css>; rel=preload]" || res.StatusCode != 200 || res.Header.Get("Link") != "" {
		t.Errorf("hints = %v, then %d %v", hints, res.StatusCode, res.Header)
	}
}

func TestWebSocket(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		c, err := websocket.Accept(w, req, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"chat"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, data, err := c.Read(req.Context())
			if err != nil {
				return
			}
			if c.Write(req.Context(), kind, data) != nil {
				return
			}
		}
	})
	h2 := e
	h2.Protocol, h2.InstanceID = HTTP2, "i2"
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{e}}, Route{Host: "b.example.com", Endpoints: []Endpoint{h2}})
	for _, url := range []string{"ws://a.example.com/x", "wss://a.example.com/x", "ws://b.example.com/"} {
		c, res, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: r.http1, Subprotocols: []string{"chat"}})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if c.Subprotocol() != "chat" || res.Header.Get("X-Vcap-Request-Id") == "" {
			t.Errorf("%s: subprotocol %q, header %v", url, c.Subprotocol(), res.Header)
		}
		c.SetReadLimit(1 << 20)
		for _, text := range []string{"hello", strings.Repeat("x", 1<<18)} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || string(got) != text {
				t.Fatalf("%s: echo of %d bytes = %d bytes, %v", url, len(text), len(got), err)
			}
		}
		if n := r.InFlight("i") + r.InFlight("i2"); n != 1 {
			t.Errorf("in flight = %d, want 1", n)
		}
		c.Close(websocket.StatusNormalClosure, "")
		if a := r.nextAccess(t); a.Status != 101 || !a.Upgraded || a.BytesIn < 1<<18 || a.BytesOut < 1<<18 || a.Error != nil {
			t.Errorf("%s: access = %+v", url, a)
		}
	}
}

func TestUpgradeRules(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/other" {
			c, rw, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			rw.Flush()
			return
		}
		seen(w, req)
	})}})
	got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") || line(got, "Upgrade") != "" || line(got, "Http2-Settings") != "" {
		t.Errorf("h2c was passed on: %s", got)
	}
	got = r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, close\r\nUpgrade: thing\r\n\r\n")
	if line(got, "Upgrade") != "thing" {
		t.Errorf("the upgrade was not passed on: %s", got)
	}
	got = r.raw(t, "GET /other HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade, close\r\nUpgrade: thing\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502") {
		t.Errorf("an upgrade to something else = %s, want 502", got)
	}
}

// TestUpgradeHalfClose says all from one side first, then all from the other.
func TestUpgradeHalfClose(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, _ := http.NewResponseController(w).Hijack()
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n")
		rw.Flush()
		all, _ := io.ReadAll(rw)
		fmt.Fprintf(c, "%d bytes", len(all))
	})}})
	for _, secure := range []bool{false, true} {
		var c net.Conn
		var err error
		if secure {
			c, err = tls.Dial("tcp", r.HTTPSAddr(), &tls.Config{RootCAs: r.roots, ServerName: "a.example.com"})
		} else {
			c, err = net.Dial("tcp", r.HTTPAddr())
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nearly")
		in := bufio.NewReader(c)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
			t.Fatalf("TLS %v: %v %v", secure, res, err)
		}
		io.WriteString(c, "late")
		c.(interface{ CloseWrite() error }).CloseWrite()
		got, err := io.ReadAll(in)
		if err != nil || string(got) != "9 bytes" {
			t.Errorf("TLS %v: got %q, %v", secure, got, err)
		}
	}
}

func TestClientAbortReachesApp(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	began, ended := make(chan struct{}), make(chan struct{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
		}
		if r.URL.Path != "/body" {
			began <- struct{}{}
		}
		<-r.Context().Done()
		ended <- struct{}{}
	})}})
	for _, url := range []string{"http://a.example.com/", "https://a.example.com/", "http://a.example.com/body", "https://a.example.com/body"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		if !strings.HasSuffix(url, "body") {
			go func() {
				<-began
				cancel()
			}()
		}
		if res, err := r.client.Do(req); err == nil {
			cancel()
			if _, err = io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: the body came to an end", url)
			}
			res.Body.Close()
		}
		cancel()
		<-ended
		want := 499
		if strings.HasSuffix(url, "body") {
			want = 200
		}
		if a := r.nextAccess(t); a.Status != want || a.Error == nil {
			t.Errorf("%s: access = %d %v, want %d with an error", url, a.Status, a.Error, want)
		}
	}
}

func TestUpstreamAbort(t *testing.T) {
	r := start(t, Options{}, CertOptions{})
	e := app(t, "i", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/early" {
			io.WriteString(w, strings.Repeat("x", 100_000))
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	h2 := e
	h2.Protocol, h2.InstanceID = HTTP2, "i2"
	r.set(t, Route{Host: "h1.example.com", Endpoints: []Endpoint{e}}, Route{Host: "h2.example.com", Endpoints: []Endpoint{h2}})
	for _, base := range []string{"http://h1.example.com", "https://h1.example.com", "https://h2.example.com"} {
		res, err := r.client.Get(base + "/mid")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: a body cut short looked whole", base)
		}
		res.Body.Close()
		if a := r.nextAccess(t); a.Error == nil || a.Status != 200 {
			t.Errorf("%s: access = %+v", base, a)
		}
		res, text := r.get(t, base+"/early")
		if res.StatusCode != 502 || res.Header.Get(headerRouterError) != "endpoint_failure" || !strings.Contains(text, "closed the connection") {
			t.Errorf("%s: early abort = %d %q", base, res.StatusCode, text)
		}
		r.nextAccess(t)
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	r := start(t, Options{ResponseHeaderTimeout: 20 * time.Millisecond, BodyReadTimeout: 50 * time.Millisecond}, CertOptions{})
	r.set(t, Route{Host: "slow.example.com", Endpoints: []Endpoint{app(t, "i", func(http.ResponseWriter, *http.Request) { <-release })}},
		Route{Host: "reads.example.com", Endpoints: []Endpoint{app(t, "j", func(_ http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) })}})
	if res, text := r.get(t, "http://slow.example.com/"); res.StatusCode != 504 || !strings.Contains(text, "in time") {
		t.Errorf("slow app = %d %q, want 504", res.StatusCode, text)
	}
	got := r.raw(t, "POST / HTTP/1.1\r\nHost: reads.example.com\r\nContent-Length: 10\r\n\r\nhalf")
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("a body that stops = %q, want 408", got)
	}
}

func TestSlowClients(t *testing.T) {
	sent := make(chan error, 1)
	r := start(t, Options{ReadHeaderTimeout: 30 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, zeros(1<<30))
		sent <- err
	})}})
	if got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.ex"); strings.Contains(got, "200") {
		t.Errorf("half a header = %q", got)
	}
	c, err := net.Dial("tcp", r.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n") // and never read
	if err := <-sent; err == nil {
		t.Error("the app sent a gigabyte to a client that reads nothing")
	}
	if a := r.nextAccess(t); a.Error == nil {
		t.Errorf("access = %+v", a)
	}
}

func TestOversizedHeader(t *testing.T) {
	r := start(t, Options{MaxHeaderBytes: 8 << 10}, CertOptions{})
	r.set(t, Route{Host: "a.example.com", Endpoints: []Endpoint{app(t, "i", say("x"))}})
	got := r.raw(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Big: "+strings.Repeat("x", 20<<10)+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("oversized header = %.60q, want 431", got)
	}
	if res, err := r.client.Do(mustRequest("https://a.example.com/", "X-Big", strings.Repeat("x", 20<<10))); err == nil && res.StatusCode != 431 {
		t.Errorf("oversized header over HTTP/2 = %d", res.StatusCode)
	}
	if res, _ := r.get(t, "https://a.example.com/"); res.StatusCode != 200 {
		t.Errorf("afterwards = %d", res.StatusCode)
	}
}

func mustRequest(url string, header ...string) *http.Request {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func TestCloseGivesPortsUp(t *testing.T) {
	r, err := New(Options{HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Listen(), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", r.HTTPAddr()); err == nil {
		t.Error("the port is open after Close")
	}
}
