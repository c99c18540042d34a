package controller

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/cupola-paas/cupola/buildpack/system"
	"github.com/cupola-paas/cupola/store"
)

// seed writes what a fresh platform has and clients look for (contract 3.7, 3.8): it adds what is missing
// and changes nothing that somebody may have changed, except the versions of our own buildpacks.
func seed(db *store.DB, c Config, withSystemBuildpacks bool) error {
	return db.Update(func(tx *store.Tx) error {
		steps := []error{
			seedQuota(tx),
			seedDomain(tx, c.AppsDomain),
			seedRouting(tx, c.TCPPorts),
			seedSecurityGroups(tx),
			addMissing(tx, store.IsolationSegments, "shared", &store.IsolationSegment{Name: "shared"}),
		}
		if withSystemBuildpacks {
			steps = append(steps, seedBuildpacks(tx))
		}
		return errors.Join(steps...)
	})
}

// addMissing puts the record unless there is one of that name.
func addMissing[T any](tx *store.Tx, table *store.Table[T], name string, rec *T) error {
	_, err := table.Find(tx, "name", name)
	if errors.Is(err, store.ErrNotFound) {
		return table.Put(tx, rec)
	}
	return err
}

func seedQuota(tx *store.Tx) error {
	return addMissing(tx, store.OrgQuotas, "default", &store.Quota{
		Name: "default", TotalMemoryMB: 100 << 10, ProcessMemoryMB: store.Unlimited, TotalInstances: store.Unlimited,
		AppTasks: store.Unlimited, LogRateBytes: store.Unlimited, PaidServicesAllowed: true,
		ServiceInstances: 100, ServiceKeys: store.Unlimited, Routes: 1000, ReservedPorts: 100, Domains: store.Unlimited,
	})
}

// seedDomain makes the shared domain of a new name once; a domain that was deleted stays deleted.
func seedDomain(tx *store.Tx, name string) error {
	return once(tx, appsDomainSetting, name, func() error {
		return addMissing(tx, store.Domains, name, &store.Domain{Name: name})
	})
}

// seedSecurityGroups has the two groups that Cloud Foundry ships: public addresses, and DNS.
func seedSecurityGroups(tx *store.Tx) error {
	public := `[{"protocol":"all","destination":"0.0.0.0-9.255.255.255"},{"protocol":"all","destination":"11.0.0.0-169.253.255.255"},` +
		`{"protocol":"all","destination":"169.255.0.0-172.15.255.255"},{"protocol":"all","destination":"172.32.0.0-192.167.255.255"},` +
		`{"protocol":"all","destination":"192.169.0.0-255.255.255.255"}]`
	dns := `[{"protocol":"tcp","destination":"0.0.0.0/0","ports":"53"},{"protocol":"udp","destination":"0.0.0.0/0","ports":"53"}]`
	return errors.Join(
		addMissing(tx, store.SecurityGroups, "public_networks", &store.SecurityGroup{Name: "public_networks", Rules: []byte(public), Running: true, Staging: true}),
		addMissing(tx, store.SecurityGroups, "dns", &store.SecurityGroup{Name: "dns", Rules: []byte(dns), Running: true, Staging: true}),
	)
}

// seedBuildpacks adds our buildpacks, each behind the one that it follows in our order, and notes their versions.
func seedBuildpacks(tx *store.Tx) error {
	before := ""
	for _, b := range system.Buildpacks() {
		if b.CFName == "" {
			continue // takes part in detection only
		}
		rec, err := store.Buildpacks.Find(tx, "name", b.CFName)
		if errors.Is(err, store.ErrNotFound) {
			rec, err = insertBuildpack(tx, b.CFName, before)
		}
		if err != nil {
			return err
		}
		before = b.CFName
		if rec.SHA256 != "" || rec.SystemID == b.ID && rec.Version == b.Version {
			continue // somebody's own upload, or ours already
		}
		rec.SystemID, rec.Version, rec.Filename = b.ID, b.Version, b.CFName+"-"+b.Version+".cnb"
		if err := store.Buildpacks.Put(tx, rec); err != nil {
			return err
		}
	}
	return nil
}

// insertBuildpack makes a record at the place behind the one named before; those after it move up.
func insertBuildpack(tx *store.Tx, name, before string) (*store.Buildpack, error) {
	all, _, err := store.Buildpacks.List(tx, store.Query[store.Buildpack]{
		Where: []store.Cond{store.By("lifecycle", "buildpack")}, OrderBy: "position",
	})
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(b *store.Buildpack) bool { return b.Name == before }) + 1
	if before == "" {
		at = len(all)
	}
	for i, b := range all[at:] {
		b.Position = at + i + 2
		if err := store.Buildpacks.Put(tx, b); err != nil {
			return nil, err
		}
	}
	return &store.Buildpack{Name: name, Lifecycle: "buildpack", Position: at + 1, Enabled: true, State: store.StateReady}, nil
}

// Names of settings.
const (
	installationSetting   = "installation"
	registrySetting       = "registry.password"
	pullSetting           = "registry.pull_password"
	registryHostSetting   = "registry.host"
	appsDomainSetting     = "apps_domain"
	internalDomainSetting = "internal_domain"
	tcpPortsSetting       = "tcp_ports"
	routeServiceSetting   = "route_service.key"
)

// setting returns a value of our own, made by fresh at the first call.
func setting(db *store.DB, name string, fresh func() []byte) (string, error) {
	var value []byte
	err := db.Update(func(tx *store.Tx) error {
		s, err := store.Settings.Get(tx, name)
		if errors.Is(err, store.ErrNotFound) {
			s = &store.Setting{Meta: store.Meta{GUID: name}, Value: fresh()}
			err = store.Settings.Put(tx, s)
		}
		if err == nil {
			value = s.Value
		}
		return err
	})
	return string(value), err
}

// randomHex returns 2n characters.
func randomHex(n int) func() []byte {
	return func() []byte {
		b := make([]byte, n)
		rand.Read(b)
		return []byte(hex.EncodeToString(b))
	}
}
