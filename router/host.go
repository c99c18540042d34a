package router

import (
	"net/http"
	"strings"
)

// maxHostBytes is the longest name that DNS can carry (RFC 1035 2.3.4).
const maxHostBytes = 253

// normalHost returns the name in a Host header as routes spell it: lower case, without port and without
// the dot at the end. An IP address in brackets loses them. ok is false where no route could have the name.
// It does not allocate unless there are capitals to lower.
func normalHost(s string) (host string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || !isPort(s[end+1:]) {
			return "", false
		}
		s = s[1:end]
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		if !isPort(s[colon:]) {
			return "", false
		}
		s = s[:colon]
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxHostBytes {
		return "", false
	}
	for i := range len(s) {
		if !isHostByte(s[i]) {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// isPort reports whether s is empty or a colon with at most five digits.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > 6 {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isHostByte accepts letters, digits, hyphen, dot, underscore (seen in the wild) and colon (IPv6). Names
// in other scripts arrive as punycode; net/http refuses raw bytes before us.
func isHostByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == ':'
}

// routePath returns the path of r as it was sent, not decoded: %2F is not a segment boundary.
func routePath(r *http.Request) string {
	if !strings.HasPrefix(r.RequestURI, "/") {
		return r.URL.EscapedPath() // absolute form, or OPTIONS *
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return path
}
