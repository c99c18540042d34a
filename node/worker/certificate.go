package worker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/node/nomad/program"
)

const (
	renewTry  = 10 * time.Minute // between two looks at the certificate, at most
	looks     = 20               // at it in its life, at least, but not more often than each second
	callLimit = 30 * time.Second
	maxAnswer = 1 << 20
)

// papers are the node's certificate and whom it believes, as they are now.
type papers struct {
	dir   string
	node  *Node
	nomad *program.Program // is told of new certificates of its own; nil: there is none

	mu   sync.Mutex
	cert *tls.Certificate
	pool *x509.CertPool
}

func openPapers(dir string, n *Node) (*papers, error) {
	p := &papers{dir: dir, node: n}
	return p, p.read()
}

func (p *papers) read() error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(p.dir, certFile), filepath.Join(p.dir, keyFile))
	if err != nil {
		return fmt.Errorf("the node's certificate: %w; join again", err)
	}
	text, err := os.ReadFile(filepath.Join(p.dir, caFile))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate; join again", filepath.Join(p.dir, caFile))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cert, p.pool = &cert, pool
	return nil
}

func (p *papers) now() (*tls.Certificate, *x509.CertPool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cert, p.pool
}

// server is how the agent serves: those that the same CA vouches for, the controller and other nodes. The agent sees who may
// ask for what.
func (p *papers) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, pool := p.now()
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		}, nil
	}}
}

// nameOf is the name in the certificate of another node.
func (n *Node) nameOf(guid string) string { return guid + strings.TrimPrefix(n.NodeName, n.GUID) }

// client is how the controller's door is spoken to.
func (p *papers) client() *tls.Config { return p.clientOf(p.node.ServerName) }

// clientOf is how one with that name in its certificate is spoken to.
func (p *papers) clientOf(name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: name,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, _ := p.now()
			return cert, nil
		},
		InsecureSkipVerify: true, // VerifyConnection does it, with the CA of the moment
		VerifyConnection: func(s tls.ConnectionState) error {
			_, pool := p.now()
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: name, Roots: pool, Intermediates: between})
			return err
		},
	}
}

// due reports whether half of the certificate's life is over. A seventh of that lies before it was made, for clocks that are behind.
func (p *papers) due(at time.Time) bool {
	cert, _ := p.now()
	leaf := cert.Leaf
	return at.After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 8 * 7 / 2))
}

// nextLook is when the certificate is looked at again: often enough for one that is good for seconds.
func (p *papers) nextLook() time.Duration {
	cert, _ := p.now()
	return max(min(renewTry, cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)/looks), time.Second)
}

// keepFresh replaces the certificate in time until ctx ends.
func (p *papers) keepFresh(ctx context.Context, log *slog.Logger) error {
	client := &http.Client{Timeout: callLimit, Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}}
	for {
		if err := p.read(); err != nil { // another process of this machine may have renewed it
			log.Warn("the node's certificate is not read again", "error", err)
		}
		if p.due(time.Now()) {
			if err := p.renew(ctx, client); err != nil && ctx.Err() == nil {
				cert, _ := p.now()
				log.Warn("the node's certificate is not renewed; it is tried again", "expires", cert.Leaf.NotAfter, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.nextLook()):
		}
	}
}

// renew asks for a certificate for the same key, which never leaves this machine.
func (p *papers) renew(ctx context.Context, client *http.Client) error {
	cert, _ := p.now()
	private, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("the node's key is not ours")
	}
	_, request, err := encodeKey(private)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+p.node.Server+"/v1/certificate", bytes.NewReader(request))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the controller answered with status %d: %.200s", res.StatusCode, text)
	}
	var in struct {
		Certificate, CA  string
		NomadCertificate string `json:"nomad_certificate"` // of a cluster whose certificates the controller makes
		NomadCA          string `json:"nomad_ca"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(p.dir, keyFile))
	if err != nil {
		return err
	}
	if _, err := tls.X509KeyPair([]byte(in.Certificate), key); err != nil {
		return err
	}
	if err := errors.Join(program.WriteFile(filepath.Join(p.dir, caFile), []byte(in.CA)), program.WriteFile(filepath.Join(p.dir, certFile), []byte(in.Certificate))); err != nil {
		return err
	}
	if in.NomadCertificate != "" {
		if err := p.takeNomad(in.NomadCertificate, in.NomadCA, key); err != nil {
			return err
		}
	}
	return p.read()
}

// takeNomad replaces what Nomad's client shows to servers. Its key is the node's.
func (p *papers) takeNomad(cert, ca string, key []byte) error {
	if _, err := tls.X509KeyPair([]byte(cert), key); err != nil {
		return fmt.Errorf("certificate for Nomad: %w", err)
	}
	err := errors.Join(program.WriteFile(filepath.Join(p.dir, nomadCAFile), []byte(ca)),
		program.WriteFile(filepath.Join(p.dir, nomadKeyFile), key), program.WriteFile(filepath.Join(p.dir, nomadCertFile), []byte(cert)))
	if err != nil || p.nomad == nil {
		return err
	}
	return p.nomad.Reload()
}
