package capi

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a server that a test gives its answers; / leads to itself.
type fake struct {
	*httptest.Server
	mux *http.ServeMux
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{mux: http.NewServeMux()}
	f.Server = httptest.NewServer(f.mux)
	t.Cleanup(f.Close)
	f.on("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, Root{Links: map[string]*RootLink{"cloud_controller_v3": {Href: f.URL + "/v3"}, "login": {Href: f.URL}, "log_cache": {Href: f.URL}, "routing": nil}})
	})
	return f
}

func (f *fake) on(pattern string, h http.HandlerFunc) { f.mux.HandleFunc(pattern, h) }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// jwtFor is a token that ends then; nobody here verifies it.
func jwtFor(ends time.Time, jti string) string {
	claims, _ := json.Marshal(Claims{UserName: "marie", UserID: "u", ExpiresAt: ends.Unix(), JTI: jti, Revocable: true})
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".sig"
}

var later = time.Now().Add(time.Hour)

func (f *fake) client(t *testing.T, change ...func(*ClientOptions)) *Client {
	t.Helper()
	o := ClientOptions{API: f.URL, Token: Token{AccessToken: jwtFor(later, "1"), RefreshToken: "refresh"}}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPIAddress(t *testing.T) {
	for in, want := range map[string]string{
		"api.example.com": "https://api.example.com", "https://api.x:8443/": "https://api.x:8443", "http://localhost:1": "http://localhost:1",
		"": "", "ftp://x": "", "https://": "", "https://a:b@x": "",
	} {
		c, err := New(ClientOptions{API: in})
		if (err == nil) != (want != "") || err == nil && c.API() != want {
			t.Errorf("New(%q): %v, %v, want %q", in, c, err, want)
		}
	}
}

func TestRequestsCarryTokenAndWarnings(t *testing.T) {
	f := newFake(t)
	f.on("GET /v3/apps/{guid}", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "bearer e30.") || r.Header.Get("User-Agent") != "test/1" {
			t.Errorf("header %v", r.Header)
		}
		w.Header().Set("X-Cf-Warnings", "one%2C+two,three")
		reply(w, 200, App{Name: "a", Resource: Resource{GUID: r.PathValue("guid")}})
	})
	var warnings []string
	c := f.client(t, func(o *ClientOptions) {
		o.UserAgent, o.Warnings = "test/1", func(w string) { warnings = append(warnings, w) }
	})
	app, err := c.App(t.Context(), "g")
	if err != nil || app.GUID != "g" || strings.Join(warnings, "|") != "one, two|three" {
		t.Errorf("%+v, %v, warnings %q", app, err, warnings)
	}
}

func TestErrorsOfTheAPI(t *testing.T) {
	f := newFake(t)
	f.on("GET /v3/apps/one", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 404, Errors{Errors: []*Error{NotFound("App")}})
	})
	f.on("GET /v3/apps/two", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 422, Errors{Errors: []*Error{Invalid("a"), Invalid("b")}})
	})
	f.on("GET /v3/apps/html", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c := f.client(t)
	_, err := c.App(t.Context(), "one")
	var e *Error
	if !errors.As(err, &e) || e.Status != 404 || !errors.Is(err, ResourceNotFound) || err.Error() != "App not found" {
		t.Errorf("one: %v", err)
	}
	if _, err = c.App(t.Context(), "two"); err == nil || err.Error() != "a; b" || !errors.Is(err, UnprocessableEntity) {
		t.Errorf("two: %v", err)
	}
	if _, err = c.App(t.Context(), "html"); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("html: %v", err)
	}
	if _, err = c.App(t.Context(), "missing"); !errors.Is(err, UnknownRequest) {
		t.Errorf("missing: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := New(ClientOptions{API: "http://api.cupola.localhost:" + strings.Split(l.Addr().String(), ":")[1]})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Root(t.Context())
	var ce *ConnectError
	if !errors.As(err, &ce) || !strings.Contains(err.Error(), "cannot reach http://api.cupola.localhost:") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v, want a sentence that names the API", err)
	}
}

