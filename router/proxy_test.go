package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
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
