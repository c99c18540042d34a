package controller

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/door"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/node/agent"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/store"
)

// openDoor opens the door for machines that joined, where instances run in a cluster.
func (s *Server) openDoor(ctx context.Context) error {
	if s.config.Engine != engineNomad {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.NodesAddr)
	if err != nil {
		return fmt.Errorf("listen for nodes: %w: give another address with --nodes", err)
	}
	s.onClose(func() error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	_, s.nodesPort, _ = net.SplitHostPort(listener.Addr().String())
	s.door, err = door.Open(door.Options{
		DB: s.db, Listener: listener, Images: s.registry.Handler(), PullUser: store.PullUser, Pull: s.pullPassword, PushUser: store.PushUser, Nomad: s.nomadCertificates(), Life: s.config.NodeCertificates, Log: s.log,
		Names: http.HandlerFunc(s.tellNames), Connect: http.HandlerFunc(s.takeConnections),
		Routing: s.feed.ServeNode,
	})
	return err
}

// serveNodes runs beside the loops.
func (s *Server) serveNodes(ctx context.Context) error {
	if s.door == nil {
		return nil
	}
	return s.door.Run(ctx)
}

// connectAgent reaches the agent of a node. The address is the one that the machine gave when it joined: what a
// node says of itself in Nomad is anybody's word.
func (s *Server) connectAgent(nodeID, _ string) (nomad.Agent, error) {
	address, config, err := s.reachNode(nodeID)
	if err != nil {
		return nil, err
	}
	return agent.Connect(address, config), nil
}

// joins gives the API what machines need to join; nil where none can.
func (s *Server) joins() api.Joins {
	if e, ok := s.engine.(*nomad.Nomad); ok && s.door != nil {
		return joins{s, e}
	}
	return nil
}

type joins struct {
	s      *Server
	engine *nomad.Nomad
}

// Trust implements api.Joins. The fingerprint is that of the CA's key, which stays when its certificate is renewed.
func (j joins) Trust() (string, error) {
	if !j.s.config.local("api." + j.s.config.Domain) {
		return capi.PublicTrust, nil
	}
	block, _ := pem.Decode(j.s.certs.CAPEM())
	if block == nil {
		return "", errors.New("there is no local CA")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// Welcome implements api.Joins.
func (j joins) Welcome(ctx context.Context, n *store.Node, request []byte) (*capi.NodeWelcome, error) {
	cert, err := j.s.door.Certify(n.GUID, request)
	if errors.Is(err, identity.ErrRequest) {
		return nil, capi.UnprocessableEntity.Errorf("%s", err.Error())
	}
	if err != nil {
		return nil, err
	}
	var join capi.Nomad
	if !n.RouterOnly {
		if join, err = j.nomad(ctx, request); err != nil {
			return nil, err
		}
	}
	return &capi.NodeWelcome{
		GUID: n.GUID, Installation: j.s.installation, Certificate: string(cert), CA: string(j.s.door.CAPEM()),
		NodeName: door.NodeName(n.GUID), ServerName: door.ServerName,
		Server: net.JoinHostPort("api."+j.s.config.Domain, j.s.nodesPort), Nomad: join,
	}, nil
}

// Subnets implements api.Joins.
func (j joins) Subnets() (from netip.Prefix, taken []netip.Prefix, err error) {
	if from, err = netip.ParsePrefix(j.s.config.NodeNetwork); err != nil {
		return from, nil, err
	}
	own, err := net.InterfaceAddrs()
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			taken = append(taken, p.Masked())
		}
	}
	return from, append(taken, j.s.local.Subnets()...), err
}

// nomad is how a client joins the cluster. In one of our own it shows itself with a certificate for the key of the request.
func (j joins) nomad(ctx context.Context, request []byte) (capi.Nomad, error) {
	c := j.s.config.Nomad
	found, err := j.engine.Joining(ctx)
	if err != nil {
		return capi.Nomad{}, capi.UnableToPerform.Errorf("Nomad does not say where its servers are: %v", err)
	}
	out := capi.Nomad{Servers: found.Servers, Region: found.Region, Datacenter: found.Datacenter, ACL: found.ACL}
	if c.Servers != "" {
		out.Servers = strings.Split(c.Servers, ",")
	}
	for _, server := range out.Servers {
		if at, err := netip.ParseAddrPort(server); err == nil && at.Addr().IsLoopback() {
			return capi.Nomad{}, capi.UnableToPerform.Errorf("Nomad's servers say that they are at %s, where no other machine reaches them: set advertise in Nomad's configuration, or start the server with --nomad-servers; with --nomad, give --nomad-address", server)
		}
	}
	if own := j.s.ownNomad; own != nil {
		cert, ca, err := own.Certify(request)
		out.CA, out.Certificate = string(ca), string(cert)
		return out, err
	}
	for _, f := range []struct {
		path string
		into *string
	}{{c.NodeCA, &out.CA}, {c.NodeCert, &out.Certificate}, {c.NodeKey, &out.Key}} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return capi.Nomad{}, fmt.Errorf("what nodes need for Nomad: %w", err)
		}
		*f.into = string(text)
	}
	return out, nil
}
