package nomad

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/nomad/api"
)

// dialTime is how long one of several agents has to take a connection before the next one is tried.
const dialTime = 3 * time.Second

// severalAddresses lets a client go on with another agent of the cluster when one does not answer. They stand for
// one another, so all have the scheme, and with TLS the name, of the first.
func severalAddresses(c *api.Config) error {
	all := strings.Split(c.Address, ",")
	if len(all) == 1 {
		return nil
	}
	d := &anyOf{}
	scheme := ""
	for n, text := range all {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" || u.Port() == "" || n > 0 && u.Scheme != scheme {
			return fmt.Errorf("nomad: address %q: name several like https://10.0.0.1:4646,https://10.0.0.2:4646", text)
		}
		scheme = u.Scheme
		d.hosts = append(d.hosts, u.Host)
	}
	c.Address = scheme + "://" + d.hosts[0]
	c.HttpClient = &http.Client{Transport: &http.Transport{
		DialContext: d.dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 8,
	}}
	return api.ConfigureTLS(c.HttpClient, c.TLSConfig)
}

// anyOf connects to the host that answered last, else to the next one that does.
type anyOf struct {
	hosts []string
	last  atomic.Int64
}

func (d *anyOf) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var errs []error
	first := int(d.last.Load())
	for n := range d.hosts {
		i := (first + n) % len(d.hosts)
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, d.hosts[i])
		if err == nil {
			d.last.Store(int64(i))
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
