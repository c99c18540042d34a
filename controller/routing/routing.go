// Package routing is the loop that keeps the router's table equal to the store: healthy instances joined
// with the destinations of routes. It writes nothing to the store and calls no other loop; the controller
// runs it.
package routing

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sort"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/router"
	"github.com/cupola-paas/cupola/store"
)

// DefaultPort is where a web process listens when neither it nor the destination names a port.
const DefaultPort = 8080

// pause is the least time between two passes, so that a burst of changes costs one table, not many. A
// change after a quiet time is seen at once.
const pause = 25 * time.Millisecond

// resync is how often a pass is made without a change, against a wake-up lost to a bug.
const resync = time.Minute

// Tables takes a whole new table; *router.Router is one.
type Tables interface {
	SetTable(router.Table) error
}

// Loop builds tables. System are the platform's own routes (API, login, log cache), always present.
type Loop struct {
	DB     *store.DB
	Router Tables
	System []router.Route
	Log    *slog.Logger
}

// Run steps until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	wake := l.DB.Watch(ctx, store.Routes.Name(), store.Domains.Name(), store.Instances.Name())
	for {
		wait := resync
		if err := l.Step(); err != nil {
			l.Log.Error("routing table not renewed", "error", err)
			wait = time.Second
		}
		if !sleep(ctx, pause, nil) || !sleep(ctx, wait, wake) {
			return nil
		}
	}
}

// sleep waits for d or wake; it reports false when ctx ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// Step builds the table from one moment of the store and hands it over.
func (l *Loop) Step() error {
	var table router.Table
	err := l.DB.View(func(tx *store.Tx) error {
		table.Routes = append(append(table.Routes, l.System...), l.appRoutes(tx)...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	return l.Router.SetTable(table)
}

// processKey names the processes of one type of one app; during a deployment there are two of them.
type processKey struct{ app, processType string }

// appRoutes leaves out what would take one of the platform's own names: a route made before the name was.
func (l *Loop) appRoutes(tx *store.Tx) []router.Route {
	taken := map[string]bool{}
	for _, r := range l.System {
		taken[r.Host] = true
	}
	instances := routableInstances(tx)
	domains := map[string]*store.Domain{}
	for d := range store.Domains.All(tx) {
		domains[d.GUID] = d
	}
	var routes []router.Route
	for r := range store.Routes.All(tx) {
		d := domains[r.DomainGUID]
		if d == nil || d.Internal || r.Port != 0 || len(r.Destinations) == 0 {
			continue
		}
		made := appRoute(r, d, instances)
		if err := made.Validate(); err != nil {
			l.Log.Error("route left out of the table", "route", r.GUID, "error", err) // it must not hold up the others
			continue
		}
		if !taken[made.Host] {
			routes = append(routes, made)
		}
	}
	return routes
}

func routableInstances(tx *store.Tx) map[processKey][]*store.Instance {
	byProcess := map[processKey][]*store.Instance{}
	for i := range store.Instances.All(tx) {
		if !i.Routable || i.State != store.InstanceRunning || i.Address == "" {
			continue
		}
		key := processKey{i.AppGUID, i.ProcessType}
		byProcess[key] = append(byProcess[key], i)
	}
	for _, list := range byProcess {
		sort.Slice(list, func(a, b int) bool { return list[a].Index < list[b].Index })
	}
	return byProcess
}

func appRoute(r *store.Route, d *store.Domain, instances map[processKey][]*store.Instance) router.Route {
	out := router.Route{
		Host:          Host(r.Host, d.Name),
		Path:          r.Path,
		AppGUID:       r.Destinations[0].AppGUID,
		LoadBalancing: r.Options["loadbalancing"],
		HashHeader:    r.Options["hash_header"],
	}
	if balance, err := strconv.ParseFloat(r.Options["hash_balance"], 64); err == nil {
		out.HashBalance = balance
	}
	for _, dest := range r.Destinations {
		for _, i := range instances[processKey{dest.AppGUID, dest.ProcessType}] {
			out.Endpoints = append(out.Endpoints, endpoint(dest, i))
		}
	}
	return out
}

func endpoint(dest store.Destination, i *store.Instance) router.Endpoint {
	e := router.Endpoint{
		Address:     net.JoinHostPort(i.Address, strconv.Itoa(port(dest, i))),
		InstanceID:  i.GUID,
		Index:       i.Index,
		ProcessGUID: i.ProcessGUID,
		AppGUID:     i.AppGUID,
		Protocol:    dest.Protocol,
	}
	if dest.Weight != nil {
		e.Weight = *dest.Weight
	}
	return e
}

func port(dest store.Destination, i *store.Instance) int {
	switch {
	case dest.Port != 0:
		return dest.Port
	case len(i.Ports) > 0:
		return i.Ports[0]
	}
	return DefaultPort
}

// Host joins the host part of a route with its domain; a route without a host is the domain itself.
func Host(host, domain string) string {
	if host == "" {
		return domain
	}
	return host + "." + domain
}
