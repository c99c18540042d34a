package staticfile

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// Options are what a Staticfile can say. The zero value is a plain site.
type Options struct {
	Root            string
	Directory       bool // list folders that have no index.html
	PushState       bool // unknown paths get /index.html
	ForceHTTPS      bool
	DotFiles        bool // serve files whose names begin with a dot
	SSI             bool
	HSTS            string // value of Strict-Transport-Security, or ""
	LocationInclude string // nginx configuration of the app's own, below nginx/conf
	StatusCodes     []StatusPage
	Headers         []Header
}

// StatusPage is what is served for status codes.
type StatusPage struct{ Codes, Page string }

// Header is a response header for paths that match a pattern; "" matches all.
type Header struct{ Pattern, Name, Value string }

func readOptions(c *cnb.Context) (*Options, error) {
	text, err := os.ReadFile(c.Path("Staticfile"))
	if errors.Is(err, os.ErrNotExist) {
		return &Options{}, nil
	}
	if err != nil {
		return nil, err
	}
	opts, unknown, err := parseOptions(text)
	if err != nil {
		return nil, fmt.Errorf("the Staticfile: %w", err)
	}
	for _, key := range unknown {
		c.Log.Warn("Staticfile: the option %q is not known", key)
	}
	return opts, nil
}

// parseOptions reads a Staticfile, and lists the keys that it doesn't know.
func parseOptions(text []byte) (*Options, []string, error) {
	raw := map[string]yaml.Node{}
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, nil, err
	}
	o := &Options{}
	var unknown []string
	var hsts [3]bool
	for _, key := range sortedKeys(raw) {
		node := raw[key]
		var err error
		switch key {
		case "root":
			o.Root = strings.TrimPrefix(node.Value, "/")
		case "directory":
			o.Directory = node.Value != "" && !isFalse(node.Value)
		case "pushstate":
			o.PushState = isTrue(node.Value)
		case "force_https":
			o.ForceHTTPS = isTrue(node.Value)
		case "host_dot_files":
			o.DotFiles = isTrue(node.Value)
		case "ssi":
			o.SSI = isTrue(node.Value)
		case "http_strict_transport_security":
			hsts[0] = isTrue(node.Value)
		case "http_strict_transport_security_include_subdomains":
			hsts[1] = isTrue(node.Value)
		case "http_strict_transport_security_preload":
			hsts[2] = isTrue(node.Value)
		case "location_include":
			o.LocationInclude, err = safeInclude(node.Value)
		case "status_codes":
			o.StatusCodes, err = statusPages(&node)
		case "headers":
			o.Headers, err = headers(&node)
		case "enable_http2": // the router speaks HTTP/2, nginx need not
		default:
			unknown = append(unknown, key)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %s: %w", node.Line, key, err)
		}
	}
	o.HSTS = hstsValue(hsts)
	return o, unknown, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "enabled", "true", "yes", "on", "visible":
		return true
	}
	return false
}

func isFalse(s string) bool {
	switch strings.ToLower(s) {
	case "disabled", "false", "no", "off", "hidden":
		return true
	}
	return false
}

func hstsValue(on [3]bool) string {
	if !on[0] {
		return ""
	}
	v := "max-age=31536000"
	if on[1] || on[2] {
		v += "; includeSubDomains"
	}
	if on[2] {
		v += "; preload"
	}
	return v
}

var includePath = regexp.MustCompile(`^[A-Za-z0-9_./*-]+$`)

func safeInclude(s string) (string, error) {
	if !includePath.MatchString(s) || strings.Contains(s, "..") || strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("%q is not a path below nginx/conf", s)
	}
	return s, nil
}

var statusCodes = regexp.MustCompile(`^[3-5][0-9][0-9]( +[3-5][0-9][0-9])*$`)

// statusPages reads a map such as {404: /404.html} or {"500 502": /oops.html}; "4xx" stands for the usual codes.
func statusPages(node *yaml.Node) ([]StatusPage, error) {
	m := map[string]string{}
	if err := node.Decode(&m); err != nil {
		return nil, errors.New("must map status codes to pages, such as 404: /404.html")
	}
	classes := map[string]string{"4xx": "400 401 403 404 405 408 410 413 414", "5xx": "500 502 503 504"}
	var pages []StatusPage
	for _, codes := range sortedKeys(m) {
		page := "/" + strings.TrimLeft(m[codes], "/")
		if class, ok := classes[strings.ToLower(codes)]; ok {
			codes = class
		}
		if !statusCodes.MatchString(codes) {
			return nil, fmt.Errorf("%q is not a status code between 300 and 599", codes)
		}
		pages = append(pages, StatusPage{Codes: codes, Page: page})
	}
	return pages, nil
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// headers reads {Name: value} for all paths and {"/path/*": {Name: value}} for some; longer patterns win.
func headers(node *yaml.Node) ([]Header, error) {
	m := map[string]yaml.Node{}
	if err := node.Decode(&m); err != nil {
		return nil, errors.New("must map names to values, such as X-Frame-Options: DENY")
	}
	var list []Header
	for _, key := range sortedKeys(m) {
		value := m[key]
		if value.Kind == yaml.ScalarNode {
			list = append(list, Header{Name: key, Value: value.Value})
			continue
		}
		inner := map[string]string{}
		if err := value.Decode(&inner); err != nil {
			return nil, fmt.Errorf("%q must be a value, or a map of headers for that path", key)
		}
		for _, name := range sortedKeys(inner) {
			list = append(list, Header{Pattern: key, Name: name, Value: inner[name]})
		}
	}
	for _, h := range list {
		if !headerName.MatchString(h.Name) {
			return nil, fmt.Errorf("%s is not a name of a header", strconv.Quote(h.Name))
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return len(list[i].Pattern) > len(list[j].Pattern) })
	return list, nil
}
