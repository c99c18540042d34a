package nomadserver

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/enginetest"
	"github.com/cupola-paas/cupola/node/nomad"
)

// TestEngine: the whole contract holds in a cluster with access control and TLS both ways, with a token that has the policy
// which the documentation names and no more.
func TestEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the contract is not tested in a secured cluster")
	}
	if c, err := net.Dial("unix", "/var/run/docker.sock"); err != nil {
		t.Skip("no Docker here: the engine is not tested in a secured cluster")
	} else {
		c.Close()
	}
	s := open(t, options(t))
	installation := "t" + uuid.NewString()[:7]
	attach := func() *docker.Docker {
		d, err := docker.Open(context.Background(), docker.Options{Installation: installation, Attach: true, Resync: time.Hour, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Cleanup(func() {
		d := attach()
		if err := d.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		d.Close()
	})
	ca, cert, key := s.Files()
	enginetest.Run(t, func(t *testing.T, _ string) node.Engine {
		t.Helper()
		d := attach()
		e, err := nomad.Open(context.Background(), nomad.Options{
			Installation: installation, Address: s.URL(), Token: s.Token(), CACert: ca, ClientCert: cert, ClientKey: key,
			Local: d, LocalDNS: []netip.Addr{d.Gateway()}, Backoff: enginetest.Backoff, Resync: time.Hour, Logger: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}

// TestMachines: what operators do with nodes is within the policy, too.
func TestMachines(t *testing.T) {
	own := options(t)
	own.Oversubscribe = true
	s := open(t, own)
	o := nomad.Options{Installation: "t" + uuid.NewString()[:7], Address: s.URL(), Token: s.Token(), Oversubscribe: 0.5, Logger: quiet}
	o.CACert, o.ClientCert, o.ClientKey = s.Files()
	e, err := nomad.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var id string
	await(t, "the machine is a node", func() error {
		all, err := e.Machines(t.Context())
		if err == nil && (len(all) != 1 || !all[0].Up) {
			return node.ErrNotFound
		}
		if err == nil {
			id = all[0].ID
		}
		return err
	})
	north := "north"
	if err := e.SetLabels(t.Context(), id, map[string]*string{"zone": &north}); err != nil {
		t.Errorf("label: %v", err)
	}
	for _, eligible := range []bool{false, true} {
		if err := e.SetEligible(t.Context(), id, eligible); err != nil {
			t.Errorf("eligible %t: %v", eligible, err)
		}
	}
	if j, err := e.Joining(t.Context()); err != nil || !j.ACL || len(j.Servers) != 1 {
		t.Errorf("how machines join is %+v, %v", j, err)
	}
}
