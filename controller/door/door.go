// Package door is the controller's side of machines that joined: a CA of their own, the certificates by which
// node and server know each other, and the door at which a node gets images and its next certificate.
//
// A node's certificate is good for a week and for as long as the node's record is in the store: whoever was
// removed gets nothing more. It reads images, and writes those that it was given a password for: of a build.
package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/store"
)

const (
	week      = 7 * 24 * time.Hour
	caSetting = "nodes.ca"

	// ServerName is in the server's certificate, and nodeSuffix ends the name in a node's: neither is in any DNS.
	ServerName = "server.cupola.internal"
	nodeSuffix = ".node.cupola.internal"

	routingPath     = "/v1/routing/"
	certificatePath = "/v1/certificate"

	maxRequest = 16 << 10 // bytes of a certificate request
	closeTime  = 2 * time.Second
)

// NodeName is the name in the certificate of a node.
func NodeName(guid string) string { return guid + nodeSuffix }

// Options say what a Door stands on. All but Nomad and Life are required.
type Options struct {
	DB       *store.DB
	Listener net.Listener // of the door
	// Images is the registry, whose password the door knows.
	Images   http.Handler
	PullUser string
	Pull     string
	// PushUser is who may write images, with passwords that the registry knows; empty: nobody.
	PushUser string
	// Names tells the names of apps, and Connect takes connections of apps on nodes to workloads on this machine; nil: there are
	// none.
	Names, Connect http.Handler
	// Routing answers the router of a node whose record lets it route; nil: there are none.
	Routing func(w http.ResponseWriter, r *http.Request, node string)
	// Nomad makes the certificate with which the Nomad client of a node shows itself, for the key of a request, and says by which
	// CAs it knows the servers; nil: Nomad's certificates are somebody else's.
	Nomad func(request []byte) (cert, ca []byte, err error)
	// Life is of a certificate; nodes ask for the next one after half of it. Zero: a week.
	Life time.Duration
	Log  *slog.Logger
}

// Door is the door and what certifies those who come to it. Its methods may be called at the same time.
type Door struct {
	o  Options
	ca *identity.Issuer

	mu    sync.Mutex
	cert  *tls.Certificate // the server's own
	renew time.Time        // when another is made
}

// Open opens the CA, or makes it.
func Open(o Options) (*Door, error) {
	ca, err := identity.NewCA(o.DB, caSetting, "Cupola node CA")
	if err != nil {
		return nil, err
	}
	if o.Life == 0 {
		o.Life = week
	}
	c := &Door{o: o, ca: ca}
	_, err = c.certificate()
	return c, err
}

// CAPEM are the certificates that node and server verify each other by.
func (c *Door) CAPEM() []byte { return c.ca.CAPEM() }

// Certify makes the certificate of a node for the key of a request. identity.ErrRequest says that it is none.
func (c *Door) Certify(guid string, request []byte) ([]byte, error) {
	return c.ca.Peer(request, NodeName(guid), c.o.Life)
}

// certificate is the server's own, replaced after half of its life.
func (c *Door) certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Now().Before(c.renew) {
		return c.cert, nil
	}
	cert, key, err := c.ca.PeerWithKey(ServerName, c.o.Life)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c.cert, c.renew = &pair, time.Now().Add(c.o.Life/2)
	return c.cert, nil
}

func (c *Door) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca.CAPEM())
	return pool
}

// Agent is how the agent of a node is spoken to. Whoever answers without that node's certificate is not believed.
func (c *Door) Agent(guid string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: NodeName(guid), RootCAs: c.pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate() },
	}
}

