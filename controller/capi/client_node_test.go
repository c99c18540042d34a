package capi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestJoiner: the secret goes to the server whose CA has the fingerprint, and to nobody else.
func TestJoiner(t *testing.T) {
	var secrets []string
	platform := func() *httptest.Server {
		var srv *httptest.Server
		srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a := r.Header.Get("Authorization"); a != "" {
				secrets = append(secrets, a)
			}
			switch r.URL.Path {
			case "/ca.pem":
				_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			case "/v3/nodes":
				var in NodeJoin
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name != "vm-1" {
					t.Errorf("the machine says %+v, %v", in, err)
				}
				_ = json.NewEncoder(w).Encode(NodeWelcome{GUID: "n1"})
			}
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	srv := platform()
	sum := sha256.Sum256(srv.Certificate().RawSubjectPublicKeyInfo)
	fingerprint := base64.RawURLEncoding.EncodeToString(sum[:])
	j, err := OpenJoin(t.Context(), srv.URL, "secret."+fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if j.Clock.IsZero() || j.Asked.Sub(j.Clock).Abs().Seconds() > 5 {
		t.Errorf("the server's clock is %s at %s", j.Clock, j.Asked)
	}
	if len(secrets) != 0 {
		t.Errorf("before the join the secret was sent: %v", secrets)
	}
	w, err := j.Join(t.Context(), NodeJoin{Name: "vm-1"})
	if err != nil || w.GUID != "n1" || len(secrets) != 1 || secrets[0] != "Node-Token secret" {
		t.Errorf("join = %+v, %v; the server heard %v", w, err, secrets)
	}
	other := sha256.Sum256([]byte("somebody else"))
	if _, err := OpenJoin(t.Context(), srv.URL, "secret."+base64.RawURLEncoding.EncodeToString(other[:])); !errors.Is(err, ErrOtherServer) {
		t.Errorf("with the fingerprint of another CA: %v", err)
	}
	if _, err := OpenJoin(t.Context(), srv.URL, "secret."+PublicTrust); err == nil {
		t.Error("a server that no public CA vouches for is believed")
	}
	for _, bad := range []string{"", "secret", "secret.", ".x", "secret.short", "secret.###"} {
		if _, err := OpenJoin(t.Context(), srv.URL, bad); !errors.Is(err, ErrBadToken) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	if len(secrets) != 1 {
		t.Errorf("the secret went out %d times, want once", len(secrets))
	}
}
