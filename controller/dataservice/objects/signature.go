package objects

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature Version 4 (Amazon S3 API Reference, "Authenticating Requests"), in headers or, presigned, in the query.
const (
	algorithm   = "AWS4-HMAC-SHA256"
	timeFormat  = "20060102T150405Z"
	maxSkew     = 15 * time.Minute
	maxPresign  = 7 * 24 * time.Hour
	unsigned    = "UNSIGNED-PAYLOAD"
	shaHeader   = "X-Amz-Content-Sha256"
	dateHeader  = "X-Amz-Date"
	scopeEnding = "aws4_request"
)

// signature is what a request shows.
type signature struct {
	keyID, day, region string
	signed             []string // names of headers, in lower case
	value              string   // hexadecimal
	at                 time.Time
	payload            string // hash of the content, or how that is told
	presigned          bool
	key                []byte // that chunks are signed with; set when the signature holds
}

func (g *signature) scope() string {
	return strings.Join([]string{g.day, g.region, "s3", scopeEnding}, "/")
}

// authenticate says who asks, or a failure.
func (h *Handler) authenticate(r *http.Request) (*signature, error) {
	g, err := readSignature(r)
	if err != nil {
		return nil, err
	}
	if err := g.inTime(r, time.Now()); err != nil {
		return nil, err
	}
	c := h.config.Load()
	secret, known := c.secret(g.keyID)
	if !known {
		return nil, fail(http.StatusForbidden, "InvalidAccessKeyId", "The access key is not one of this bucket, or not any more.")
	}
	if g.region != c.Region {
		return nil, fail(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The region is "+c.Region+".")
	}
	g.key = signingKey(secret, g.day, g.region)
	if !hmac.Equal([]byte(hexMAC(g.key, g.stringToSign(r))), []byte(g.value)) {
		return nil, fail(http.StatusForbidden, "SignatureDoesNotMatch", "The signature is not that of the request: look at the secret key and the clock.")
	}
	return g, nil
}

func readSignature(r *http.Request) (*signature, error) {
	if r.URL.Query().Get("X-Amz-Algorithm") != "" {
		return readPresigned(r)
	}
	bad := fail(http.StatusForbidden, "AccessDenied", "Sign the request with the credentials of a binding, by signature version 4.")
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm)
	if !ok {
		return nil, bad
	}
	g := &signature{payload: r.Header.Get(shaHeader)}
	var scope string
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope = value
		case "SignedHeaders":
			g.signed = strings.Split(value, ";")
		case "Signature":
			g.value = value
		}
	}
	if !g.parseScope(scope) || g.payload == "" || g.value == "" || !g.signsEnough(r) {
		return nil, bad
	}
	var err error
	if g.at, err = time.Parse(timeFormat, r.Header.Get(dateHeader)); err != nil {
		return nil, fail(http.StatusForbidden, "AccessDenied", "The header x-amz-date is missing or no date.")
	}
	return g, nil
}

func readPresigned(r *http.Request) (*signature, error) {
	q := r.URL.Query()
	bad := fail(http.StatusBadRequest, "AuthorizationQueryParametersError", "The signature in the query is not complete.")
	g := &signature{signed: strings.Split(q.Get("X-Amz-SignedHeaders"), ";"), value: q.Get("X-Amz-Signature"), payload: unsigned, presigned: true}
	if sum := r.Header.Get(shaHeader); sum != "" {
		g.payload = sum
	}
	if q.Get("X-Amz-Algorithm") != algorithm || !g.parseScope(q.Get("X-Amz-Credential")) || g.value == "" || !g.signsEnough(r) {
		return nil, bad
	}
	var err error
	if g.at, err = time.Parse(timeFormat, q.Get("X-Amz-Date")); err != nil {
		return nil, bad
	}
	return g, nil
}

// parseScope reads KEY/DAY/REGION/s3/aws4_request.
func (g *signature) parseScope(text string) bool {
	parts := strings.Split(text, "/")
	if len(parts) != 5 || parts[3] != "s3" || parts[4] != scopeEnding {
		return false
	}
	g.keyID, g.day, g.region = parts[0], parts[1], parts[2]
	return true
}

// signsEnough: the host and all that changes what is asked must be signed; the content's hash is so by itself.
func (g *signature) signsEnough(r *http.Request) bool {
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && name != "x-amz-content-sha256" && !slices.Contains(g.signed, name) {
			return false
		}
	}
	return slices.Contains(g.signed, "host")
}

func (g *signature) inTime(r *http.Request, now time.Time) error {
	if g.at.Format("20060102") != g.day {
		return fail(http.StatusForbidden, "SignatureDoesNotMatch", "The day of the credential is not that of the date.")
	}
	if !g.presigned {
		if now.Sub(g.at).Abs() > maxSkew {
			return fail(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the clocks is too large.")
		}
		return nil
	}
	seconds, err := strconv.Atoi(r.URL.Query().Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresign {
		return fail(http.StatusBadRequest, "AuthorizationQueryParametersError", "X-Amz-Expires must be from 1 to 604800 seconds.")
	}
	if now.Before(g.at.Add(-maxSkew)) || now.After(g.at.Add(time.Duration(seconds)*time.Second)) {
		return fail(http.StatusForbidden, "AccessDenied", "Request has expired.")
	}
	return nil
}

func (g *signature) stringToSign(r *http.Request) string {
	sum := sha256.Sum256([]byte(g.canonical(r)))
	return strings.Join([]string{algorithm, g.at.Format(timeFormat), g.scope(), hex.EncodeToString(sum[:])}, "\n")
}

// canonical is the request as it is signed ("Task 1: Create a Canonical Request").
func (g *signature) canonical(r *http.Request) string {
	var headers strings.Builder
	for _, name := range g.signed {
		headers.WriteString(name + ":" + signedHeader(r, name) + "\n")
	}
	return strings.Join([]string{
		r.Method, encodeURI(r.URL.Path, true), canonicalQuery(r.URL.Query()), headers.String(), strings.Join(g.signed, ";"), g.payload,
	}, "\n")
}

func signedHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	case "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

func canonicalQuery(q url.Values) string {
	var pairs []string
	for name, values := range q {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, v := range values {
			pairs = append(pairs, encodeURI(name, false)+"="+encodeURI(v, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// encodeURI escapes all but RFC 3986's unreserved characters, and the slash of paths.
func encodeURI(s string, path bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0, path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexMAC(key []byte, text string) string { return hex.EncodeToString(mac(key, text)) }

func signingKey(secret, day, region string) []byte {
	return mac(mac(mac(mac([]byte("AWS4"+secret), day), region), "s3"), scopeEnding)
}
