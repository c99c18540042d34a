package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/nomadserver"
)

// validateOwn is about a cluster that this server runs by itself.
func (c Config) validateOwn() error {
	n := c.Nomad
	if !n.Own {
		if n.OwnAddress != "" || n.OwnPorts != "" {
			return errors.New("--nomad-address and --nomad-ports are for a cluster of the server's own: give --nomad, too")
		}
		return nil
	}
	if c.Engine != engineNomad {
		return errors.New("--nomad is for --engine nomad: leave out --engine")
	}
	if n.Address != "" || n.Token != "" || n.Namespace != "" || n.CACert != "" || n.ClientCert != "" || n.NodeCA != "" {
		return errors.New("--nomad runs a cluster of this server's own: leave out the flags that name another's address, token, namespace and certificates")
	}
	if n.OwnAddress != "" {
		if a, err := netip.ParseAddr(n.OwnAddress); err != nil || a.IsUnspecified() {
			return fmt.Errorf("--nomad-address %q is not an IP address of this machine", n.OwnAddress)
		}
	}
	_, err := ownPorts(n.OwnPorts)
	return err
}

// ownPorts are those of the API, RPC and the gossip.
func ownPorts(text string) (ports [3]int, err error) {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || len(parts) != len(ports) || n < 1 || n > 65535 {
			return ports, fmt.Errorf("--nomad-ports %q are not three ports: give such as 4646,4647,4648", text)
		}
		ports[i] = n
	}
	return ports, nil
}

// openOwnNomad starts the cluster of this server's own, if it is to have one. It ends after the engine that uses it.
func (s *Server) openOwnNomad(ctx context.Context) error {
	n := s.config.Nomad
	if !n.Own {
		return nil
	}
	ports, err := ownPorts(n.OwnPorts)
	if err != nil {
		return err
	}
	address, err := s.ownNomadAddress()
	if err != nil {
		return err
	}
	s.ownNomad, err = nomadserver.Open(ctx, nomadserver.Options{
		DB: s.db, Dir: s.dir("nomad"), Program: n.Program, Address: address, HTTP: ports[0], RPC: ports[1], Serf: ports[2],
		DockerHost: s.config.DockerHost, Oversubscribe: n.Oversubscribe > 0 && n.Oversubscribe < 1, Life: s.config.NodeCertificates, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.ownNomad.Close)
	return nil
}

// ownNomadAddress is where machines that join reach this one.
func (s *Server) ownNomadAddress() (string, error) {
	if a := s.config.Nomad.OwnAddress; a != "" {
		return a, nil
	}
	host, _, _ := net.SplitHostPort(s.config.NodesAddr)
	if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() {
		return host, nil
	}
	conn, err := net.Dial("udp", "192.0.2.1:9") // nothing is sent: it tells the address on the way out
	if err != nil {
		return "", fmt.Errorf("this machine's address is not known: %w: give --nomad-address", err)
	}
	defer conn.Close()
	host, _, err = net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// nomadCertificates makes the certificates of clients in a cluster of our own; nil where they are somebody else's.
func (s *Server) nomadCertificates() func(request []byte) (cert, ca []byte, err error) {
	if !s.config.Nomad.Own {
		return nil
	}
	return func(request []byte) (cert, ca []byte, err error) {
		if s.ownNomad == nil { // the door is open before the cluster
			return nil, nil, errors.New("Nomad is not ready yet")
		}
		return s.ownNomad.Certify(request)
	}
}
