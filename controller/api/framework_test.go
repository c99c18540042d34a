package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

func TestDecodeJSON(t *testing.T) {
	type body struct {
		Name  string                `json:"name"`
		Count *capi.Int             `json:"count"`
		Stack capi.Optional[string] `json:"stack"`
		On    *bool                 `json:"on"`
		Tags  []string              `json:"tags"`
		Env   map[string]string     `json:"env"`
	}
	for _, c := range []struct{ in, want string }{
		{``, ""},
		{`{"name":"x","count":"12","on":"true","tags":["a"],"env":{"K":"v"}}`, ""},
		{`{"count":12.0}`, ""},
		{`{"stack":null}`, ""},
		{`{"x":1,"a":2}`, "Unknown field(s): 'a', 'x'"},
		{`{"name":5}`, "name must be a string"},
		{`{"count":"five"}`, "count must be an integer"},
		{`{"count":1.5}`, "count must be an integer"},
		{`{"tags":"a"}`, "tags must be an array"},
		{`{"tags":[1]}`, "tags[0] must be a string"},
		{`{"env":{"K":1}}`, "env.K must be a string"},
		{`{"on":"yes"}`, "on must be a boolean"},
		{`[]`, "must be a JSON object"},
		{`{"name":`, "invalid request body"},
		{`{} {}`, "more after"},
		{"{\"name\":\"\xff\"}", "not UTF-8"},
	} {
		var b body
		err := decodeJSON([]byte(c.in), &b)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("decode %s: %v, want %q", c.in, err, c.want)
		}
	}
	var b body
	if err := decodeJSON([]byte(`{"count":"7","stack":null}`), &b); err != nil || *b.Count != 7 || !b.Stack.Set || b.Stack.Value != nil {
		t.Errorf("decode: %+v, %v", b, err)
	}
}

