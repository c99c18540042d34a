package controller

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/store"
)

// drainLoop makes the drains that run those of the bindings.
type drainLoop struct {
	db     *store.DB
	drains *logs.Drains
	log    *slog.Logger
}

// Run follows the bindings until ctx ends, then ends all drains.
func (l *drainLoop) Run(ctx context.Context) error {
	changed := l.db.Watch(ctx, store.ServiceBindings.Name(), store.ServiceInstances.Name())
	for {
		if wanted, err := l.wanted(); err != nil {
			l.log.Warn("drains can't be read", "error", err)
		} else {
			l.drains.Set(wanted)
		}
		select {
		case <-ctx.Done():
			return l.drains.Close()
		case <-changed:
		}
	}
}

func (l *drainLoop) wanted() ([]logs.Drain, error) {
	var all []logs.Drain
	err := l.db.View(func(tx *store.Tx) error {
		for b := range store.ServiceBindings.All(tx) {
			if b.Type != store.BindingApp || b.Unmade {
				continue
			}
			i, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
			if err != nil {
				return err
			}
			address := appenv.DrainURL(b, i)
			if address == "" {
				continue
			}
			d := logs.Drain{ID: b.GUID, SourceID: b.AppGUID, URL: address}
			d.CA, d.Cert, d.Key = drainCredentials(appenv.Credentials(b, i))
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// drainCredentials are what a drain with TLS needs; credentials that are something else are left alone.
func drainCredentials(raw json.RawMessage) (ca, cert, key string) {
	var members map[string]any
	if json.Unmarshal(raw, &members) != nil {
		return "", "", ""
	}
	text := func(name string) string { s, _ := members[name].(string); return s }
	return text("ca"), text("cert"), text("key")
}

// openDrains opens the drains with their guard.
func (s *Server) openDrains() (*drainLoop, error) {
	var allow []netip.Prefix
	for _, text := range s.config.DrainAllow {
		prefix, err := parseNetwork(text)
		if err != nil {
			return nil, err // Validate has looked already
		}
		allow = append(allow, prefix)
	}
	drains, err := s.logs.OpenDrains(logs.DrainOptions{
		Guard: logs.Guard{Allow: allow, OwnPort: s.openPort, Inside: s.local.Subnets()},
		Note:  func(app, text string) { s.sink.Platform(app, "LGR", platformInstance, text) },
		Log:   s.log,
	})
	return &drainLoop{s.db, drains, s.log}, err
}

// openPort reports whether everybody may connect to a port of this machine: it is the router's, or a TCP route's.
func (s *Server) openPort(port int) bool {
	for _, addr := range []string{s.router.HTTPAddr(), s.router.HTTPSAddr()} {
		if _, text, err := net.SplitHostPort(addr); err == nil && text == strconv.Itoa(port) {
			return true
		}
	}
	routes := 0
	_ = s.db.View(func(tx *store.Tx) (err error) { // none when it fails
		routes, err = store.Routes.Count(tx, store.By("port", strconv.Itoa(port)))
		return err
	})
	return routes > 0
}

// parseNetwork reads 10.0.0.0/8, or a single address.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}
