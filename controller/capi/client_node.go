package capi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Joiner is a platform that a machine is about to join, known by what the token says of it.
type Joiner struct {
	client *Client
	secret string
	// Clock is what time the server says that it is, and Asked when it was asked.
	Clock, Asked time.Time
}

// ErrBadToken says that a text is no node token.
var ErrBadToken = errors.New("this is no node token: copy all of what cupola node token printed")

// ErrOtherServer says that somebody else answers than who made the token.
var ErrOtherServer = errors.New("the server is not the one that made the token")

// OpenJoin asks the API at the address who it is. The token has the fingerprint of the CA's key with it; the server's
// word counts for nothing until a certificate of that CA stands behind it, and the token's secret is not sent before.
func OpenJoin(ctx context.Context, api, token string) (*Joiner, error) {
	secret, trust, ok := strings.Cut(strings.TrimSpace(token), ".")
	if !ok || secret == "" || trust == "" {
		return nil, ErrBadToken
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if trust != PublicTrust {
		ca, err := fetchCA(ctx, api, trust)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AddCert(ca)
	}
	c, err := New(ClientOptions{API: api, HTTPClient: joinClient(config)})
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(c.api, "https://") {
		return nil, errors.New("a machine joins over https alone: give https://api.example.com")
	}
	j := &Joiner{client: c, secret: secret}
	return j, j.readClock(ctx)
}

// joinClient finds names as the machine does: the platform of a machine that joins is on another one, so names under
// localhost are not this one's.
func joinClient(config *tls.Config) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second},
	}
}

// fetchCA gets the server's CA from whoever answers, and believes it if its key has the fingerprint.
func fetchCA(ctx context.Context, api, fingerprint string) (*x509.Certificate, error) {
	want, err := base64.RawURLEncoding.DecodeString(fingerprint)
	if err != nil || len(want) != sha256.Size {
		return nil, ErrBadToken
	}
	c, err := New(ClientOptions{API: api, HTTPClient: joinClient(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true})})
	if err != nil {
		return nil, err
	}
	text, err := c.read(ctx, "/ca.pem")
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		if sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo); subtle.ConstantTimeCompare(sum[:], want) == 1 {
			return ca, nil
		}
	}
	return nil, fmt.Errorf("%w: somebody else may answer at %s, or the platform has another CA since then", ErrOtherServer, c.api)
}

// read gets a small file of the API without a token.
func (c *Client) read(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+path, nil)
	if err != nil {
		return nil, err
	}
	_, text, err := c.exchangeWhole(req)
	return text, err
}

func (c *Client) exchangeWhole(req *http.Request) (http.Header, []byte, error) {
	resp, err := c.exchange(req, "")
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode >= 400 {
		err = answerError(resp, text)
	}
	return resp.Header, text, err
}

func (j *Joiner) readClock(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.client.api+"/healthz", nil)
	if err != nil {
		return err
	}
	header, _, err := j.client.exchangeWhole(req)
	if err != nil {
		return err
	}
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		j.Clock, j.Asked = at, time.Now()
	}
	return nil
}

// Join spends the token.
func (j *Joiner) Join(ctx context.Context, in NodeJoin) (*NodeWelcome, error) {
	body, err := jsonBody(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.client.api+"/v3/nodes", body())
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Node-Token "+j.secret)
	_, text, err := j.client.exchangeWhole(req)
	if err != nil {
		return nil, err
	}
	out := &NodeWelcome{}
	return out, json.Unmarshal(text, out)
}