func TestParseFilter(t *testing.T) {
	allowed := params("names", "include")
	for _, c := range []struct{ in, want string }{
		{"names=a,b&page=2&per_page=5000&order_by=-name", ""},
		{"order_by=%2Bname", ""},
		{"created_ats[gt]=2026-01-02T03:04:05Z", ""},
		{"nme=x&z=1", "Unknown query parameter(s): 'nme', 'z'. Valid parameters are: 'page'"},
		{"per_page=5001", "Per page must be between 1 and 5000"},
		{"page=0", "Page must be between 1"},
		{"order_by=memory", "Order by can only be: 'created_at', 'updated_at', 'name'"},
		{"created_ats=yesterday", "YYYY-MM-DDThh:mm:ssZ"},
		{"created_ats[like]=2026-01-02T03:04:05Z", "Invalid relational operator"},
		{"label_selector=a in b", "Invalid label_selector"},
		{"names=%zz", "malformed"},
	} {
		_, err := parseFilter(c.in, allowed, []string{"name"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("parse %s: %v, want %q", c.in, err, c.want)
		}
	}
}

func TestFilterListUnescapesElements(t *testing.T) {
	f, err := parseFilter("names=a%252Cb,c&hosts=", params("names", "hosts"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := f.List("names"); len(got) != 2 || got[0] != "a,b" || got[1] != "c" {
		t.Errorf("names = %q", got)
	}
	if got, ok := f.List("hosts"); !ok || len(got) != 1 || got[0] != "" {
		t.Errorf("hosts = %q, %v, want the empty string", got, ok)
	}
	if _, ok := f.List("paths"); ok {
		t.Error("paths is there")
	}
}

func TestSelector(t *testing.T) {
	labels := map[string]string{"env": "prod", "example.com/tier": "web"}
	for in, want := range map[string]bool{
		"": true, "env": true, "!env": false, "!x": true, "env=prod": true, "env==prod": true, "env!=prod": false,
		"x!=prod": true, "env in (dev, prod)": true, "env notin (dev,prod)": false, "x notin (a)": true,
		"env=prod,example.com/tier=web": true, "env=prod,example.com/tier=db": false, "env in (prod),!x": true,
	} {
		s, err := parseSelector(in)
		if err != nil || s.Match(labels) != want {
			t.Errorf("%q: %v, %v, want %v", in, s.Match(labels), err, want)
		}
	}
	for _, bad := range []string{"=", "a b", "a in b", "a in (b", "a in (b c)", "a=b=c", ",", "-x", "a=" + strings.Repeat("v", 64)} {
		if _, err := parseSelector(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestTimeRange(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC)
	for q, want := range map[string]bool{
		"created_ats=2026-01-02T03:04:05Z": true, "created_ats[gt]=2026-01-02T03:04:05Z": false,
		"created_ats[gte]=2026-01-02T03:04:05Z": true, "created_ats[lt]=2026-01-02T03:04:06Z": true,
		"created_ats[lte]=2026-01-02T03:04:04Z": false, "created_ats=2026-01-02T03:04:04Z,2026-01-02T03:04:05Z": true,
	} {
		v, _ := url.ParseQuery(q)
		r, err := parseTimes(v, "created_ats")
		if err != nil || r.Match(at) != want {
			t.Errorf("%s: %v, %v, want %v", q, r.Match(at), err, want)
		}
	}
}

func TestMetadataRules(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, c := range []struct{ key, value, want string }{
		{"a", "b", ""}, {"example.com/a", "", ""}, {"a.b-c_d", "1", ""},
		{"", "b", "empty"}, {long, "b", "greater than 63"}, {"-a", "b", "begin and end"},
		{"cloudfoundry.org/a", "b", "reserved"}, {"ex/a", "b", "DNS name"}, {"a", long, "greater than 63"}, {"a", "b c", "begin and end"},
	} {
		var m store.Meta
		err := patchMetadata(&m, &capi.MetadataPatch{Labels: map[string]*string{c.key: &c.value}})
		if c.want == "" && (err != nil || m.Labels[c.key] != c.value) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("label %q=%q: %v, want %q", c.key, c.value, err, c.want)
		}
	}
	m := store.Meta{Labels: map[string]string{"a": "b"}}
	if err := patchMetadata(&m, &capi.MetadataPatch{Labels: map[string]*string{"a": nil}}); err != nil || len(m.Labels) != 0 {
		t.Errorf("null: %v, %v", m.Labels, err)
	}
}

func TestPlatformRoutes(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.CA = func() []byte { return []byte("PEM") }
		o.Ready = func() (bool, []string) { return false, []string{"the stack"} }
	})
	w.as("", "GET", "/healthz", nil).want(200, "ok")
	w.as("", "GET", "/readyz/", nil).want(503, "the stack")
	w.as("", "GET", "/ca.pem", nil).want(200, "PEM")
	r := w.as("", "GET", "/v9//x", nil).want(404, `"code":10000`, "Unknown request")
	if r.header.Get("X-Vcap-Request-Id") == "" {
		t.Error("no request id")
	}
}

// TestPanicShowsNothing also shows that a handler which forgot to ask cannot commit.
func TestGuardIsTheLastWord(t *testing.T) {
	w := newWorld(t)
	w.s.compile([]Route{
		get("/panic", open(), func(*Ctx) error { panic("secret") }),
		post("/forgot", inBody(), func(c *Ctx) error {
			return c.Update(func(tx *store.Tx) error { return store.Orgs.Put(tx, &store.Org{Name: "smuggled"}) })
		}),
	})
	if r := w.as("", "GET", "/panic", nil).want(500, "10001"); strings.Contains(r.text, "secret") {
		t.Error(r.text)
	}
	w.as("nobody", "POST", "/forgot", nil).want(500)
	w.view(func(tx *store.Tx) error {
		if _, err := store.Orgs.Find(tx, "name", "smuggled"); err == nil {
			t.Error("committed without permission")
		}
		return nil
	})
	w.as("", "POST", "/forgot", nil).want(401, "10002")
	w.as("wrong", "POST", "/forgot", nil).want(401, "1000")
}

func TestRouteWithoutAccessDoesNotCompile(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("compiled")
		}
	}()
	(&Server{}).compile([]Route{{Method: http.MethodGet, Pattern: "/x"}})
}

func FuzzFilter(f *testing.F) {
	f.Add("names=a,b&label_selector=a in (b,c),!d&created_ats[gt]=2026-01-02T03:04:05Z&order_by=-name&page=3")
	f.Fuzz(func(t *testing.T, raw string) {
		fl, err := parseFilter(raw, params("names"), []string{"name"})
		if err != nil {
			return
		}
		if fl.Page < 1 || fl.PerPage < 1 || fl.PerPage > perPageMax {
			t.Errorf("%q: page %d of %d", raw, fl.Page, fl.PerPage)
		}
		fl.List("names")
		fl.Selector.Match(map[string]string{"a": "b"})
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"x","lifecycle":{"data":{"stack":null}},"relationships":{"space":{"data":{"guid":"g"}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b capi.AppCreate
		_ = decodeJSON(raw, &b)
	})
}
