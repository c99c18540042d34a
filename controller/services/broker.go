package services

import (
	"context"
	"errors"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// BuiltIn is a broker of the platform's own, which is registered at every start: its record is made or brought up to
// date, its catalog is read until that succeeds, and its plans are for everybody unless an operator says other.
type BuiltIn struct {
	Name               string
	URL                string // on loopback
	Username, Password string
}

// register writes the records of the built-in brokers, each with an operation that reads the catalog. What was built
// in once and is no longer becomes a broker like any other, so that an operator can delete it.
func (l *Loop) register() error {
	return l.DB.Update(func(tx *store.Tx) error {
		kept := map[string]bool{}
		for _, b := range l.BuiltIn {
			guid, err := l.registerOne(tx, b)
			if err != nil {
				return err
			}
			kept[guid] = true
		}
		var former []*store.ServiceBroker
		for b := range store.ServiceBrokers.All(tx) {
			if b.BuiltIn && !kept[b.GUID] {
				former = append(former, b)
			}
		}
		for _, b := range former {
			b.BuiltIn = false
			if err := store.ServiceBrokers.Put(tx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Loop) registerOne(tx *store.Tx, b BuiltIn) (string, error) {
	rec, err := store.ServiceBrokers.Find(tx, "name", b.Name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		rec = &store.ServiceBroker{Name: b.Name, BuiltIn: true}
	case err != nil:
		return "", err
	case !rec.BuiltIn:
		l.Log.Error("a broker that somebody registered has the name of a built-in one: rename it and start again", "broker", b.Name)
		return "", nil
	}
	if rec.URL != b.URL || rec.Username != b.Username || rec.Password != b.Password {
		rec.URL, rec.Username, rec.Password = b.URL, b.Username, b.Password
		if err := store.ServiceBrokers.Put(tx, rec); err != nil {
			return "", err
		}
	}
	return rec.GUID, requestCatalog(tx, rec)
}

// requestCatalog has the catalog of a broker read, if that is not under way.
func requestCatalog(tx *store.Tx, b *store.ServiceBroker) error {
	running, err := serviceop.Running(tx, b.GUID)
	if err != nil || running != nil {
		return err
	}
	return store.ServiceOperations.Put(tx, &store.ServiceOperation{
		On: store.OnBroker, Type: store.OperationUpdate, TargetGUID: b.GUID, BrokerGUID: b.GUID,
		Actor: store.Actor{GUID: b.GUID, Type: "service_broker", Name: b.Name},
	})
}

// Refresh has the catalog of a built-in broker read again, after it has changed. It may be called at any time.
func (l *Loop) Refresh(name string) error {
	return l.DB.Update(func(tx *store.Tx) error {
		b, err := store.ServiceBrokers.Find(tx, "name", name)
		if errors.Is(err, store.ErrNotFound) {
			return nil // it will be read when the broker is registered
		}
		if err != nil {
			return err
		}
		return requestCatalog(tx, b)
	})
}

// workBroker reads the catalog of a broker as it will be after the operation, and makes it so if the catalog is good.
func (l *Loop) workBroker(ctx context.Context, t *task) error {
	b := *t.broker
	change(&b, t.op.Broker)
	address := osb.Broker{URL: b.URL, Username: b.Username, Password: b.Password}
	catalog, err := l.For(&b).Catalog(ctx, address)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var hashes map[string]string
	if err == nil {
		hashes, err = l.hashes(ctx, &b, catalog)
	}
	if err == nil {
		err = l.settle(t, func(tx *store.Tx) error { return l.adopt(tx, t, catalog, hashes) })
	}
	if err == nil {
		return nil
	}
	return l.settle(t, func(tx *store.Tx) error { return l.brokerFailed(tx, t, err) })
}

// hashes are those of the secrets of dashboard clients, by the clients' ids.
func (l *Loop) hashes(ctx context.Context, b *store.ServiceBroker, c *osb.Catalog) (map[string]string, error) {
	out := map[string]string{}
	if l.Dashboards == nil || b.SpaceGUID != "" {
		return out, nil
	}
	for _, o := range c.Offerings {
		if o.Dashboard == nil {
			continue
		}
		hash, err := l.Dashboards.DashboardHash(ctx, o.Dashboard.ID, o.Dashboard.Secret)
		if err != nil {
			return nil, &unusableError{"dashboard_client of service offering " + o.Name + ": " + err.Error()}
		}
		out[o.Dashboard.ID] = hash
	}
	return out, nil
}

// adopt makes the broker what the operation wants and its offerings what the catalog says.
func (l *Loop) adopt(tx *store.Tx, t *task, catalog *osb.Catalog, hashes map[string]string) error {
	b := *t.broker
	change(&b, t.op.Broker)
	s := &merger{tx: tx, broker: &b, dashboards: l.Dashboards, hashes: hashes}
	if err := s.run(catalog); err != nil {
		return err
	}
	return errors.Join(
		store.ServiceBrokers.Put(tx, &b), store.ServiceOperations.Delete(tx, t.op.GUID), serviceop.Complete(tx, t.op.JobGUID, s.warnings))
}

func change(b *store.ServiceBroker, c store.BrokerChange) {
	for _, f := range []struct {
		to   *string
		from string
	}{{&b.Name, c.Name}, {&b.URL, c.URL}, {&b.Username, c.Username}, {&b.Password, c.Password}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
}

// builtInPause is between two tries to read the catalog of a built-in broker.
const builtInPause = 2 * time.Second

// brokerFailed leaves a broker as it was; one that was to be registered goes. A built-in one is asked again.
func (l *Loop) brokerFailed(tx *store.Tx, t *task, why error) error {
	var conflict *store.ConflictError
	var invalid *osb.CatalogError
	var known *osb.Error
	if !errors.As(why, &conflict) && !errors.As(why, &invalid) && !errors.As(why, &known) && !errors.As(why, new(*unusableError)) {
		return why
	}
	if t.broker.BuiltIn {
		l.Log.Info("built-in broker is not ready", "broker", t.broker.Name, "error", why)
		t.op.NotBefore = tx.Now.Add(builtInPause)
		return store.ServiceOperations.Put(tx, t.op)
	}
	errs := []error{store.ServiceOperations.Delete(tx, t.op.GUID), serviceop.Fail(tx, t.op.JobGUID, brokerJobError(why))}
	if t.op.Type == store.OperationCreate {
		errs = append(errs, store.ServiceBrokers.Delete(tx, t.broker.GUID))
	}
	return errors.Join(errs...)
}

func brokerJobError(why error) *capi.Error {
	var refused *osb.Error
	if errors.As(why, &refused) {
		return refused.APIKind().Errorf("The catalog could not be read. %s", refused.Error())
	}
	return capi.ServiceBrokerCatalogInvalid.Errorf("Service broker catalog is invalid: %v", why)
}
