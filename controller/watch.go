package controller

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// This file gives the API what operators watch: the one machine, its disks, certificates, and what apps said last.

// oneMachine is the list of nodes where there is no cluster.
type oneMachine struct {
	db     *store.DB
	engine *docker.Docker
}

func (m oneMachine) List(context.Context) ([]capi.Node, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	here := m.engine.Machine()
	n := capi.Node{GUID: "this", Name: name, Version: here.Version, State: capi.NodeReady, Memory: here.MemoryMB, Single: true}
	err = m.db.View(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			n.Count, n.Reserved = n.Count+1, n.Reserved+i.MemoryMB
		}
		tasks, _, err := store.Tasks.List(tx, store.Query[store.Task]{Where: []store.Cond{store.By("state", "RUNNING")}})
		for _, t := range tasks {
			n.Count, n.Reserved = n.Count+1, n.Reserved+t.MemoryMB
		}
		return err
	})
	return []capi.Node{n}, err
}

func (oneMachine) Drain(context.Context, string, bool) error               { return errOneMachine }
func (oneMachine) Label(context.Context, string, map[string]*string) error { return errOneMachine }
func (oneMachine) Remove(context.Context, string) error                    { return errOneMachine }

var errOneMachine = capi.UnableToPerform.Errorf("This platform runs on one machine: start its server with --engine nomad to have nodes")

// partsFor is how long the sizes of folders are good enough: reading them looks at each file.
const partsFor = 10 * time.Minute

// disks are the file systems of the data folder and of Docker.
type disks struct {
	dir, docker string // docker is empty where it is on another machine

	mu    sync.Mutex // guards the rest, and lets one at a time look at all files
	at    time.Time
	parts []capi.DiskPart
}

var _ api.Disks = (*disks)(nil)

func (d *disks) Disks(ctx context.Context) ([]capi.Disk, error) {
	data, device, err := fileSystem(d.dir)
	if err != nil {
		return nil, err
	}
	data.Name = "data"
	if data.Parts, err = d.folders(ctx); err != nil {
		return nil, err
	}
	all := []capi.Disk{data}
	if images, other, err := fileSystem(d.docker); err == nil { // it may be elsewhere than we see it, or nowhere
		images.Name = "containers"
		if other == device {
			all[0].Name = "data and containers"
		} else {
			all = append(all, images)
		}
	}
	for i := range all {
		judgeDisk(&all[i])
	}
	return all, nil
}

// fileSystem measures what a folder is on.
func fileSystem(dir string) (capi.Disk, uint64, error) {
	var is unix.Statfs_t
	var st unix.Stat_t
	if err := cmp.Or(unix.Statfs(dir, &is), unix.Stat(dir, &st)); err != nil {
		return capi.Disk{}, 0, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	return capi.Disk{Path: dir, Total: int64(is.Blocks) * is.Bsize, Free: int64(is.Bavail) * is.Bsize, Parts: capi.Array[capi.DiskPart]{}}, st.Dev, nil
}

func judgeDisk(d *capi.Disk) {
	const gb = 1 << 30
	d.State = capi.DiskFine
	switch {
	case d.Free < d.Total/20 || d.Free < gb:
		d.State, d.Remedy = capi.DiskFull, "make room now, or give the file system more: builds, pushes and databases fail when it is full"
	case d.Free < d.Total/7 || d.Free < 5*gb:
		d.State, d.Remedy = capi.DiskLow, "make room soon: delete apps and service instances that nobody needs, keep logs and backups for less long, or give the file system more"
	}
}

// folders are the parts of the data folder, the largest first.
func (d *disks) folders(ctx context.Context) ([]capi.DiskPart, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) < partsFor {
		return d.parts, nil
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	parts := []capi.DiskPart{}
	for _, e := range entries {
		n, err := sizeOf(ctx, filepath.Join(d.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			parts = append(parts, capi.DiskPart{Name: e.Name(), Bytes: n})
		}
	}
	slices.SortFunc(parts, func(a, b capi.DiskPart) int { return cmp.Compare(b.Bytes, a.Bytes) })
	d.at, d.parts = time.Now(), parts
	return parts, nil
}

// sizeOf is what a file or folder takes on the disk. What goes away meanwhile counts nothing.
func sizeOf(ctx context.Context, path string) (total int64, err error) {
	err = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone, or a container's own: not counted
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return ctx.Err()
	})
	return total, err
}

// certificates gives the API what the router knows of certificates.
type certificates struct {
	router *router.Certificates
	now    func() time.Time
}

var _ api.Certificates = certificates{}

func (c certificates) Certificate(ctx context.Context, host string) capi.Certificate {
	return c.show(c.router.Host(ctx, host))
}

func (c certificates) Certificates(ctx context.Context) ([]capi.Certificate, error) {
	public, err := c.router.Public(ctx)
	if err != nil {
		return nil, err
	}
	root := c.router.Root()
	own := capi.Certificate{
		Host: root.Subject.CommonName, Source: capi.CertificatePlatform, Authority: true, Issuer: root.Issuer.CommonName,
		State: capi.CertificateValid, NotBefore: &root.NotBefore, NotAfter: &root.NotAfter,
	}
	if left := root.NotAfter.Sub(c.now()); left < 0 {
		own.State = capi.CertificateExpired
	} else if left < 365*24*time.Hour {
		own.State = capi.CertificateEnding
	}
	if own.State != capi.CertificateValid {
		own.Remedy = "start the server again, which makes its successor, and have clients trust that: cupola ca"
	}
	all := []capi.Certificate{own}
	for _, one := range public {
		all = append(all, c.show(one))
	}
	return all, nil
}

func (c certificates) show(h router.HostCertificate) capi.Certificate {
	out := capi.Certificate{Host: h.Host, Source: capi.CertificateACME, Issuer: h.Issuer, State: capi.CertificateValid, Problem: h.Problem}
	if h.Local {
		out.Source = capi.CertificatePlatform
	}
	if !h.NotAfter.IsZero() {
		out.NotBefore, out.NotAfter = &h.NotBefore, &h.NotAfter
	}
	if !h.RetryAt.IsZero() {
		out.RetryAt = &h.RetryAt
	}
	reach := "have the name's address record point to this platform, and let the internet reach its ports 80 and 443; it is asked again by itself"
	switch now := c.now(); {
	case h.NotAfter.IsZero() && h.Problem != "":
		out.State, out.Remedy = capi.CertificateFailing, reach
	case h.NotAfter.IsZero():
		out.State = capi.CertificateToCome
	case now.After(h.NotAfter):
		out.State, out.Remedy = capi.CertificateExpired, reach
	case h.Due(now):
		out.State, out.Remedy = capi.CertificateEnding, reach
	}
	return out
}

// said returns what an app itself printed last.
func (s *Server) said(appGUID string, n int) []string {
	const looked = 40 // lines, of the router and the platform among them
	all, err := s.logs.Read(logs.Query{SourceID: appGUID, Limit: looked, Descending: true, Types: []logs.Type{logs.Log}})
	if err != nil {
		s.log.Warn("log not read", "app", appGUID, "error", err)
		return nil
	}
	var lines []string
	for _, e := range all {
		if strings.HasPrefix(e.Tags["source_type"], "APP") && len(lines) < n {
			lines = append(lines, string(e.Payload))
		}
	}
	slices.Reverse(lines)
	return lines
}
