package nomad

import (
	"crypto/tls"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// followCertificate lets a client show the certificate that is in its file at the moment: who renews it need not start us
// again. Without a certificate of ours nothing changes.
func followCertificate(c *api.Config) error {
	if c.TLSConfig == nil || c.TLSConfig.ClientCert == "" {
		return nil
	}
	if c.HttpClient == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = false
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		c.HttpClient = &http.Client{Transport: transport}
		if err := api.ConfigureTLS(c.HttpClient, c.TLSConfig); err != nil {
			return err
		}
	}
	own := &keyPair{cert: c.TLSConfig.ClientCert, key: c.TLSConfig.ClientKey}
	config := c.HttpClient.Transport.(*http.Transport).TLSClientConfig
	config.Certificates = nil
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.load() }
	return nil
}

// keyPair is a certificate with its key in files.
type keyPair struct {
	cert, key string

	mu   sync.Mutex
	read time.Time // of the certificate's file
	pair *tls.Certificate
}

// load reads the files again when they have changed. While they do not fit together, what was read last holds.
func (k *keyPair) load() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.cert)
	if err == nil && k.pair != nil && info.ModTime().Equal(k.read) {
		return k.pair, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(k.cert, k.key); err == nil {
			k.pair, k.read = &pair, info.ModTime()
		}
	}
	if k.pair == nil {
		return nil, err
	}
	return k.pair, nil
}
