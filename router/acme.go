package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// acmePatience is how long a handshake waits for the CA; the order goes on behind it. It is less than
	// Options.ReadHeaderTimeout, which ends handshakes too.
	acmePatience = 8 * time.Second
	// acmeOrderLimit ends an order that gets nowhere.
	acmeOrderLimit = 5 * time.Minute
	// After a failed order a name rests: public CAs count failures, and shut out who makes many.
	firstRest, maxRest = time.Minute, time.Hour
	// maxOrders is how many orders run at once.
	maxOrders = 8
	// maxResting bounds the memory of failed names. The names are those of the route table.
	maxResting = 20_000
)

var (
	errResting = errors.New("the ACME CA refused a certificate a short while ago")
	errWaiting = errors.New("the ACME CA has not answered yet")
	errBusy    = errors.New("too many certificates are being ordered")
)

// acmeSource gets certificates from an ACME CA, and keeps them through certmagic.
type acmeSource struct {
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
	cache  *certmagic.Cache

	patience time.Duration // acmePatience; shorter in tests

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	orders  map[string]*order
	resting map[string]rest
	refused map[string]string // what the CA said of a name last, if it was no
	stored  storedCertificates
}

// order is a certificate being loaded or obtained. done is closed when err is set.
type order struct {
	done chan struct{}
	err  error
}

// rest says when a name that failed may be tried again.
type rest struct {
	until time.Time
	last  time.Duration
}

func newACMESource(opts CertOptions) (*acmeSource, error) {
	if u, err := url.Parse(opts.ACMECA); opts.ACMECA != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return nil, fmt.Errorf("ACME CA %q must be the https URL of a directory", opts.ACMECA)
	}
	logger := zapToSlog(opts.Logger)
	a := &acmeSource{patience: acmePatience, orders: map[string]*order{}, resting: map[string]rest{}, refused: map[string]string{}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		Logger:           logger,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage: opts.Storage,
		Logger:  logger,
		OnDemand: &certmagic.OnDemandConfig{DecisionFunc: func(_ context.Context, name string) error {
			if opts.Allowed == nil || !opts.Allowed(name) {
				return fmt.Errorf("%s has no route", name)
			}
			return nil
		}},
		OnEvent: a.note,
		Issuers: []certmagic.Issuer{}, // not nil: filled below, for an issuer needs its config
	})
	template := certmagic.ACMEIssuer{
		CA: opts.ACMECA, Email: opts.ACMEEmail, Agreed: true, TrustedRoots: opts.ACMERoots, Logger: logger,
	}
	if template.CA == "" {
		template.CA = certmagic.LetsEncryptProductionCA
	}
	a.issuer = certmagic.NewACMEIssuer(a.magic, template)
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

// listening is called once, before the first handshake.
func (a *acmeSource) listening(plain, secure net.Listener) {
	if addr := tcpAddr(plain); addr != nil {
		a.issuer.AltHTTPPort, a.issuer.ListenHost = addr.Port, listenHost(addr)
	} else {
		a.issuer.DisableHTTPChallenge = true
	}
	if addr := tcpAddr(secure); addr != nil {
		a.issuer.AltTLSALPNPort, a.issuer.ListenHost = addr.Port, listenHost(addr)
	} else {
		a.issuer.DisableTLSALPNChallenge = true
	}
}

func tcpAddr(ln net.Listener) *net.TCPAddr {
	if ln == nil {
		return nil
	}
	addr, _ := ln.Addr().(*net.TCPAddr)
	return addr
}

func listenHost(addr *net.TCPAddr) string {
	if addr.IP.IsUnspecified() {
		return ""
	}
	return addr.IP.String()
}

// certificate returns name's certificate from memory, from the storage, or from the CA.
func (a *acmeSource) certificate(ctx context.Context, hello *tls.ClientHelloInfo, name string) (*tls.Certificate, error) {
	if len(a.cache.AllMatchingCertificates(name)) > 0 {
		return a.magic.GetCertificateWithContext(ctx, hello) // renews in the background when it is time
	}
	o, err := a.order(hello, name)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(a.patience)
	defer patience.Stop()
	select {
	case <-o.done:
	case <-patience.C:
		return nil, errWaiting
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if o.err != nil {
		return nil, o.err
	}
	return a.magic.GetCertificateWithContext(ctx, hello)
}

// order joins the order for name that is under way, or begins one.
func (a *acmeSource) order(hello *tls.ClientHelloInfo, name string) (*order, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.orders[name]; o != nil {
		return o, nil
	}
	switch {
	case a.closed:
		return nil, context.Canceled
	case time.Now().Before(a.resting[name].until):
		return nil, errResting
	case len(a.orders) >= maxOrders:
		return nil, errBusy
	}
	o := &order{done: make(chan struct{})}
	a.orders[name] = o
	a.wg.Go(func() { a.run(o, hello, name) })
	return o, nil
}

// run ends the order. It outlives the handshake that began it.
func (a *acmeSource) run(o *order, hello *tls.ClientHelloInfo, name string) {
	ctx, cancel := context.WithTimeout(a.ctx, acmeOrderLimit)
	defer cancel()
	_, o.err = a.magic.GetCertificateWithContext(ctx, hello)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.orders, name)
	if o.err == nil {
		delete(a.resting, name)
	} else if a.ctx.Err() == nil {
		a.restLocked(name)
	}
	close(o.done)
}

func (a *acmeSource) restLocked(name string) {
	if len(a.resting) >= maxResting {
		clear(a.resting)
	}
	pause := min(max(2*a.resting[name].last, firstRest), maxRest)
	a.resting[name] = rest{until: time.Now().Add(pause), last: pause}
}

func (a *acmeSource) close() {
	a.mu.Lock()
	again := a.closed
	a.closed = true
	a.mu.Unlock()
	if again {
		return
	}
	a.cancel()
	a.wg.Wait()
	a.cache.Stop()
}
