package staticfile

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// configName is the configuration in the layer. What stands between @ signs is known at launch only.
const configName = "nginx.conf.in"

// site is all that the configuration is made of.
type site struct {
	Options
	AppDir, Root string
	Auth         bool
	NotFound     bool   // the site has a 404.html
	Tag          string // of the content, for ETag
}

// hidden are files that are part of the app but not of the site.
var hidden = []string{"Staticfile", "Staticfile.auth", "Procfile", "manifest.yml", "manifest.yaml", "buildpack.yml", "project.toml"}

var configTemplate = template.Must(template.New("nginx").Funcs(template.FuncMap{"quote": quote}).Parse(`@BROTLI_MODULE@
worker_processes 2;
daemon off;
pid @TEMP@/nginx.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  log_format routed '$http_x_forwarded_for - $http_referer - [$time_local] "$request" $status $body_bytes_sent';
  access_log /dev/stdout routed;
  client_body_temp_path @TEMP@/body;
  proxy_temp_path @TEMP@/proxy;
  fastcgi_temp_path @TEMP@/fastcgi;
  uwsgi_temp_path @TEMP@/uwsgi;
  scgi_temp_path @TEMP@/scgi;
  server_tokens off;
  absolute_redirect off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 120;
  gzip on;
  gzip_static on;
  gzip_vary on;
  gzip_proxied any;
  gzip_min_length 512;
  gzip_types text/plain text/css text/javascript application/javascript application/json application/xml application/wasm image/svg+xml font/ttf;
  @BROTLI@
  etag off;
  if_modified_since off;
{{- range .Maps}}
  map $uri {{.Variable}} {
{{- range .Lines}}
    {{.}}
{{- end}}
  }
{{- end}}
  server {
    listen @PORT@;
    root {{quote .Root}};
    index index.html index.htm;
{{- range .Pages}}
    error_page {{.Codes}} {{quote .Page}};
{{- end}}
    add_header ETag 'W/"{{.Tag}}"';
    add_header Last-Modified "";
{{- if .HSTS}}
    add_header Strict-Transport-Security {{quote .HSTS}} always;
{{- end}}
{{- range .Maps}}
    add_header {{.Header}} {{.Variable}} always;
{{- end}}
{{- if .ForceHTTPS}}
    if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }
{{- end}}
{{- if .Auth}}
    auth_basic "Restricted";
    auth_basic_user_file {{quote .AuthFile}};
{{- end}}
{{- range .Hidden}}
    location = {{quote .}} { return 404; }
{{- end}}
{{- if not .DotFiles}}
    location ~ /\.(?!well-known/) { return 404; }
{{- end}}
    location / {
{{- if not .Auth}}
      if ($http_if_none_match ~ "{{.Tag}}") { return 304; }
{{- end}}
{{- if .PushState}}
      try_files $uri $uri/ /index.html;
{{- end}}
{{- if .Directory}}
      autoindex on;
{{- end}}
{{- if .SSI}}
      ssi on;
{{- end}}
{{- if .Include}}
      include {{quote .Include}};
{{- end}}
    }
  }
}
`))

// headerMap gives a header its value by the path.
type headerMap struct {
	Header, Variable string
	Lines            []string
}

func (s *site) config() (string, error) {
	data := struct {
		*site
		Maps     []headerMap
		Pages    []StatusPage
		Hidden   []string
		AuthFile string
		Include  string
	}{site: s, Pages: s.StatusCodes, AuthFile: filepath.Join(s.AppDir, "Staticfile.auth")}
	var err error
	if data.Maps, err = s.headerMaps(); err != nil {
		return "", err
	}
	if s.NotFound && !s.handles404() {
		data.Pages = append(append([]StatusPage{}, data.Pages...), StatusPage{"404", "/404.html"})
	}
	if s.Root == s.AppDir {
		for _, name := range hidden {
			data.Hidden = append(data.Hidden, "/"+name)
		}
	}
	if s.LocationInclude != "" {
		data.Include = filepath.Join(s.AppDir, "nginx", "conf", s.LocationInclude)
	}
	for _, path := range []string{s.Root, s.AppDir} {
		if strings.ContainsAny(path, "@\"\n$") {
			return "", fmt.Errorf("the folder's name %q has signs that nginx can't take: rename it", path)
		}
	}
	var b strings.Builder
	err = configTemplate.Execute(&b, data)
	return b.String(), err
}

func (s *site) handles404() bool {
	for _, p := range s.StatusCodes {
		if strings.Contains(p.Codes, "404") {
			return true
		}
	}
	return false
}

// headerMaps groups the headers by name: those for some paths come first, since the first that matches wins.
func (s *site) headerMaps() ([]headerMap, error) {
	var maps []headerMap
	index := map[string]int{}
	for _, h := range s.Headers {
		if strings.ContainsAny(h.Value, "\n\r\x00") || strings.Contains(h.Value, "$") || strings.Contains(h.Value, "@") {
			return nil, fmt.Errorf("the Staticfile: the value of the header %s has a line break, $ or @, which is not possible", h.Name)
		}
		name := strings.ToLower(h.Name)
		i, ok := index[name]
		if !ok {
			i = len(maps)
			index[name] = i
			maps = append(maps, headerMap{Header: h.Name, Variable: fmt.Sprintf("$header_%d", i)})
		}
		key := "default"
		if h.Pattern != "" {
			key = quote("~" + pathPattern(h.Pattern))
		}
		maps[i].Lines = append(maps[i].Lines, key+" "+quote(h.Value)+";")
	}
	return maps, nil
}

// pathPattern is a pattern with * and a leading slash or not as a regular expression for nginx.
func pathPattern(p string) string {
	expr := strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*")
	if strings.HasPrefix(p, "/") {
		return "^" + expr + "$"
	}
	return "/" + expr + "$"
}

// quote makes a parameter for nginx's configuration.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ").Replace(s) + `"`
}
