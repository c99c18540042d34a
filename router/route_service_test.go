package router

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fronted is a router with a route "shop.example.com" whose requests go through a service at front.example.com, which
// sends back what forward makes of them.
func fronted(t *testing.T, opts Options, forward func(r *http.Request) *http.Request) (rt *running, app, front *httptest.Server) {
	t.Helper()
	app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, name := range []string{headerForwardedURL, headerProxySignature, headerProxyMetadata} {
			if r.Header.Get(name) != "" {
				t.Errorf("the app got %s", name)
			}
		}
		io.WriteString(w, "app: "+r.Method+" "+r.URL.RequestURI()+" "+string(body)+" "+r.Header.Get("X-Front"))
	}))
	t.Cleanup(app.Close)
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := forward(r)
		if out == nil {
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "front: no")
			return
		}
		res, err := rt.http1.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		w.WriteHeader(res.StatusCode)
		io.Copy(w, res.Body)
	}))
	t.Cleanup(front.Close)
	rt = start(t, opts, CertOptions{Local: func(string) bool { return true }})
	rt.set(t, Route{Host: "shop.example.com", ServiceURL: "https://front.example.com/filter?key=1", AppGUID: "a", Endpoints: []Endpoint{{Address: app.Listener.Addr().String(), InstanceID: "i"}}},
		Route{Host: "other.example.com", ServiceURL: "https://front.example.com", AppGUID: "b", Endpoints: []Endpoint{{Address: app.Listener.Addr().String(), InstanceID: "i"}}},
		Route{Host: "front.example.com", Endpoints: []Endpoint{{Address: front.Listener.Addr().String(), InstanceID: "f"}}})
	rt.services.transport.TLSClientConfig.RootCAs = rt.roots
	return rt, app, front
}

// again is what a route service sends back.
func again(r *http.Request) *http.Request {
	out, err := http.NewRequest(r.Method, r.Header.Get(headerForwardedURL), r.Body)
	if err != nil {
		return nil
	}
	out.Header = r.Header.Clone()
	out.Header.Set("X-Front", "been there")
	return out
}

func ask(t *testing.T, rt *running, r *http.Request) (int, string) {
	t.Helper()
	res, err := rt.http1.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func request(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRouteService(t *testing.T) {
	var seen *http.Request
	rt, _, _ := fronted(t, Options{}, func(r *http.Request) *http.Request { seen = r; return again(r) })
	for _, scheme := range []string{"http", "https"} {
		r := request(t, "POST", scheme+"://shop.example.com/a%2Fb?x=1", "hello")
		r.Header.Set(headerForwardedURL, "https://evil.example.org/")
		status, body := ask(t, rt, r)
		if status != 200 || body != "app: POST /a%2Fb?x=1 hello been there" {
			t.Fatalf("%s: %d %s", scheme, status, body)
		}
		if got := seen.Header.Get(headerForwardedURL); !strings.HasPrefix(got, scheme+"://shop.example.com") || !strings.HasSuffix(got, "/a%2Fb?x=1") {
			t.Errorf("%s: %s is %q", scheme, headerForwardedURL, got)
		}
		if seen.URL.RequestURI() != "/filter?key=1" || seen.Host != "front.example.com" {
			t.Errorf("the service was asked for %s%s", seen.Host, seen.URL.RequestURI())
		}
	}
}

func TestRouteServiceAnswersItself(t *testing.T) {
	rt, _, _ := fronted(t, Options{}, func(*http.Request) *http.Request { return nil })
	if status, body := ask(t, rt, request(t, "GET", "http://shop.example.com/", "")); status != http.StatusTeapot || body != "front: no" {
		t.Errorf("%d %s", status, body)
	}
	r := request(t, "GET", "http://shop.example.com/", "")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	if status, body := ask(t, rt, r); status != http.StatusServiceUnavailable {
		t.Errorf("an upgrade: %d %s", status, body)
	}
}

func TestRouteServiceSignatures(t *testing.T) {
	var caught http.Header
	rt, _, _ := fronted(t, Options{}, func(r *http.Request) *http.Request { caught = r.Header.Clone(); return nil })
	ask(t, rt, request(t, "GET", "http://shop.example.com/x", ""))
	signed := func(host string, change func(http.Header)) *http.Request {
		r := request(t, "GET", "http://"+host+"/x", "")
		for _, name := range []string{headerForwardedURL, headerProxySignature, headerProxyMetadata} {
			r.Header[name] = caught[name]
		}
		change(r.Header)
		return r
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	foreign, err := newRouteServices(rt.Router, RouteServices{})
	if err != nil {
		t.Fatal(err)
	}
	forged, about, err := foreign.sign(ticket{URL: "http://shop.example.com/x", Route: "shop.example.com", Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	nonce, _ := json.Marshal(ticketMetadata{make([]byte, 3)})
	for name, test := range map[string]struct {
		request *http.Request
		want    int
	}{
		"as it was":         {signed("shop.example.com", func(http.Header) {}), 200},
		"without its URL":   {signed("shop.example.com", func(h http.Header) { h.Del(headerForwardedURL) }), 200},
		"another URL":       {signed("shop.example.com", set(headerForwardedURL, "http://shop.example.com/y")), 400},
		"for another route": {signed("other.example.com", func(http.Header) {}), 400},
		"garbage":           {signed("shop.example.com", set(headerProxySignature, "garbage!")), 400},
		"no metadata":       {signed("shop.example.com", func(h http.Header) { h.Del(headerProxyMetadata) }), 400},
		"a short nonce":     {signed("shop.example.com", set(headerProxyMetadata, base64.URLEncoding.EncodeToString(nonce))), 400},
		"another key": {signed("shop.example.com", func(h http.Header) {
			h.Set(headerProxySignature, forged)
			h.Set(headerProxyMetadata, about)
		}), 400},
	} {
		if status, body := ask(t, rt, test.request); status != test.want {
			t.Errorf("%s: %d %s, want %d", name, status, body, test.want)
		}
	}
	rt.services.now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	if status, body := ask(t, rt, signed("shop.example.com", func(http.Header) {})); status != http.StatusGatewayTimeout {
		t.Errorf("expired: %d %s", status, body)
	}
}

func TestRouteServiceThatIsNotThere(t *testing.T) {
	rt, _, front := fronted(t, Options{}, again)
	front.Close()
	if status, _ := ask(t, rt, request(t, "GET", "http://shop.example.com/", "")); status != http.StatusBadGateway && status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	for _, address := range []string{"http://plain.example.com", "https://", "https://u:p@x.example.com", "ftp://x"} {
		if err := (&Route{Host: "x.example.com", ServiceURL: address}).Validate(); err == nil {
			t.Errorf("service URL %q was taken", address)
		}
	}
}
