package controller

import (
	"errors"

	"github.com/cupola-paas/cupola/controller/api"
	"github.com/cupola-paas/cupola/store"
)

// internalDomain is below which apps find each other inside the platform, without the router.
const internalDomain = "apps.internal"

// seedRouting makes the domain of internal routes once, and the router group that lends the ports of TCP routes.
func seedRouting(tx *store.Tx, tcpPorts string) error {
	return errors.Join(
		once(tx, internalDomainSetting, internalDomain, func() error {
			return addMissing(tx, store.Domains, internalDomain, &store.Domain{Name: internalDomain, Internal: true})
		}),
		once(tx, tcpPortsSetting, tcpPorts, func() error { return setReservablePorts(tx, tcpPorts) }),
	)
}

// setReservablePorts follows the configuration when that changes; between such changes operators change the group.
func setReservablePorts(tx *store.Tx, ports string) error {
	g, err := store.RouterGroups.Find(tx, "name", api.DefaultRouterGroup)
	if errors.Is(err, store.ErrNotFound) {
		g, err = &store.RouterGroup{Name: api.DefaultRouterGroup, Type: "tcp"}, nil
	}
	if err != nil {
		return err
	}
	g.ReservablePorts = ports
	return store.RouterGroups.Put(tx, g)
}

// once does something when a setting of that name does not have the value yet.
func once(tx *store.Tx, name, value string, do func() error) error {
	seen, err := store.Settings.Get(tx, name)
	if err == nil && string(seen.Value) == value {
		return nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: name}, Value: []byte(value)}), do())
}
