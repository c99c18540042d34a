package dashboard

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
)

// TestAPIDown shows that an API that answers badly, or not at all, makes a page that says so.
func TestAPIDown(t *testing.T) {
	w := newWorld(t)
	var how atomic.Value
	how.Store("up")
	w.breakAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch how.Load() {
			case "panics":
				panic("the API has a bug")
			case "hangs up":
				panic(http.ErrAbortHandler)
			case "fails":
				rw.WriteHeader(http.StatusInternalServerError)
			default:
				next.ServeHTTP(rw, r)
			}
		})
	})
	token := w.signIn("admin", "secret", "").want(http.StatusOK).csrf()
	for kind, text := range map[string]string{"panics": "The API had an error of its own.", "hangs up": "The API does not answer.", "fails": "The API had an error of its own."} {
		how.Store(kind)
		w.get("/").want(http.StatusServiceUnavailable, "not there", text)
		w.get("/apps").want(http.StatusServiceUnavailable, text)
		w.post("/apps/x/stop", url.Values{"csrf": {token}}).want(http.StatusServiceUnavailable, text)
	}
	how.Store("fails")
	w.browser = w.newBrowser()
	w.signIn("admin", "secret", "").want(http.StatusServiceUnavailable, "The API had an error of its own.").lacks("secret")
	how.Store("up")
	w.get("/").want(http.StatusOK, "Sign out") // the login server has let the browser in already
}

// TestWordOfABroker shows that a job that fails for another's fault is told in its own words, on the page where it was begun, and
// is not taken for an outage.
func TestWordOfABroker(t *testing.T) {
	w := newWorld(t)
	failure := capi.BrokerUnreachable.Errorf("The service broker could not be reached: https://broker.example.com")
	w.breakAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch r.Method + r.URL.Path {
			case "POST/v3/service_brokers":
				rw.Header().Set("Location", "https://api.example.com/v3/jobs/j1")
				rw.WriteHeader(http.StatusAccepted)
			case "GET/v3/jobs/j1":
				_ = json.NewEncoder(rw).Encode(capi.Job{Resource: capi.Resource{GUID: "j1"}, State: capi.JobFailed, Errors: capi.Array[*capi.Error]{failure}})
			default:
				next.ServeHTTP(rw, r)
			}
		})
	})
	token := w.signIn("admin", "secret", "").csrf()
	form := url.Values{"csrf": {token}, "name": {"b"}, "url": {"https://broker.example.com"}, "username": {"u"}, "password": {"p"}}
	got := w.post("/brokers", form, "Referer", "https://dashboard.example.com/brokers").want(http.StatusOK, "notice bad", "The service broker could not be reached: https://broker.example.com.")
	if got.path != "/brokers" {
		t.Errorf("back at %s", got.path)
	}
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"of a broker":        {capi.BrokerTimeout.Errorf("it took too long"), http.StatusUnprocessableEntity},
		"several of a job":   {&capi.Errors{Errors: []*capi.Error{{Title: "CF-StagingError", Detail: "no"}, {}}}, http.StatusUnprocessableEntity},
		"of the API itself":  {capi.ServerError.Errorf("An unknown error occurred."), http.StatusServiceUnavailable},
		"of a job, internal": {&capi.Error{Code: 10001, Title: "UnknownError", Detail: "An unknown error occurred."}, http.StatusServiceUnavailable},
		"refused":            {capi.Forbidden(), http.StatusForbidden},
		"too many streams":   {errTooManyStreams, http.StatusTooManyRequests},
	} {
		if got := statusOf(test.err); got != test.want {
			t.Errorf("an error %s has status %d, want %d", name, got, test.want)
		}
	}
}

// breakAPI serves the dashboard anew with something before the API.
func (w *world) breakAPI(before func(http.Handler) http.Handler) {
	w.t.Helper()
	hosts := map[string]http.Handler{}
	for name, h := range w.hosts {
		hosts[name] = h
	}
	hosts["api.example.com"] = before(hosts["api.example.com"])
	w.serve(Options{Hosts: hosts})
}

func TestWithoutTLS(t *testing.T) {
	d, err := New(Options{URL: "https://dashboard.example.com:8443", APIURL: "https://api.example.com", LoginURL: "https://login.example.com", ClientID: "x", Hosts: map[string]http.Handler{"x": http.NotFoundHandler()}})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://dashboard.example.com/routes?page=2", nil))
	if to := rec.Header().Get("Location"); rec.Code != http.StatusTemporaryRedirect || to != "https://dashboard.example.com:8443/routes?page=2" {
		t.Errorf("without TLS: %d to %q", rec.Code, to)
	}
	rec = httptest.NewRecorder()
	d.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "http://dashboard.example.com/sign-in", nil))
	if rec.Code != http.StatusUpgradeRequired {
		t.Errorf("a form without TLS: %d", rec.Code)
	}
	for address, want := range map[string]string{
		"shop.example.com": "https://shop.example.com:8443/", "shop.example.com/api": "https://shop.example.com:8443/api", "*.example.com": "",
	} {
		if got := d.routeURL("http", address); got != want {
			t.Errorf("routeURL(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"no address": {APIURL: "https://api.example.com", Hosts: map[string]http.Handler{"x": http.NotFoundHandler()}},
		"no API":     {URL: "https://dashboard.example.com", Hosts: map[string]http.Handler{"x": http.NotFoundHandler()}},
		"no way":     {URL: "https://dashboard.example.com", APIURL: "https://api.example.com", LoginURL: "https://login.example.com", ClientID: "x"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                            "plain",
		"\x1b[1;31mred\x1b[0m":             "red",
		"\x1b]0;title\x07text":             "text",
		"bad \xff byte":                    "bad \uFFFD byte",
		"bell\x07 and \x00 zero":           "bell and  zero",
		"a\u202egnp.exe":                   "agnp.exe",
		"tab\there":                        "tab\there",
		string(make([]byte, lineBytes+10)): " …",
	} {
		if got := plainText([]byte(in)); got != want {
			t.Errorf("plainText(%.20q) = %q, want %q", in, got, want)
		}
	}
}

// TestCallerIsKnown shows that the login server counts failed attempts by the browser's address, not by ours.
func TestCallerIsKnown(t *testing.T) {
	seen := make(chan string, 1)
	p := &inProcess{hosts: map[string]http.Handler{"login.example.com": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.RemoteAddr + " " + r.Header.Get("X-Forwarded-For") + " " + r.Host + r.RequestURI
	})}}
	browser := httptest.NewRequest(http.MethodGet, "/", nil)
	browser.RemoteAddr = "198.51.100.7:4711"
	browser.Header.Set("X-Forwarded-For", "203.0.113.9")
	r, err := http.NewRequestWithContext(withCaller(t.Context(), browser), http.MethodPost, "https://login.example.com:8443/oauth/token?a=b", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	defer resp.Body.Close()
	if got, want := <-seen, "198.51.100.7:4711 203.0.113.9 login.example.com:8443/oauth/token?a=b"; got != want {
		t.Errorf("the handler saw %q, want %q", got, want)
	}
	r.URL.Host = "elsewhere.example.com"
	if resp, err := p.RoundTrip(r); err == nil {
		resp.Body.Close()
		t.Error("a host that is not ours was reached")
	}
}

// TestKeysAreUnique shows that no letter leads to two pages.
func TestKeysAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, group := range navigation("/", true) {
		for _, item := range group.Items {
			if seen[item.Key] != "" || item.Key == "" {
				t.Errorf("the key %q leads to %s and %s", item.Key, seen[item.Key], item.Text)
			}
			seen[item.Key] = item.Text
		}
	}
}