func TestLocalhostNamesAndCertificates(t *testing.T) {
	f := newFake(t)
	secure := httptest.NewUnstartedServer(f.mux)
	secure.StartTLS()
	defer secure.Close()
	_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(host string, change func(*ClientOptions)) error {
		o := ClientOptions{API: "https://" + host + ":" + port}
		change(&o)
		c, err := New(o)
		if err != nil {
			return err
		}
		_, err = c.Root(t.Context())
		return err
	}
	if err := ask("api.cupola.localhost", func(o *ClientOptions) { o.SkipVerify = true }); err != nil {
		t.Errorf("a name under localhost: %v", err)
	}
	if err := ask("127.0.0.1", func(*ClientOptions) {}); err == nil || !strings.Contains(err.Error(), "--skip-ssl-validation") {
		t.Errorf("unknown authority: %v", err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := ask("127.0.0.1", func(o *ClientOptions) { o.CAPEM = ca }); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	if err := ask("other.localhost", func(o *ClientOptions) { o.CAPEM = ca }); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Errorf("another name: %v", err)
	}
	if err := ask("127.0.0.1", func(o *ClientOptions) { o.CAPEM = []byte("x") }); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("not PEM: %v", err)
	}
}

func TestNotAnAPI(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	c, err := New(ClientOptions{API: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Root(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a Cloud Foundry API") {
		t.Errorf("%v", err)
	}
}

// tokens counts refreshes and gives out numbered tokens.
func (f *fake) tokens(t *testing.T) *atomic.Int32 {
	var n atomic.Int32
	f.on("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		switch grant := r.FormValue("grant_type"); {
		case !ok || id != "cf" || secret != "":
			t.Errorf("client %s, %s", id, secret)
		case grant == "refresh_token" && r.FormValue("refresh_token") != "refresh", grant == "password" && r.FormValue("password") != "right":
			reply(w, 401, TokenError{Code: "unauthorized", Description: "Bad credentials"})
			return
		}
		reply(w, 200, Token{AccessToken: jwtFor(later, fmt.Sprint(n.Add(1)+1)), RefreshToken: "refresh", TokenType: "bearer"})
	})
	return &n
}

func TestTokenIsRenewed(t *testing.T) {
	for _, c := range []struct {
		name   string
		token  Token
		status int // of the API for the first token
		want   int32
		err    error
	}{
		{"good", Token{AccessToken: jwtFor(later, "1"), RefreshToken: "refresh"}, 200, 0, nil},
		{"about to end", Token{AccessToken: jwtFor(time.Now().Add(30*time.Second), "1"), RefreshToken: "refresh"}, 200, 1, nil},
		{"refused", Token{AccessToken: jwtFor(later, "1"), RefreshToken: "refresh"}, 401, 1, nil},
		{"ended for good", Token{AccessToken: jwtFor(time.Now(), "1"), RefreshToken: "old"}, 200, 0, ErrNotLoggedIn},
		{"none", Token{}, 200, 0, ErrNotLoggedIn},
		{"refused without refresh token", Token{AccessToken: jwtFor(later, "1")}, 401, 0, InvalidAuthToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			n := f.tokens(t)
			f.on("GET /v3/apps/g", func(w http.ResponseWriter, r *http.Request) {
				claims, _ := ParseClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "bearer "))
				if claims.JTI == "1" && c.status == 401 {
					reply(w, 401, Errors{Errors: []*Error{InvalidAuthToken.Errorf("Invalid Auth Token")}})
					return
				}
				reply(w, 200, App{})
			})
			saved := 0
			client := f.client(t, func(o *ClientOptions) { o.Token, o.OnToken = c.token, func(Token) { saved++ } })
			_, err := client.App(t.Context(), "g")
			if !errors.Is(err, c.err) || c.err == nil && err != nil || n.Load() != c.want || int32(saved) != c.want {
				t.Errorf("%v, %d renewals, %d saved, want %v and %d", err, n.Load(), saved, c.err, c.want)
			}
		})
	}
}

