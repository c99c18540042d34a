package staticfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

const everything = `
root: public
directory: visible
ssi: enabled
pushstate: enabled
force_https: true
host_dot_files: true
location_include: includes/*.conf
http_strict_transport_security: true
http_strict_transport_security_preload: true
status_codes:
  404: /404.html
  5xx: oops.html
headers:
  X-Frame-Options: DENY
  "/assets/*":
    Cache-Control: max-age=60
  "/assets/fonts/*":
    Cache-Control: max-age=3600
unheard_of: 1
`

func TestParseOptions(t *testing.T) {
	o, unknown, err := parseOptions([]byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	if len(unknown) != 1 || unknown[0] != "unheard_of" {
		t.Errorf("unknown = %q", unknown)
	}
	if o.Root != "public" || !o.Directory || !o.SSI || !o.PushState || !o.ForceHTTPS || !o.DotFiles || o.LocationInclude == "" {
		t.Errorf("got %+v", o)
	}
	if want := "max-age=31536000; includeSubDomains; preload"; o.HSTS != want {
		t.Errorf("HSTS = %q, want %q", o.HSTS, want)
	}
	if len(o.StatusCodes) != 2 || o.StatusCodes[1].Page != "/oops.html" || !strings.Contains(o.StatusCodes[1].Codes, "503") {
		t.Errorf("status codes = %+v", o.StatusCodes)
	}
	if len(o.Headers) != 3 || o.Headers[0].Pattern != "/assets/fonts/*" || o.Headers[2].Name != "X-Frame-Options" {
		t.Errorf("headers = %+v, want the longest pattern first", o.Headers)
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not YAML":       "root: [",
		"include out":    "location_include: ../../etc/*.conf",
		"include quoted": "location_include: \"a;b\"",
		"bad code":       "status_codes: {200: /x}",
		"bad header":     "headers: {\"X; evil\": 1}",
		"header list":    "headers: [a]",
	} {
		if _, _, err := parseOptions([]byte(text)); err == nil {
			t.Errorf("%s: %q was taken", name, text)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add([]byte(everything))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, _, err := parseOptions(text)
		if err != nil {
			return
		}
		s := site{Options: *o, AppDir: "/home/vcap/app", Root: "/home/vcap/app/public", Tag: "t"}
		config, err := s.config()
		if err != nil {
			return
		}
		// Braces outside of quotes balance whatever the options say.
		if open, shut := unquoted(config, '{'), unquoted(config, '}'); open != shut {
			t.Errorf("%q makes a configuration with %d { and %d }", text, open, shut)
		}
	})
}

func unquoted(s string, b byte) int {
	n, in := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case in && s[i] == '\\':
			i++
		case s[i] == '"':
			in = !in
		case !in && s[i] == b:
			n++
		}
	}
	return n
}

func TestConfig(t *testing.T) {
	o, _, err := parseOptions([]byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	s := site{Options: *o, AppDir: "/app", Root: "/app/public", NotFound: true, Tag: "abc"}
	full, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`root "/app/public";`, "autoindex on;", "ssi on;", "try_files $uri $uri/ /index.html;", "return 301 https://",
		`include "/app/nginx/conf/includes/*.conf";`, `error_page 404 "/404.html";`, `"~^/assets/fonts/.*$" "max-age=3600";`,
		`default "DENY";`, `ETag 'W/"abc"'`, "listen @PORT@;",
	} {
		if !strings.Contains(full, want) {
			t.Errorf("the configuration lacks %s", want)
		}
	}
	if n := strings.Count(full, "error_page 404"); n != 1 {
		t.Errorf("404 is handled %d times", n)
	}
	plain, err := (&site{AppDir: "/app", Root: "/app", Auth: true}).config()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`location = "/Staticfile.auth" { return 404; }`, "auth_basic ", `location ~ /\.`} {
		if !strings.Contains(plain, want) {
			t.Errorf("the plain configuration lacks %s", want)
		}
	}
	for _, not := range []string{"try_files", "autoindex", "https://", "return 304"} {
		if strings.Contains(plain, not) {
			t.Errorf("the plain configuration has %s", not)
		}
	}
}

func TestFill(t *testing.T) {
	got, err := fill("@BROTLI_MODULE@|@BROTLI@|@PORT@|@TEMP@", "1234", "/tmp/x", true)
	if want := "load_module " + brotliModule + ";|brotli_static on;|1234|/tmp/x"; err != nil || got != want {
		t.Errorf("fill = %q, %v, want %q", got, err, want)
	}
	if got, err := fill("@PORT@", "", "", false); err != nil || got != "8080" {
		t.Errorf("without PORT: %q, %v", got, err)
	}
	for _, port := range []string{"x", "0", "70000", "80; evil"} {
		if _, err := fill("", port, "", false); err == nil {
			t.Errorf("the port %q was taken", port)
		}
	}
}

func TestFindRoot(t *testing.T) {
	for _, c := range []struct {
		files []string
		opts  Options
		want  string
	}{
		{[]string{"index.html", "public/index.html"}, Options{}, "."},
		{[]string{"dist/index.html", "build/index.html"}, Options{}, "dist"},
		{[]string{"a.txt"}, Options{}, "."},
		{[]string{"site/x.html"}, Options{Root: "site/"}, "site"},
		{[]string{"site/x.html"}, Options{Root: "other"}, ""},
		{[]string{"site/x.html"}, Options{Root: "../.."}, ""},
	} {
		dir := t.TempDir()
		for _, f := range c.files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := findRoot(&cnb.Context{AppDir: dir}, &c.opts)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v with root %q: %q, %v, want %q", c.files, c.opts.Root, got, err, c.want)
		}
	}
}

func TestContentTagChangesWithContent(t *testing.T) {
	dir := t.TempDir()
	tag := func(text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := contentTag(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if a, b := tag("aa"), tag("ab"); a == b {
		t.Error("two files of one size have one tag")
	}
}
