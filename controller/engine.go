package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/migration"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/store"
)

// The engines.
const (
	engineDocker = "docker"
	engineNomad  = "nomad"
)

// Nomad is the cluster that runs the instances. What is empty comes from Nomad's own variables: NOMAD_ADDR,
// NOMAD_TOKEN, NOMAD_CACERT and so on.
type Nomad struct {
	Address, Token, Namespace     string
	CACert, ClientCert, ClientKey string
	// Servers are where clients reach Nomad's servers, host:port,...; empty: where those say that they are.
	Servers string
	// NodeCA, NodeCert and NodeKey are PEM files for the clients of joining machines, where the cluster uses TLS.
	NodeCA, NodeCert, NodeKey string
	// Own is a cluster that this server runs by itself, with the nomad program Program (empty: nomad), reached by machines that
	// join at the IP OwnAddress (empty: the host of --nodes, else where this machine's default route leads from), on the ports
	// OwnPorts: API, RPC, gossip (empty: 4646,4647,4648).
	Own                           bool
	Program, OwnAddress, OwnPorts string
	// Oversubscribe is the part of its memory limit that an instance reserves, above 0 up to 1; zero: all.
	Oversubscribe float64
}

func (c Config) validateEngine() error {
	if c.Engine != engineDocker && c.Engine != engineNomad {
		return fmt.Errorf("--engine %q is not known: use docker or nomad", c.Engine)
	}
	n := c.Nomad
	n.Program = "" // its variable is one of nodes, too
	if c.Engine == engineDocker && n != (Nomad{}) {
		return errors.New("the --nomad flags are for a cluster: give --engine nomad or --nomad, too")
	}
	if n.Oversubscribe < 0 || n.Oversubscribe > 1 {
		return fmt.Errorf("--nomad-memory-reserve %g is not from 0 to 1: give the part of its memory limit that an instance reserves, such as 0.5", n.Oversubscribe)
	}
	if (n.ClientCert == "") != (n.ClientKey == "") {
		return errors.New("--nomad-client-cert and --nomad-client-key go together: give both or neither")
	}
	if err := c.validateOwn(); err != nil {
		return err
	}
	return c.validateNodes()
}

// validateNodes is about what machines that join are given.
func (c Config) validateNodes() error {
	n := c.Nomad
	if c.Engine == engineDocker && c.NodesAddr != "" {
		return errors.New("--nodes is for a cluster: give --engine nomad, too")
	}
	if c.Engine == engineDocker && c.NodeNetwork != "" {
		return errors.New("--node-network is for a cluster: give --engine nomad, too")
	}
	if c.Engine == engineDocker && c.NodeCertificates != 0 {
		return errors.New("--node-certificates is for a cluster: give --engine nomad, too")
	}
	if d := c.NodeCertificates; d != 0 && (d < 10*time.Second || d > 30*24*time.Hour) {
		return fmt.Errorf("--node-certificates %s: give from 10s to 720h; a machine that is away for half of that must join anew", d)
	}
	if c.Engine == engineNomad {
		if err := validAddr("--nodes", c.NodesAddr); err != nil {
			return err
		}
		p, err := netip.ParsePrefix(c.NodeNetwork)
		if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() > 20 {
			return fmt.Errorf("--node-network %q: name an IPv4 network of /20 or larger, such as 10.176.0.0/12: each machine gets a /20 of it", c.NodeNetwork)
		}
	}
	for _, server := range strings.FieldsFunc(n.Servers, func(r rune) bool { return r == ',' }) {
		if err := validAddr("--nomad-servers", server); err != nil {
			return err
		}
	}
	given := 0
	for _, file := range []string{n.NodeCA, n.NodeCert, n.NodeKey} {
		if file == "" {
			continue
		}
		given++
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("--nomad-node-ca-cert, --nomad-node-cert, --nomad-node-key: %w", err)
		}
	}
	if given != 0 && given != 3 {
		return errors.New("--nomad-node-ca-cert, --nomad-node-cert and --nomad-node-key go together: give all or none")
	}
	return nil
}

