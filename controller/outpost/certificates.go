package outpost

import (
	"cmp"
	"container/list"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/node/nomad/program"
	"github.com/cupola-paas/cupola/router"
)

const (
	// maxCertificates bounds those that are kept: hosts of the table are bounded, but wildcards stand for any number.
	maxCertificates = 20_000
	// handshakePatience is how long a client waits for a certificate that is not here yet.
	handshakePatience = 9 * time.Second
	// Names that are not in the table themselves are a stranger's to invent: so many a second are asked for.
	inventedPerS, inventedBurst = 10, 50
	certRound                   = 2 * time.Second // between two looks at what is missing or old
	makeshiftLife               = time.Minute
	maxAge                      = 12 * time.Hour // after which a certificate is asked for again
)

// certificates are those of the hosts of the table, kept on disk with their keys.
type certificates struct {
	dir    string
	p      *Outpost
	key    *ecdsa.PrivateKey // for certificates of the local CA
	public []byte            // PKIX
	rare   *rate.Limiter

	mu     sync.Mutex
	byName map[string]*list.Element
	order  *list.List // of *held, the latest used first
	asking map[string]chan struct{}
	tried  map[string]time.Time // when it was asked for in vain
}

// held is one certificate.
type held struct {
	name string
	cert *tls.Certificate
	next time.Time // when it is asked for again
	// makeshift says that another one is wanted; for clients it is tried again when next has come.
	makeshift bool
}

var _ router.CertificateSource = (*certificates)(nil)

// onDisk is a file of the folder.
type onDisk struct {
	Name string `json:"name"`
	routerfeed.Certificate
	Next time.Time `json:"next"`
}

// openCertificates reads what is kept, and makes the router's key the first time.
func openCertificates(dir string, p *Outpost) (*certificates, error) {
	c := &certificates{
		dir: filepath.Join(dir, certFolder), p: p, rare: rate.NewLimiter(inventedPerS, inventedBurst),
		byName: map[string]*list.Element{}, order: list.New(), asking: map[string]chan struct{}{}, tried: map[string]time.Time{},
	}
	if err := c.openKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, fmt.Errorf("the router's key: %w", err)
	}
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := c.load(filepath.Join(c.dir, f.Name())); err != nil { // it is asked for again
			p.log.Warn("a certificate that was kept cannot be used", "file", f.Name(), "error", err)
		}
	}
	return c, nil
}

func (c *certificates) openKey(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(c.key)
		if err != nil {
			return err
		}
		if err := program.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
			return err
		}
	} else if err != nil {
		return err
	} else if err := c.parseKey(text); err != nil {
		return err
	}
	c.public, err = x509.MarshalPKIXPublicKey(&c.key.PublicKey)
	return err
}

func (c *certificates) parseKey(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("it is no PEM: delete the file, and a new one is made")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	c.key, _ = key.(*ecdsa.PrivateKey)
	if c.key == nil {
		return errors.New("it is of another kind: delete the file, and a new one is made")
	}
	return nil
}

func (c *certificates) load(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var f onDisk
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	cert, err := c.parse(f.Certificate)
	if err != nil {
		return err
	}
	c.put(&held{f.Name, cert, f.Next, f.Makeshift})
	return nil
}

func (c *certificates) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:16])+".json")
}

// parse makes a certificate ready. One without a key is for the router's own.
func (c *certificates) parse(from routerfeed.Certificate) (*tls.Certificate, error) {
	if from.Key != "" {
		cert, err := tls.X509KeyPair([]byte(from.Chain), []byte(from.Key))
		return &cert, err
	}
	cert := &tls.Certificate{PrivateKey: c.key}
	for rest := []byte(from.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if len(cert.Certificate) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, err
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&c.key.PublicKey) {
		return nil, errors.New("it is for another key")
	}
	cert.Leaf = leaf
	return cert, nil
}

// put keeps one in memory, in the place of the one that was used least lately if there are too many.
func (c *certificates) put(h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tried, h.name)
	if el := c.byName[h.name]; el != nil {
		el.Value = h
		return
	}
	c.byName[h.name] = c.order.PushFront(h)
	if c.order.Len() > maxCertificates {
		c.dropLocked(c.order.Back())
	}
}

func (c *certificates) dropLocked(el *list.Element) {
	h := c.order.Remove(el).(*held)
	delete(c.byName, h.name)
	if err := os.Remove(c.file(h.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.p.log.Warn("the certificate of a host that is not routed any more is not deleted", "host", h.name, "error", err)
	}
}

func (c *certificates) get(name string) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byName[name]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*held)
}

