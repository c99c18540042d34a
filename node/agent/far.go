package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/cupola-paas/cupola/node"
)

const (
	connectPath    = "/v1/connect"
	connectPattern = "POST " + connectPath
)

// Connector takes a connection of a workload elsewhere, of the peer from, to a workload here; *docker.Docker is one.
type Connector interface {
	Connect(ctx context.Context, from string, to netip.AddrPort) (net.Conn, error)
}

// Bring serves those who bring connections for workloads here. Its caller has seen who they are.
func Bring(local Connector) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !read(w, r, &struct{}{}) { // what is left of a body would be taken for what is sent to the workload
			return
		}
		q := r.URL.Query()
		to, err := netip.ParseAddrPort(q.Get("to"))
		if err != nil {
			answer(w, nil, fmt.Errorf("to: %w", err))
			return
		}
		target, err := local.Connect(r.Context(), q.Get("from"), to)
		carry(w, r, target, err)
	})
}

// Bridge brings a connection of a workload here, of the peer from, to one on the machine whose agent is at address.
func Bridge(ctx context.Context, address string, config *tls.Config, from string, to netip.AddrPort) (net.Conn, error) {
	q := url.Values{"from": {from}, "to": {to.String()}}
	conn, err := upgraded(ctx, address, config, connectPath+"?"+q.Encode(), struct{}{})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// flows tells how many connections policies let through.
func (a *Agent) flows(w http.ResponseWriter, r *http.Request) {
	all, err := a.local.Flows(r.Context())
	answer(w, all, err)
}

// Flows returns the machine's.
func (c *Client) Flows(ctx context.Context) ([]node.Flow, error) {
	var all []node.Flow
	return all, c.call(ctx, http.MethodGet, "/v1/flows", nil, &all)
}
