package outpost

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/routerfeed"
	"github.com/cupola-paas/cupola/node/nomad/program"
	"github.com/cupola-paas/cupola/router"
)

const (
	tableFile  = "table.json"
	certFolder = "certificates"
	keyFile    = "key.pem"
)

// kept is what a router needs to begin without the controller. It has a secret: Settings.ServiceKey.
type kept struct {
	Version  string              `json:"version"`
	Settings routerfeed.Settings `json:"settings"`
	Routes   []router.Route      `json:"routes"`
}

// keeper knows what the router serves, and writes it down soon after it has changed.
type keeper struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	have     string // the version; empty: none is known
	settings routerfeed.Settings
	routes   map[router.Name]router.Route
	byHost   map[string]int // how many routes each host has
	changed  chan struct{}  // capacity one; made by wakeLocked
	told     chan struct{}  // closed when have is another
}

// load reads what an earlier run has kept; nil if there is nothing.
func (k *keeper) load() (*kept, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, tableFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &kept{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, err
	}
	k.set(*out)
	return out, nil
}

// set takes a whole table.
func (k *keeper) set(all kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have, k.settings = all.Version, all.Settings
	k.routes, k.byHost = make(map[router.Name]router.Route, len(all.Routes)), map[string]int{}
	for _, r := range all.Routes {
		k.putLocked(r)
	}
	k.wakeLocked()
}

func (k *keeper) putLocked(r router.Route) {
	k.dropLocked(r.Name())
	k.routes[r.Name()] = r
	if r.Host != "" {
		k.byHost[r.Host]++
	}
}

func (k *keeper) dropLocked(n router.Name) {
	if _, ok := k.routes[n]; !ok {
		return
	}
	delete(k.routes, n)
	if k.byHost[n.Host]--; k.byHost[n.Host] <= 0 {
		delete(k.byHost, n.Host)
	}
}

// change takes a change.
func (k *keeper) change(version string, c *router.Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have = version
	for _, n := range c.Remove {
		k.dropLocked(n)
	}
	for _, r := range c.Set {
		k.putLocked(r)
	}
	k.wakeLocked()
}

func (k *keeper) setSettings(s routerfeed.Settings) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings = s
	k.wakeLocked()
}

// lost says that it is not known what version the router serves: the whole table is to be asked for.
func (k *keeper) lost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have = ""
}

func (k *keeper) wakeLocked() {
	if k.told != nil {
		close(k.told)
		k.told = nil
	}
	if k.changed == nil {
		k.changed = make(chan struct{}, 1)
	}
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *keeper) version() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.have
}

// now is the version and what is closed when it is another.
func (k *keeper) now() (version string, other <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.told == nil {
		k.told = make(chan struct{})
	}
	return k.have, k.told
}

func (k *keeper) all() []router.Route {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.routes))
}

// has reports whether a route names the host itself, and not just a wildcard above it.
func (k *keeper) has(host string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return host == routerfeed.Fallback || k.byHost[host] > 0
}

// hosts are those of the table that are no wildcards.
func (k *keeper) hosts() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[string]bool, len(k.byHost))
	for host := range k.byHost {
		out[host] = true
	}
	return out
}

// run writes what has changed until ctx ends, and then once more. The larger the table, the longer it waits.
func (k *keeper) run(ctx context.Context) error {
	k.mu.Lock()
	k.wakeLocked()
	changed := k.changed
	k.mu.Unlock()
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return k.write()
		}
		began := time.Now()
		if err := k.write(); err != nil {
			k.log.Error("the table is not kept: a restart without the controller would find an older one", "error", err)
		}
		select {
		case <-time.After(max(keepPause, 20*time.Since(began))):
		case <-ctx.Done():
			return k.write()
		}
	}
}

// keepPause is the least time between two writes.
const keepPause = 500 * time.Millisecond

func (k *keeper) write() error {
	k.mu.Lock()
	out := kept{Version: k.have, Settings: k.settings, Routes: slices.Collect(maps.Values(k.routes))}
	k.mu.Unlock()
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return program.WriteFile(filepath.Join(k.dir, tableFile), text)
}