// GetCertificate implements router.CertificateSource. A host of the table gets its own certificate, obtained now if it must
// be; every other name, and none, the fallback.
func (c *certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if _, err := netip.ParseAddr(name); err == nil || !c.p.router.Routed(name) {
		name = routerfeed.Fallback
	}
	if h := c.get(name); h != nil && !(h.makeshift && time.Now().After(h.next)) {
		return h.cert, nil
	}
	ctx, cancel := context.WithTimeout(hello.Context(), handshakePatience)
	defer cancel()
	if err := c.obtain(ctx, name); err != nil {
		c.p.log.Debug("no certificate for a host", "host", name, "error", err)
	}
	for _, n := range []string{name, routerfeed.Fallback} {
		if h := c.get(n); h != nil {
			return h.cert, nil
		}
	}
	return nil, fmt.Errorf("there is no certificate for %s here, and the controller is not reached", name)
}

// obtain asks for one name. Those who want the same wait for one another.
func (c *certificates) obtain(ctx context.Context, name string) error {
	c.mu.Lock()
	if done := c.asking[name]; done != nil {
		c.mu.Unlock()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !c.p.keep.has(name) && !c.rare.Allow() {
		c.mu.Unlock()
		return errors.New("too many names are asked for that no route names")
	}
	done := make(chan struct{})
	c.asking[name] = done
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.asking, name)
		c.mu.Unlock()
		close(done)
	}()
	return c.ask(ctx, []string{name}, false)
}

// ask asks for certificates and keeps what comes.
func (c *certificates) ask(ctx context.Context, names []string, ahead bool) error {
	var out routerfeed.Certificates
	in := routerfeed.CertificatesRequest{Key: c.public, Names: names, Ahead: ahead}
	if err := c.p.tell(ctx, routerfeed.CertificatesPath, in, &out); err != nil {
		return err
	}
	var errs []error
	for name, from := range out.Certificates {
		cert, err := c.parse(from)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate of %s: %w", name, err))
			continue
		}
		f := onDisk{name, from, askAgain(cert.Leaf, from.Makeshift, time.Now())}
		c.put(&held{name, cert, f.Next, f.Makeshift})
		text, err := json.Marshal(f)
		if err == nil {
			err = program.WriteFile(c.file(name), text)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// askAgain is when a certificate is asked for again: long before it ends, and soon enough to notice one that took its place.
func askAgain(leaf *x509.Certificate, makeshift bool, now time.Time) time.Time {
	if makeshift {
		return now.Add(makeshiftLife)
	}
	return now.Add(max(min(leaf.NotAfter.Sub(leaf.NotBefore)/10, maxAge), time.Second))
}

// run gets what is missing for hosts of the table, and the next ones in time, until ctx ends.
func (c *certificates) run(ctx context.Context) error {
	tick := time.NewTicker(certRound)
	defer tick.Stop()
	for {
		names := c.due(time.Now())
		for part := range slices.Chunk(names, routerfeed.MaxNames/2) {
			if err := c.ask(ctx, part, true); err != nil && ctx.Err() == nil {
				c.p.log.Debug("certificates are not heard", "error", err)
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// due are the names to ask for: each is tried once a minute at most. Certificates of hosts that are gone are dropped.
func (c *certificates) due(now time.Time) []string {
	hosts := c.p.keep.hosts()
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	want := func(name string) {
		if now.Sub(c.tried[name]) >= time.Minute {
			c.tried[name] = now
			names = append(names, name)
		}
	}
	for el := c.order.Front(); el != nil; {
		h, this := el.Value.(*held), el
		el = el.Next()
		switch {
		case h.name != routerfeed.Fallback && !c.p.router.Routed(h.name):
			c.dropLocked(this)
		case now.After(h.next):
			want(h.name)
		}
	}
	hosts[routerfeed.Fallback] = true
	for name := range hosts {
		if c.byName[name] == nil && !strings.HasPrefix(name, "*.") {
			want(name)
		}
	}
	for name := range c.tried {
		if !hosts[name] && c.byName[name] == nil {
			delete(c.tried, name)
		}
	}
	slices.SortFunc(names, cmp.Compare)
	return names
}

// ServeChallenge implements router.CertificateSource.
func (c *certificates) ServeChallenge(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, routerfeed.ChallengePrefix) || !c.p.settings.Load().Challenges {
		return false
	}
	return c.p.challenge(w, r)
}