func TestLoginAndLogout(t *testing.T) {
	f := newFake(t)
	f.tokens(t)
	revoked := ""
	f.on("DELETE /oauth/token/revoke/{jti}", func(w http.ResponseWriter, r *http.Request) {
		revoked = r.PathValue("jti")
		reply(w, 200, struct{}{})
	})
	c := f.client(t, func(o *ClientOptions) { o.Token = Token{} })
	var refused *TokenError
	if _, err := c.Login(t.Context(), "marie", "wrong"); !errors.As(err, &refused) || err.Error() != "Bad credentials" {
		t.Errorf("wrong password: %v", err)
	}
	token, err := c.Login(t.Context(), "marie", "right")
	if err != nil || token.RefreshToken != "refresh" {
		t.Fatalf("%+v, %v", token, err)
	}
	if claims, err := c.Claims(t.Context()); err != nil || claims.UserName != "marie" {
		t.Errorf("claims %+v, %v", claims, err)
	}
	if err := c.Logout(t.Context()); err != nil || revoked != "2" {
		t.Errorf("logout: %v, revoked %q", err, revoked)
	}
	if _, err := c.AccessToken(t.Context()); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("after logout: %v", err)
	}
}

func TestListFollowsPagesOnItsOwnHost(t *testing.T) {
	f := newFake(t)
	f.on("GET /v3/apps", func(w http.ResponseWriter, r *http.Request) {
		if names := r.URL.Query().Get("names"); names != "a%2Cb%25,c" {
			t.Errorf("names=%q", names)
		}
		list := List[App]{Resources: Array[App]{{Name: "p" + r.URL.Query().Get("page")}}}
		if r.URL.Query().Get("page") == "" {
			next := *r.URL
			q := next.Query()
			q.Set("page", "2")
			list.Pagination.Next = &Link{Href: "https://elsewhere.example" + next.Path + "?" + q.Encode()}
		}
		reply(w, 200, list)
	})
	apps, err := f.client(t).Apps(t.Context(), Filter{"names": {"a,b%", "c"}})
	if err != nil || len(apps) != 2 || apps[1].Name != "p2" {
		t.Errorf("%+v, %v", apps, err)
	}
}

func TestByName(t *testing.T) {
	f := newFake(t)
	f.on("GET /v3/spaces", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("per_page") != "1" || q.Get("organization_guids") != "o" {
			t.Errorf("query %v", q)
		}
		reply(w, 200, List[Space]{})
	})
	_, err := f.client(t).SpaceByName(t.Context(), "o", "dev")
	if !errors.Is(err, ResourceNotFound) || err.Error() != "Space 'dev' not found." {
		t.Errorf("%v", err)
	}
}

func TestJobs(t *testing.T) {
	f := newFake(t)
	looks := 0
	f.on("DELETE /v3/apps/{guid}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://elsewhere.example/v3/jobs/"+r.PathValue("guid"))
		w.WriteHeader(202)
	})
	f.on("GET /v3/jobs/{guid}", func(w http.ResponseWriter, r *http.Request) {
		job := Job{State: JobProcessing}
		if looks++; looks > 1 {
			job = Job{State: JobComplete, Warnings: Array[JobWarning]{{Detail: "careful"}}}
		}
		if r.PathValue("guid") == "bad" {
			job = Job{State: JobFailed, Errors: Array[*Error]{Invalid("it is mapped")}}
		}
		reply(w, 200, job)
	})
	var warning string
	c := f.client(t, func(o *ClientOptions) { o.Warnings = func(w string) { warning = w } })
	if err := c.DeleteApp(t.Context(), "good"); err != nil || looks != 2 || warning != "careful" {
		t.Errorf("%v after %d looks, warning %q", err, looks, warning)
	}
	if err := c.DeleteApp(t.Context(), "bad"); !errors.Is(err, UnprocessableEntity) || err.Error() != "it is mapped" {
		t.Errorf("%v", err)
	}
}

func TestReadsAreTriedAgain(t *testing.T) {
	f := newFake(t)
	gets, posts := 0, 0
	f.on("GET /v3/apps/g", func(w http.ResponseWriter, _ *http.Request) {
		if gets++; gets == 1 {
			w.WriteHeader(503)
			return
		}
		if gets == 2 {
			panic(http.ErrAbortHandler)
		}
		reply(w, 200, App{Name: "a"})
	})
	f.on("POST /v3/apps", func(w http.ResponseWriter, _ *http.Request) { posts++; w.WriteHeader(503) })
	c := f.client(t)
	if app, err := c.App(t.Context(), "g"); err != nil || app.Name != "a" {
		t.Errorf("%+v, %v after %d tries", app, err, gets)
	}
	if _, err := c.CreateApp(t.Context(), AppCreate{Name: "a"}); err == nil || posts != 1 {
		t.Errorf("%v after %d posts, want one", err, posts)
	}
}

