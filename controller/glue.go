package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/builders"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// This file translates between packages that must not know each other: each type gives one of them what the
// other has, in the words it asks for.

// usage gives the API the engine's figures. An instance is entitled to the share of the machine's processors
// that its memory is of the machine's memory, as Cloud Foundry reckons it.
type usage struct {
	engine         node.Engine
	db             *store.DB
	coresPerMemory float64 // processors for each MB
	logRate        func(id string) int64
}

func newUsage(engine node.Engine, db *store.DB) (*usage, error) {
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return nil, fmt.Errorf("read the machine's memory: %w", err)
	}
	memoryMB := float64(machine.Totalram) * float64(machine.Unit) / (1 << 20)
	none := func(string) int64 { return 0 }
	return &usage{engine, db, float64(runtime.NumCPU()) / memoryMB, none}, nil
}

func (u *usage) Usage(ctx context.Context, ids ...string) (map[string]api.Usage, error) {
	seen, err := u.engine.Usage(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]api.Usage, len(seen))
	err = u.db.View(func(tx *store.Tx) error {
		for id, s := range seen {
			out[id] = api.Usage{Time: s.Time, CPU: s.CPU, CPUEntitlement: s.CPU / u.entitled(tx, id), MemoryBytes: s.MemoryBytes, DiskBytes: s.DiskBytes, LogRate: u.logRate(id)}
		}
		return nil
	})
	return out, err
}

// entitled is how many processors are an instance's due.
func (u *usage) entitled(tx *store.Tx, id string) float64 {
	const least = 0.001
	i, err := store.Instances.Get(tx, id)
	if err != nil {
		return 1 // it has just gone
	}
	return max(least, float64(i.MemoryMB)*u.coresPerMemory)
}

// sources gives the staging loop the bits of packages.
type sources struct{ blobs *store.Blobs }

func (s sources) Unpack(ctx context.Context, p *store.Package, dir string) error {
	f, err := s.blobs.Open(p.SHA256)
	if err != nil {
		return fmt.Errorf("the bits of package %s: %w", p.GUID, err)
	}
	defer f.Close()
	return builders.UnpackBits(ctx, f, dir)
}

// uploads gives the staging loop the files of uploaded buildpacks.
type uploads struct{ blobs *store.Blobs }

func (u uploads) Unpack(ctx context.Context, b *store.Buildpack, dir string) error {
	f, err := u.blobs.Open(b.SHA256)
	if err != nil {
		return fmt.Errorf("the bits of buildpack %s: %w", b.Name, err)
	}
	defer f.Close()
	return builders.UnpackUpload(ctx, f, b.Lifecycle, dir)
}

// droplets gives the staging loop the archives that people uploaded.
type droplets struct{ blobs *store.Blobs }

func (d droplets) Droplet(sum string) (io.ReadCloser, error) { return d.blobs.Open(sum) }

// writeDroplet writes an image of ours as a droplet archive.
func (s *Server) writeDroplet(ctx context.Context, repository, digest, start string, w io.Writer) error {
	return s.builder.WriteDroplet(ctx, s.registry.Host()+"/"+repository+"@"+digest, start, w)
}

// rebase puts an image of ours onto another run image and returns its new digest.
func (s *Server) rebase(ctx context.Context, repository, digest, runImage string) (string, error) {
	fresh, err := s.builder.Rebase(ctx, s.registry.Host()+"/"+repository, digest, runImage)
	if errors.Is(err, export.ErrNotRebasable) {
		return "", capi.UnprocessableEntity.Errorf("The droplet cannot be rebased: stage the app again.")
	}
	return fresh, err
}

// knownHosts says which names deserve a certificate: the platform's own, and those that routes lead to.
type knownHosts struct {
	db     *store.DB
	system map[string]bool
}

// known is called in TLS handshakes; it reads indexes only.
func (k *knownHosts) known(host string) bool {
	if k.system[host] {
		return true
	}
	found := false
	_ = k.db.View(func(tx *store.Tx) error {
		found = routeExists(tx, "", host)
		label, domain, ok := strings.Cut(host, ".")
		for ok && !found {
			found = routeExists(tx, label, domain) || routeExists(tx, "*", domain)
			var next string
			next, domain, ok = strings.Cut(domain, ".")
			label += "." + next
		}
		return nil
	})
	return found
}

func routeExists(tx *store.Tx, host, domain string) bool {
	d, err := store.Domains.Find(tx, "name", domain)
	if err != nil || d.Internal {
		return false
	}
	n, err := store.Routes.Count(tx, store.By("domain", d.GUID), store.By("host", host))
	return err == nil && n > 0
}

// appLogs lets clean-up remove the logs of deleted apps.
type appLogs struct{ store *logs.Store }

func (a appLogs) Sweep(keep func(appGUID string) bool) error {
	sources, err := a.store.Sources()
	if err != nil {
		return err
	}
	for _, source := range sources {
		if keep(source) {
			continue
		}
		if err := a.store.Delete(source); err != nil {
			return err
		}
	}
	return nil
}

// platformInstance is the instance id of lines that the platform itself writes.
const platformInstance = "0"

// now is the time of such lines.
func now() time.Time { return time.Now().UTC() }
