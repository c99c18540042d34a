package nomadserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/store"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func openStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// options are for a server on free ports of loopback.
func options(t *testing.T) Options {
	t.Helper()
	if _, err := exec.LookPath("nomad"); err != nil {
		t.Skip("no nomad on PATH: a server of our own is not tested here")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: Nomad's client needs that")
	}
	dir := filepath.Join(t.TempDir(), "nomad")
	t.Cleanup(func() {
		if err := Unmount(dir); err != nil {
			t.Log(err)
		}
	})
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return Options{DB: openStore(t), Dir: dir, Program: "nomad", Address: "127.0.0.1", HTTP: ports[0], RPC: ports[1], Serf: ports[2], Log: quiet}
}

func open(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSecured: without our certificate nobody connects, without a token nobody reads, and the controller's token may do just
// what it needs. A server that is opened again is the same one.
func TestSecured(t *testing.T) {
	o := options(t)
	s := open(t, o)
	none := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if res, err := none.Get(s.URL() + "/v1/status/leader"); err == nil {
		res.Body.Close()
		t.Errorf("without a certificate the API answers with %s", res.Status)
	}
	mine, nobody := client(t, s, s.Token()), client(t, s, "")
	if _, _, err := nobody.Jobs().List(nil); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("without a token jobs are listed: %v", err)
	}
	if _, _, err := mine.Jobs().List(nil); err != nil {
		t.Errorf("the controller's token lists no jobs: %v", err)
	}
	if _, _, err := mine.ACLTokens().List(nil); err == nil {
		t.Error("the controller's token reads tokens")
	}
	if _, err := mine.ACLPolicies().Upsert(&api.ACLPolicy{Name: "more", Rules: `node { policy = "write" }`}, nil); err == nil {
		t.Error("the controller's token makes policies")
	}
	for _, name := range []string{caFile, certFile, keyFile, configFile} {
		if info, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v; root alone shall read it", name, info.Mode(), err)
		}
	}
	token := s.Token()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Oversubscribe = true // an operator wants that of a cluster which is there
	again := open(t, o)
	if again.Token() != token {
		t.Error("a second start made another token")
	}
	root, err := secret(o.DB, bootstrapSetting, newSecret)
	if err != nil {
		t.Fatal(err)
	}
	scheduler, _, err := client(t, again, root).Operator().SchedulerGetConfiguration(nil)
	if err != nil || !scheduler.SchedulerConfig.MemoryOversubscriptionEnabled || scheduler.SchedulerConfig.SchedulerAlgorithm != api.SchedulerAlgorithmBinpack {
		t.Errorf("Nomad's scheduler has %+v, %v; memory shall be oversubscribed there, and nothing else changed", scheduler, err)
	}
	if !Made(o.DB) {
		t.Error("the store does not know of the server")
	}
}

func client(t *testing.T, s *Server, token string) *api.Client {
	t.Helper()
	c, err := s.client(token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// shown is the certificate that the API shows now.
func shown(s *Server) (*x509.Certificate, error) {
	ca, cert, key := s.Files()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{RootCAs: pool, ServerName: serverName, Certificates: []tls.Certificate{pair}})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// TestRenewalAndRestart: certificates are replaced while the server runs, and one that is killed comes back.
func TestRenewalAndRestart(t *testing.T) {
	o := options(t)
	o.Life = 20 * time.Second
	s := open(t, o)
	first, err := shown(s)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the API shows its third certificate", func() error {
		now, err := shown(s)
		switch {
		case err != nil:
			return err
		case now.NotAfter.Sub(first.NotAfter) < o.Life:
			return fmt.Errorf("it shows the one until %s", now.NotAfter)
		}
		return nil
	})
	before := s.program.Process()
	if before == 0 {
		t.Fatal("Nomad does not run")
	}
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "a Nomad that was killed leads again", func() error {
		if now := s.program.Process(); now == before || now == 0 {
			return errors.New("it was not started again")
		}
		leader, err := client(t, s, s.Token()).Status().Leader()
		if err == nil && leader == "" {
			err = errors.New("no leader")
		}
		return err
	})
}

// TestRefusals: what is wrong is said in words, before anything is started.
func TestRefusals(t *testing.T) {
	o := options(t)
	old := filepath.Join(t.TempDir(), "old-nomad")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho 'Nomad v1.6.2'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.RPC))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct{ program, want string }{
		{"/nowhere/nomad", "install Nomad 1.8.0 or later"}, {old, `is version "1.6.2": install Nomad 1.8.0 or later`}, {"nomad", "port for Nomad's RPC"},
	} {
		bad := o
		bad.Program = c.program
		if s, err := Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			if s != nil {
				s.Close()
			}
			t.Errorf("with the program %s: %v, want %q", c.program, err, c.want)
		}
	}
}

// TestConfig: what containers must not have is not there.
func TestConfig(t *testing.T) {
	s := &Server{o: Options{Dir: "/data/nomad", Address: "192.0.2.1", HTTP: 4646, RPC: 4647, Serf: 4648}}
	text, err := json.Marshal(s.config("a2V5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"addresses":{"http":"127.0.0.1","rpc":"192.0.2.1","serf":"192.0.2.1"}`, `"acl":{"enabled":true}`, `"encrypt":"a2V5"`, `"allow_privileged":false`,
		`"volumes":[{"enabled":false}]`, `"driver.allowlist":"docker"`, `"verify_server_hostname":true`, `"verify_https_client":true`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the configuration has no %s:\n%s", want, text)
		}
	}
	for _, never := range []string{"host_volume", "raw_exec"} {
		if strings.Contains(string(text), never) {
			t.Errorf("the configuration has %s", never)
		}
	}
}

// await tries until something is so.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(errors.Join(fmt.Errorf("never: %s", what), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
