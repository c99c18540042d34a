package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// errRefused: nothing accepted the connection; the ports that are open say more.
var errRefused = errors.New("connection refused")

var probeClient = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
	// An app must not send the platform to places that the app itself cannot reach.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// probe asks once. A nil error means healthy.
func probe(ctx context.Context, c node.Check, address string, ports []int) error {
	if address == "" || len(ports) == 0 {
		return errors.New("it has no address")
	}
	ctx, cancel := context.WithTimeout(ctx, cmpOr(c.InvocationTimeout, defaultProbe))
	defer cancel()
	target := net.JoinHostPort(address, strconv.Itoa(ports[0]))
	var err error
	if c.Type == "http" {
		err = probeHTTP(ctx, target, c.Endpoint)
	} else {
		err = probePort(ctx, target)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errRefused
	}
	return err
}

func probePort(ctx context.Context, target string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func probeHTTP(ctx context.Context, target, endpoint string) error {
	path := "/" + strings.TrimPrefix(endpoint, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+path, nil)
	if err != nil {
		return fmt.Errorf("GET %s: the endpoint is no path", path)
	}
	req.Header.Set("User-Agent", "cupola-health-check")
	begin := time.Now()
	res, err := probeClient.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("GET %s was not answered within %s", path, time.Since(begin).Round(100*time.Millisecond))
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("GET %s was answered with status %d", path, res.StatusCode)
	}
	return nil
}

// explainProbe says why a check fails, with the ports that the app listens on where that is the reason.
func (i *instance) explainProbe(err error) string {
	if len(i.w.Ports) > 0 && i.d.info.local && i.pid > 0 {
		if text := explainPorts(i.w.Ports[0], listeners(i.pid)); text != "" {
			return text
		}
	}
	switch {
	case errors.Is(err, errRefused) && len(i.w.Ports) > 0:
		return fmt.Sprintf("nothing answers on $PORT (%d)", i.w.Ports[0])
	case errors.Is(err, context.DeadlineExceeded):
		return "a connection was not accepted in time"
	}
	return err.Error()
}
