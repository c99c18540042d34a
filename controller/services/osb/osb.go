// Package osb is a client of the Open Service Broker API 2.17: it asks brokers for their catalog and to make, change,
// bind and delete service instances, and says of every failure what the specification lets the platform conclude.
//
// It knows HTTP and JSON, no records: who calls it keeps what it returns. A broker is a stranger: its answers are
// bounded in size and time and are checked before they are believed.
package osb

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Version is what we speak (OSB, API Version Header). Brokers of an older 2.x leave out what they don't know.
const Version = "2.17"

// answerBytes is the most that a broker may answer.
const answerBytes = 4 << 20

// DefaultTimeout ends a request that a broker does not answer.
const DefaultTimeout = time.Minute

// connectTries is how often a request is sent whose connection could not be made, so that a broker that is being
// restarted is not a broker that is gone. Nothing has reached it then.
const connectTries = 3

// Broker is where a broker is and how we log in (OSB, Platform to Service Broker Authentication).
type Broker struct {
	URL                string
	Username, Password string
	// Private are texts that are taken out of what the broker says of failures and progress, as the password always is:
	// errors and descriptions are shown and logged.
	Private []string
}

// Identity is who caused a request (OSB, Originating Identity); the zero value is nobody in particular.
type Identity struct {
	UserID   string
	Username string
}

// Client asks brokers. Its fields are set before use and not changed; it may be used by many goroutines.
type Client struct {
	HTTP    *http.Client  // follows no redirects; nil: http.DefaultClient
	Timeout time.Duration // for one request; zero: DefaultTimeout
	// APIInfo is what X-Api-Info-Location says: where brokers find the platform's API, without scheme. Empty: nothing.
	APIInfo string
	// Pause is between two tries to connect; zero: a second.
	Pause time.Duration
}

// answer is what a broker said.
type answer struct {
	status     int
	body       []byte
	retryAfter time.Duration
	veil       *strings.Replacer // nil: nothing is private
}

// call is one request to a broker.
type call struct {
	method string
	path   string
	query  url.Values
	body   any // nil: none
	who    Identity
}

// do sends a request. Its error is an *Error.
func (c *Client) do(ctx context.Context, b Broker, r call) (*answer, error) {
	a, err := c.try(ctx, b, r)
	if notHTTP(a, err) && c.speaksTLS(ctx, b) {
		return nil, &Error{Kind: Unreachable, Orphan: err != nil, Description: "its server speaks TLS: register it with https://", err: err}
	}
	if err != nil {
		return nil, failure(err)
	}
	return a, nil
}

// try sends a request, again where no connection could be made. Its error is the network's.
func (c *Client) try(ctx context.Context, b Broker, r call) (*answer, error) {
	for try := 1; ; try++ {
		a, err := c.once(ctx, b, r)
		if err == nil {
			return a, nil
		}
		var dial *net.OpError
		if try == connectTries || !errors.As(err, &dial) || dial.Op != "dial" || !c.pause(ctx) {
			return nil, err
		}
	}
}

func (c *Client) pause(ctx context.Context) bool {
	d := c.Pause
	if d == 0 {
		d = time.Second
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (c *Client) once(ctx context.Context, b Broker, r call) (*answer, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.request(ctx, b, r)
	if err != nil {
		return nil, err
	}
	res, err := c.http().Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > answerBytes {
		body = nil // whatever it is, it is no answer
	}
	return &answer{status: res.StatusCode, body: body, retryAfter: retryAfter(res.Header.Get("Retry-After")), veil: b.veil()}, nil
}

func (c *Client) http() *http.Client {
	if c.HTTP == nil {
		return http.DefaultClient
	}
	return c.HTTP
}

func (c *Client) request(ctx context.Context, b Broker, r call) (*http.Request, error) {
	address := strings.TrimRight(b.URL, "/") + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	h := req.Header
	req.SetBasicAuth(b.Username, b.Password)
	h.Set("X-Broker-API-Version", Version)
	h.Set("X-Broker-API-Request-Identity", uuid.NewString())
	h.Set("Accept", "application/json")
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if c.APIInfo != "" {
		h.Set("X-Api-Info-Location", c.APIInfo)
	}
	if r.who.UserID != "" {
		raw, err := json.Marshal(map[string]string{"user_id": r.who.UserID, "username": r.who.Username})
		if err != nil {
			return nil, err
		}
		h.Set("X-Broker-API-Originating-Identity", "cloudfoundry "+base64.StdEncoding.EncodeToString(raw))
	}
	return req, nil
}

// retryAfter reads a number of seconds (RFC 9110 10.2.3); negative when the broker says nothing.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 {
		return -1
	}
	return min(time.Duration(n), time.Duration(7*24*3600)) * time.Second
}

// ValidateURL says what is wrong with the address of a broker, or nothing.
func ValidateURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be a valid url that begins with http:// or https://")
	case u.User != nil:
		return errors.New("must not contain authentication: give username and password apart from it")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("must not have a query or a fragment")
	}
	return nil
}

// object decodes an answer that must be a JSON object into dst.
func (a *answer) object(dst any) error {
	text := bytes.TrimSpace(a.body)
	if len(text) == 0 || text[0] != '{' {
		return errors.New("the answer is not a JSON object" + a.kind())
	}
	if err := json.Unmarshal(text, dst); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return fmt.Errorf("the answer's %s is a %s", wrong.Field, wrong.Value)
		}
		return errors.New("the answer is not valid JSON")
	}
	return nil
}

// kind is a guess what else the answer is, for people who look for the fault.
func (a *answer) kind() string {
	switch t, _, _ := mime.ParseMediaType(http.DetectContentType(a.body)); {
	case len(a.body) == 0:
		return " but empty, or larger than " + strconv.Itoa(answerBytes>>20) + " MB"
	case t == "text/html":
		return " but HTML"
	}
	return ""
}