// Run serves the door until ctx ends.
func (c *Door) Run(ctx context.Context) error {
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, err := c.certificate()
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: config.NextProtos, Certificates: []tls.Certificate{*cert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.pool(),
		}, nil
	}
	server := &http.Server{
		Handler: c.handler(), TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(c.o.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(c.o.Listener, "", "") }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil { // images may be on their way for long
		err = server.Close()
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

func (c *Door) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v2/", c.images)
	for _, method := range []string{"POST", "PATCH", "PUT", "DELETE"} {
		m.HandleFunc(method+" /v2/", c.push)
	}
	m.HandleFunc("POST "+certificatePath, c.nextCertificate)
	for pattern, h := range map[string]http.Handler{"GET /v1/names": c.o.Names, "POST /v1/connect": c.o.Connect} {
		if h != nil {
			m.Handle(pattern, h)
		}
	}
	if c.o.Routing != nil {
		m.HandleFunc(routingPath, c.routing)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := c.node(r)
		switch {
		case n == nil:
			http.Error(w, "this machine is no node of the platform: join it with cupola node join", http.StatusForbidden)
			return
		case n.RouterOnly && !strings.HasPrefix(r.URL.Path, routingPath) && r.URL.Path != certificatePath:
			http.Error(w, "this machine only routes", http.StatusForbidden)
			return
		}
		m.ServeHTTP(w, r)
	})
}

// who is the node that asks; empty: none that is known.
func (c *Door) who(r *http.Request) string {
	if n := c.node(r); n != nil {
		return n.GUID
	}
	return ""
}

// node is the record of the node that asks; nil: none that is known.
func (c *Door) node(r *http.Request) (n *store.Node) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	for _, name := range r.TLS.PeerCertificates[0].DNSNames {
		guid, ok := strings.CutSuffix(name, nodeSuffix)
		if !ok {
			continue
		}
		err := c.o.DB.View(func(tx *store.Tx) (err error) { n, err = store.Nodes.Get(tx, guid); return err })
		if err == nil {
			return n
		}
		if !errors.Is(err, store.ErrNotFound) {
			c.o.Log.Error("a node's record is not read", "node", guid, "error", err)
		}
	}
	return nil
}

// routing hands the request to the feed of routers, if the node may route.
func (c *Door) routing(w http.ResponseWriter, r *http.Request) {
	guid := c.who(r)
	if !c.Routes(guid) {
		http.Error(w, "this machine may not route: join it with a token of cupola node token --router, or let it: cupola node route NODE on", http.StatusForbidden)
		return
	}
	c.o.Routing(w, r, guid)
}

// Routes reports whether a node may route.
func (c *Door) Routes(guid string) bool {
	may := false
	err := c.o.DB.View(func(tx *store.Tx) error {
		n, err := store.Nodes.Get(tx, guid)
		if err == nil {
			may = n.Router
		}
		return err
	})
	return err == nil && may
}

// push hands the request to the registry with the password that the node sent: it has one while it builds, for the repository
// of that build.
func (c *Door) push(w http.ResponseWriter, r *http.Request) {
	if user, _, _ := r.BasicAuth(); user != c.o.PushUser || c.o.PushUser == "" {
		http.Error(w, "a node writes no images but those that it is asked to build", http.StatusForbidden)
		return
	}
	c.o.Images.ServeHTTP(w, r)
}

// images hands the request to the registry as a reader.
func (c *Door) images(w http.ResponseWriter, r *http.Request) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(c.o.PullUser, c.o.Pull)
	c.o.Images.ServeHTTP(w, r)
}

// Renewal is what a node is answered when it asks for its next certificate.
type Renewal struct {
	Certificate string `json:"certificate"` // PEM
	CA          string `json:"ca"`          // PEM
	// Likewise for Nomad; empty where its certificates are somebody else's.
	NomadCertificate string `json:"nomad_certificate,omitempty"`
	NomadCA          string `json:"nomad_ca,omitempty"`
}

func (c *Door) nextCertificate(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "the request is too large or broke off", http.StatusBadRequest)
		return
	}
	guid := c.who(r)
	next, err := c.renewal(guid, request)
	if errors.Is(err, identity.ErrRequest) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err != nil {
		c.o.Log.Error("a node gets no new certificate", "node", guid, "error", err)
		http.Error(w, "no certificate can be made now", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(next) // a node that has left asks again
}

func (c *Door) renewal(guid string, request []byte) (*Renewal, error) {
	cert, err := c.Certify(guid, request)
	if err != nil {
		return nil, err
	}
	next := &Renewal{Certificate: string(cert), CA: string(c.CAPEM())}
	if c.o.Nomad == nil {
		return next, nil
	}
	cert, ca, err := c.o.Nomad(request)
	next.NomadCertificate, next.NomadCA = string(cert), string(ca)
	return next, err
}