// engineSetting remembers which engine the last start used.
const engineSetting = "engine"

// openEngine opens Docker on this machine, which builds need in any case, and the cluster if there is one.
func (s *Server) openEngine(ctx context.Context) (err error) {
	if err := s.checkEngine(); err != nil {
		return err
	}
	o := docker.Options{
		Installation: s.installation, Host: s.config.DockerHost, HostPorts: s.routerPorts(),
		ImagePrefix: s.registry.Host() + "/", Logger: s.log,
	}
	if s.config.Engine == engineNomad {
		o.Attach, o.DialFar = true, s.dialFar
	}
	s.local, err = docker.Open(ctx, o)
	if err != nil {
		return err
	}
	s.engine = s.local
	s.listenInside(ctx)
	for _, w := range s.local.Warnings() {
		s.log.Warn("engine", "warning", w)
	}
	if s.config.Engine == engineNomad {
		if err := s.openNomad(ctx); err != nil {
			return err
		}
	}
	s.onClose(s.engine.Close)
	return s.db.Update(func(tx *store.Tx) error {
		return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: engineSetting}, Value: []byte(s.config.Engine)})
	})
}

// openNomad connects to the cluster. Its engine closes the local one with itself.
func (s *Server) openNomad(ctx context.Context) error {
	if err := s.openOwnNomad(ctx); err != nil {
		return errors.Join(err, s.local.Close())
	}
	o := s.nomadOptions(s.local)
	o.ImagePrefix, o.LocalRegistry = s.registry.Host()+"/", s.registry.Host()
	o.LocalPull, o.Connect = s.registry.PullToken, s.connectAgent
	move := &migration.Loop{DB: s.db, Log: s.log}
	settled, err := move.First()
	if err != nil {
		return errors.Join(err, s.local.Close())
	}
	o.Settlement = settled
	e, err := nomad.Open(ctx, o)
	if err != nil {
		return err // with the local engine closed
	}
	s.engine, s.migration, move.Engine, move.Reachable = e, move, e, e.Reachable
	return nil
}

func (s *Server) nomadOptions(local *docker.Docker) nomad.Options {
	c := s.config.Nomad
	o := nomad.Options{
		Installation: s.installation, Address: c.Address, Token: c.Token, Namespace: c.Namespace,
		CACert: c.CACert, ClientCert: c.ClientCert, ClientKey: c.ClientKey, Oversubscribe: c.Oversubscribe,
		Local: local, Places: places{s.db}, LocalDNS: []netip.Addr{local.Gateway()}, Logger: s.log,
	}
	if own := s.ownNomad; own != nil {
		o.Address, o.Token, o.Namespace = own.URL(), own.Token(), "default"
		o.CACert, o.ClientCert, o.ClientKey = own.Files()
	}
	return o
}

// checkEngine refuses to go back to one machine while instances run in the cluster: nobody would stop those. Once all has
// moved back there is none, and with the cluster the migration is forgotten.
func (s *Server) checkEngine() error {
	if s.config.Engine == engineNomad {
		return nil
	}
	return s.db.Update(func(tx *store.Tx) error {
		was, err := store.Settings.Get(tx, engineSetting)
		if errors.Is(err, store.ErrNotFound) || err == nil && string(was.Value) == s.config.Engine {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := store.Migrations.Get(tx, store.MigrationGUID)
		switch {
		case err == nil && m.Target == engineDocker && m.State == store.MigrationDone:
			was.Value = []byte(engineDocker)
			return errors.Join(store.Migrations.Delete(tx, m.GUID), store.Settings.Put(tx, was))
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		for range store.Instances.All(tx) {
			return errors.New("instances run in the Nomad cluster: start with --engine nomad, and move them here with cupola engine migrate docker")
		}
		return nil
	})
}
