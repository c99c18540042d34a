package services

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// badBroker is a broker over HTTP that does as it is told. The zero behaviour is that of a good synchronous one.
type badBroker struct {
	*httptest.Server
	mu       sync.Mutex
	catalog  string
	answers  map[string]answer // by what is asked for: see kindOf
	asked    []request
	unanswer chan struct{} // closed at the end, so that what hangs ends
}

// answer is how a kind of request is answered. A hang waits until the end of the test.
type answer struct {
	status int
	body   string
	hang   bool
	cut    bool // end the connection without an answer
	header http.Header
}

type request struct {
	kind, path, query string
	header            http.Header
	body              map[string]any
	login             string
}

// kindOf is catalog, provision, update, deprovision, bind, unbind, poll, pollbinding, fetch or fetchbinding.
func kindOf(r *http.Request) string {
	binding := strings.Contains(r.URL.Path, "/service_bindings/")
	poll := strings.HasSuffix(r.URL.Path, "/last_operation")
	switch {
	case strings.HasSuffix(r.URL.Path, "/catalog"):
		return "catalog"
	case poll && binding:
		return "pollbinding"
	case poll:
		return "poll"
	case binding:
		return map[string]string{"PUT": "bind", "DELETE": "unbind", "GET": "fetchbinding"}[r.Method]
	}
	return map[string]string{"PUT": "provision", "PATCH": "update", "DELETE": "deprovision", "GET": "fetch"}[r.Method]
}

const simpleCatalog = `{"services":[{"id":"db-id","name":"db","description":"a database","bindable":true,"plan_updateable":true,"instances_retrievable":true,
	"bindings_retrievable":true,"tags":["sql"],"metadata":{"shareable":true},"plans":[
	{"id":"small-id","name":"small","description":"s","maintenance_info":{"version":"1.0.0"}},
	{"id":"large-id","name":"large","description":"l","free":false,"maximum_polling_duration":3600}]},
	{"id":"front-id","name":"front","description":"a route service","bindable":true,"requires":["route_forwarding"],"plans":[{"id":"front-plan-id","name":"only","description":"o"}]}]}`

func newBadBroker(t testing.TB) *badBroker {
	b := &badBroker{catalog: simpleCatalog, answers: map[string]answer{}, unanswer: make(chan struct{})}
	b.Server = httptest.NewServer(b)
	t.Cleanup(func() { close(b.unanswer); b.Server.CloseClientConnections(); b.Server.Close() })
	return b
}

func (b *badBroker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	seen := request{kind: kind, path: r.URL.Path, query: r.URL.RawQuery, header: r.Header.Clone()}
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &seen.body)
	user, password, _ := r.BasicAuth()
	seen.login = user + ":" + password
	b.mu.Lock()
	b.asked = append(b.asked, seen)
	a, told := b.answers[kind]
	catalog := b.catalog
	b.mu.Unlock()
	if !told {
		a = map[string]answer{
			"catalog": {status: 200, body: catalog}, "provision": {status: 201, body: `{"dashboard_url":"https://dash.example.com"}`},
			"bind": {status: 201, body: `{"credentials":{"uri":"db://u:hidden@h"}}`}, "fetch": {status: 200, body: `{"parameters":{"a":1}}`},
			"fetchbinding": {status: 200, body: `{"credentials":{"uri":"db://later"},"parameters":{"b":2}}`},
			"poll":         {status: 200, body: `{"state":"succeeded","description":"all done"}`}, "pollbinding": {status: 200, body: `{"state":"succeeded"}`},
		}[kind]
		if a.status == 0 {
			a = answer{status: 200, body: `{}`}
		}
	}
	switch {
	case a.hang:
		select {
		case <-b.unanswer:
		case <-r.Context().Done():
		}
		return
	case a.cut:
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

// answer tells the broker how to answer a kind of request from now on.
func (b *badBroker) answer(kind string, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[kind] = a
}

// good takes back what answer told.
func (b *badBroker) good(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.answers, kind)
}

// requests are those of a kind so far.
func (b *badBroker) requests(kind string) []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []request
	for _, r := range b.asked {
		if r.kind == kind {
			out = append(out, r)
		}
	}
	return out
}
