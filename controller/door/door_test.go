package door

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// world is a door that is served, with images that tell who asks.
type world struct {
	t    *testing.T
	db   *store.DB
	c    *Door
	addr string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	images := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		io.WriteString(w, r.Method+" "+r.URL.Path+" as "+user+":"+password)
	})
	c, err := Open(Options{DB: db, Listener: l, Images: images, PullUser: "reader", Pull: "example-secret", PushUser: "pusher", Routing: routingFor, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		db.Close()
	})
	return &world{t, db, c, l.Addr().String()}
}

// node is a machine with a key of its own.
type node struct {
	key     *ecdsa.PrivateKey
	request []byte
}

func newNode(t *testing.T) node {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{ServerName}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return node{key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}
}

// client speaks to the door with a certificate, if there is one.
func (w *world) client(n node, cert []byte) *http.Client {
	w.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.c.CAPEM())
	config := &tls.Config{RootCAs: pool, ServerName: ServerName}
	if cert != nil {
		secret, err := x509.MarshalECPrivateKey(n.key)
		if err != nil {
			w.t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
		if err != nil {
			w.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

func (w *world) put(guid string) {
	w.t.Helper()
	err := w.db.Update(func(tx *store.Tx) error {
		return store.Nodes.Put(tx, &store.Node{Meta: store.Meta{GUID: guid}, Name: "vm"})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(c *http.Client, path string) (int, string) {
	w.t.Helper()
	res, err := c.Get("https://" + w.addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestDoor(t *testing.T) {
	w, n := newWorld(t), newNode(t)
	cert, err := w.c.Certify("n1", n.request)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(leaf.Bytes)
	if err != nil || len(parsed.DNSNames) != 1 || parsed.DNSNames[0] != NodeName("n1") {
		t.Fatalf("the certificate is for %v, %v: what the request says of names must not count", parsed.DNSNames, err)
	}
	c := w.client(n, cert)
	if status, _ := w.get(c, "/v2/"); status != http.StatusForbidden {
		t.Errorf("without a record of the node: %d, want 403", status)
	}
	w.put("n1")
	if status, text := w.get(c, "/v2/apps/a/manifests/x"); status != 200 || text != "GET /v2/apps/a/manifests/x as reader:example-secret" {
		t.Errorf("an image: %d %s", status, text)
	}
	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH"} {
		for _, as := range []struct {
			user string
			want int
			text string
		}{
			{"", http.StatusForbidden, "writes no images"}, {"cupola", http.StatusForbidden, "writes no images"},
			{"pusher", http.StatusOK, method + " /v2/apps/a/manifests/x as pusher:example-token"}, // the registry knows what that may
		} {
			req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.addr+"/v2/apps/a/manifests/x", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			if as.user != "" {
				req.SetBasicAuth(as.user, "example-token")
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != as.want || !strings.Contains(string(text), as.text) {
				t.Errorf("%s of an image as %q: %d %s, want %d", method, as.user, res.StatusCode, text, as.want)
			}
		}
	}
	if _, text := w.get(w.client(n, nil), "/v2/"); !strings.Contains(text, "certificate required") {
		t.Errorf("without a certificate: %s", text)
	}
	other, err := Open(Options{DB: emptyDB(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Certify("n1", n.request)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := w.get(w.client(n, foreign), "/v2/"); status != 0 {
		t.Errorf("with the certificate of another platform: %d %s", status, text)
	}
	if err := w.db.Update(func(tx *store.Tx) error { return store.Nodes.Delete(tx, "n1") }); err != nil {
		t.Fatal(err)
	}
	if status, _ := w.get(c, "/v2/"); status != http.StatusForbidden {
		t.Errorf("after the node was removed: %d, want 403", status)
	}
}

func emptyDB(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNextCertificate(t *testing.T) {
	w, n := newWorld(t), newNode(t)
	w.put("n1")
	cert, err := w.c.Certify("n1", n.request)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(body string) (int, string) {
		t.Helper()
		res, err := w.client(n, cert).Post("https://"+w.addr+"/v1/certificate", "application/x-pem-file", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	status, text := ask(string(n.request))
	var next Renewal
	if err := json.Unmarshal([]byte(text), &next); status != 200 || err != nil || next.CA != string(w.c.CAPEM()) {
		t.Fatalf("the next certificate: %d %v %s", status, err, text)
	}
	if status, _ := w.get(w.client(n, []byte(next.Certificate)), "/v2/"); status != 200 {
		t.Errorf("with the next certificate: %d", status)
	}
	if next.NomadCertificate != "" || next.NomadCA != "" {
		t.Error("a certificate for a Nomad that is somebody else's")
	}
	w.c.o.Nomad = func(request []byte) (cert, ca []byte, err error) { return request, []byte("ca of Nomad"), nil }
	if _, text = ask(string(n.request)); json.Unmarshal([]byte(text), &next) != nil || next.NomadCertificate != string(n.request) || next.NomadCA != "ca of Nomad" {
		t.Errorf("with a Nomad of our own: %s", text)
	}
	for _, bad := range []string{"", "x", strings.Replace(string(n.request), "REQUEST", "THING", 2), strings.Repeat("x", maxRequest+1)} {
		if status, _ := ask(bad); status != http.StatusBadRequest {
			t.Errorf("for %.20q: %d, want 400", bad, status)
		}
	}
}
