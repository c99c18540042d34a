package nomadserver

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/cupola-paas/cupola/node/nomad/program"
)

// Certificates are looked at so many times in their life, but not more often than each least.
const (
	looks = 20
	least = time.Second
)

// writeCertificate makes the server's certificate, with which the controller shows itself too.
func (s *Server) writeCertificate() error {
	cert, key, err := s.ca.Agent(s.o.Life, serverName, clientName, "localhost")
	if err != nil {
		return err
	}
	return errors.Join(program.WriteFile(s.file(caFile), s.ca.CAPEM()), program.WriteFile(s.file(keyFile), key), program.WriteFile(s.file(certFile), cert))
}

// keepFresh replaces the certificate after half of its life until ctx ends, and has Nomad take it.
func (s *Server) keepFresh(ctx context.Context) {
	tick := time.NewTicker(max(s.o.Life/looks, least))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due, err := s.due()
		if err == nil && due {
			err = errors.Join(s.writeCertificate(), s.program.Reload())
		}
		if err != nil {
			s.o.Log.Error("Nomad's certificate is not renewed; it is tried again", "error", err)
		}
	}
}

// due reports whether half of the certificate's life is over.
func (s *Server) due() (bool, error) {
	pair, err := tls.LoadX509KeyPair(s.file(certFile), s.file(keyFile))
	if err != nil {
		return true, nil //nolint:nilerr // half written, or gone: another is made
	}
	return time.Now().After(pair.Leaf.NotAfter.Add(-s.o.Life / 2)), nil
}
