package docker

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node"
)

// Machine is what the engine runs on.
type Machine struct {
	MemoryMB int
	Version  string // of Docker
	Dir      string // where images, containers and volumes are; empty: on another machine
}

// Machine tells what was there when the engine was opened.
func (d *Docker) Machine() Machine {
	m := Machine{MemoryMB: d.info.memoryMB, Version: d.info.version}
	if d.info.local {
		m.Dir = d.info.rootDir
	}
	return m
}

const (
	// fullMB is what Docker's disk must have free for another image and its container, and roomMB what it must have again before
	// more is placed there.
	fullMB = 512
	roomMB = 1024
)

// Host tells how the machine is now.
func (d *Docker) Host(context.Context) (node.Host, error) {
	h := node.Host{Subnet: d.AppsSubnet()}
	var s unix.Statfs_t
	if !d.info.local || unix.Statfs(d.info.rootDir, &s) != nil {
		return h, nil // it is another machine's disk
	}
	least := uint64(fullMB)
	if d.full.Load() {
		least = roomMB
	}
	h.DiskFull = s.Bavail*uint64(s.Bsize)>>20 < least
	d.full.Store(h.DiskFull)
	return h, nil
}