func TestUpload(t *testing.T) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	entry, err := z.Create("a.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(entry, strings.Repeat("x", 100_000))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.on("POST /v3/packages/g/upload", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 {
			t.Errorf("no Content-Length")
		}
		parts, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		first, err := parts.NextPart()
		if err != nil || first.FormName() != "resources" {
			t.Errorf("the first part is %v, %v", first, err)
		}
		second, err := parts.NextPart()
		if err != nil || second.FormName() != "bits" || second.FileName() != "package.zip" {
			t.Errorf("the second part is %v, %v", second, err)
			return
		}
		got, err := io.ReadAll(second)
		if err != nil || !bytes.Equal(got, archive.Bytes()) {
			t.Errorf("%d bytes, %v, want %d", len(got), err, archive.Len())
		}
		reply(w, 200, Package{Resource: Resource{GUID: "g"}, State: "PROCESSING_UPLOAD"})
	})
	f.on("GET /v3/packages/g", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, Package{Resource: Resource{GUID: "g"}, State: "READY"})
	})
	sent := int64(0)
	p, err := f.client(t).UploadPackage(t.Context(), "g", Upload{
		Resources: []ResourceMatch{{Path: "b", SizeInBytes: 1}}, Bits: bytes.NewReader(archive.Bytes()), Size: int64(archive.Len()),
		Progress: func(n int64) { sent = n },
	})
	if err != nil || p.State != "READY" || sent != int64(archive.Len()) {
		t.Errorf("%+v, %v, %d bytes told", p, err, sent)
	}
}

func TestBuildThatFails(t *testing.T) {
	f := newFake(t)
	text := "NoAppDetectedError - nothing fits"
	f.on("GET /v3/builds/g", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, Build{State: "FAILED", Error: &text}) })
	if _, err := f.client(t).WaitBuild(t.Context(), "g"); !errors.Is(err, StagingError) || err.Error() != text {
		t.Errorf("%v", err)
	}
}

func TestTailLogs(t *testing.T) {
	f := newFake(t)
	held := make(chan struct{})
	f.on("GET /api/v1/read/app", func(w http.ResponseWriter, r *http.Request) {
		line := func(at int64) Envelope {
			return Envelope{Timestamp: at, SourceID: "app", Log: &LogLine{Payload: fmt.Appendf(nil, "line %d", at), Type: "OUT"}}
		}
		var read LogRead
		switch start := r.URL.Query().Get("start_time"); start {
		case "5":
			read.Envelopes.Batch = Array[Envelope]{line(5), line(6)}
		case "7":
			<-held // the server holds the read until there is news
			read.Envelopes.Batch = Array[Envelope]{line(7)}
		default:
			<-r.Context().Done()
			return
		}
		reply(w, 200, read)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []string
	err := f.client(t).TailLogs(ctx, "app", time.Unix(0, 5), func(e Envelope) error {
		if seen = append(seen, string(e.Log.Payload)); len(seen) == 2 {
			close(held)
		} else if len(seen) == 3 {
			cancel()
		}
		return nil
	})
	if err != nil || strings.Join(seen, ",") != "line 5,line 6,line 7" {
		t.Errorf("%v: %q", err, seen)
	}
}

func TestTailLogsGivesUp(t *testing.T) {
	f := newFake(t)
	reads := 0
	f.on("GET /api/v1/read/app", func(w http.ResponseWriter, _ *http.Request) { reads++; w.WriteHeader(404) })
	err := f.client(t).TailLogs(t.Context(), "app", time.Now(), func(Envelope) error { return nil })
	if err == nil || reads != logErrors {
		t.Errorf("%v after %d reads, want an error after %d", err, reads, logErrors)
	}
}

func TestDo(t *testing.T) {
	f := newFake(t)
	f.on("POST /v3/x", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(418)
		fmt.Fprintf(w, "%s %s %s", body, r.Header.Get("X-Mine"), url.QueryEscape(r.URL.RawQuery))
	})
	resp, err := f.client(t).Do(t.Context(), "POST", "v3/x?a=b", http.Header{"X-Mine": {"y"}}, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 418 || string(got) != "hello y a%3Db" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
}
