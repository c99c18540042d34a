package services

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// work takes one step of an operation: asks the broker to do it, or how it gets on, and writes what came of it.
func (l *Loop) work(ctx context.Context, guid string) error {
	var t *task
	err := l.DB.View(func(tx *store.Tx) (err error) {
		t, err = load(tx, guid)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return l.DB.Update(func(tx *store.Tx) error { return abandon(tx, guid) })
	}
	if err != nil {
		return err
	}
	if t.op.On == store.OnBroker {
		return l.workBroker(ctx, t)
	}
	if why := t.refusal(); why != nil {
		return l.settle(t, func(tx *store.Tx) error { return fail(tx, t, why, false) })
	}
	client := l.For(t.broker)
	if t.op.Polling {
		last, err := t.ask(ctx, client)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return l.polled(ctx, t, client, last, err)
	}
	result, err := t.send(ctx, client)
	if ctx.Err() != nil {
		return ctx.Err() // asked again after the next start
	}
	return l.sent(t, result, err)
}

// abandon ends an operation whose target or broker has gone.
func abandon(tx *store.Tx, guid string) error {
	o, err := store.ServiceOperations.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(store.ServiceOperations.Delete(tx, guid), serviceop.Complete(tx, o.JobGUID, nil))
}

// settle writes the outcome of a step, unless the operation was called off meanwhile.
func (l *Loop) settle(t *task, write func(*store.Tx) error) error {
	return l.DB.Update(func(tx *store.Tx) error {
		fresh, err := load(tx, t.op.GUID)
		if errors.Is(err, store.ErrNotFound) {
			return abandon(tx, t.op.GUID)
		}
		if err != nil {
			return err
		}
		wanted := t.wanted
		*t = *fresh // what it was made of may have changed while the broker was asked
		if t.wanted == nil {
			t.wanted = wanted
		}
		return write(tx)
	})
}

// refusal is why the broker need not be asked at all; nil: it must. The bindings of an instance go before it, and are made after it.
func (t *task) refusal() error {
	if t.op.On == store.OnBinding && t.op.Type == store.OperationCreate && !t.op.Orphan && t.instance.Unmade {
		return sentence("The service instance could not be created: " + t.instance.LastOperation.Description)
	}
	if t.left == nil {
		return nil
	}
	return sentence("A binding of the service instance could not be deleted, so the service instance was kept: " + t.left.Description)
}

// send asks the broker for what the operation is.
func (t *task) send(ctx context.Context, c Client) (*osb.Result, error) {
	b, who := t.address(), t.who()
	onInstance := t.op.On == store.OnInstance
	switch {
	case t.op.Type == store.OperationDelete && onInstance:
		return c.Deprovision(ctx, b, t.osbInstance(), who)
	case t.op.Type == store.OperationDelete:
		return c.Unbind(ctx, b, t.osbBinding(), who)
	case t.op.Type == store.OperationUpdate:
		return c.Update(ctx, b, t.instance.GUID, t.update(), who)
	case onInstance:
		return c.Provision(ctx, b, t.instance.GUID, t.provision(), who)
	}
	return c.Bind(ctx, b, t.osbBinding(), t.bind(), who)
}

// ask asks the broker how far it is.
func (t *task) ask(ctx context.Context, c Client) (*osb.LastOperation, error) {
	if t.op.On == store.OnInstance {
		return c.InstanceOperation(ctx, t.address(), t.osbInstance(), t.op.BrokerOperation, t.who())
	}
	return c.BindingOperation(ctx, t.address(), t.osbBinding(), t.op.BrokerOperation, t.who())
}

// sent deals with the answer to a request.
func (l *Loop) sent(t *task, r *osb.Result, err error) error {
	var refused *osb.Error
	if errors.As(err, &refused) && refused.Kind == osb.Gone && t.op.Type == store.OperationDelete {
		err, r = nil, &osb.Result{}
	}
	return l.settle(t, func(tx *store.Tx) error {
		switch {
		case err != nil && t.op.Orphan:
			return l.tryAgain(tx, t, err)
		case err != nil:
			return fail(tx, t, err, refused != nil && refused.Orphan)
		case r.Async && t.unfetchable():
			return fail(tx, t, errUnfetchable, true)
		case r.Async:
			return l.tookOn(tx, t, r)
		}
		return t.succeed(tx, r.DashboardURL, r.Bound)
	})
}

// sentence is an error that a user reads as it is.
type sentence string

func (s sentence) Error() string { return string(s) }

var errUnfetchable = sentence("The service broker works on the binding asynchronously, but its catalog does not say bindings_retrievable, so the credentials cannot be had")

// unfetchable reports whether the credentials of a binding that is made later can't be asked for.
func (t *task) unfetchable() bool {
	return t.op.Type == store.OperationCreate && t.op.On != store.OnInstance && !t.offering.BindingsRetrievable
}

// tookOn notes that the broker works on it, and when to ask.
func (l *Loop) tookOn(tx *store.Tx, t *task, r *osb.Result) error {
	o := t.op
	o.Polling, o.BrokerOperation, o.Attempts = true, r.Operation, 0
	o.NotBefore = tx.Now.Add(l.untilPoll(t, r.RetryAfter))
	o.Deadline = tx.Now.Add(l.maximum(t))
	return errors.Join(
		store.ServiceOperations.Put(tx, o), serviceop.Polling(tx, o.JobGUID),
		t.note(tx, func(op *store.Operation) { op.State = store.OperationInProgress }), t.auditStart(tx))
}

// untilPoll is how long to wait before the next question: what the broker says, else longer each time.
func (l *Loop) untilPoll(t *task, said time.Duration) time.Duration {
	soonest, first := soonestPoll, l.FirstPoll
	if first == 0 {
		first = firstPoll
	}
	if t.broker.BuiltIn {
		soonest, first = builtInPoll, builtInPoll
	}
	if said >= 0 {
		return min(max(said, min(soonest, first)), l.maximum(t))
	}
	d := first
	for range t.op.Attempts {
		if d = d * 3 / 2; d >= slowestPoll {
			return slowestPoll
		}
	}
	return d
}

// maximum is how long the broker may take in all (OSB, maximum_polling_duration).
func (l *Loop) maximum(t *task) time.Duration {
	plan := t.plan
	if t.wanted != nil {
		plan = t.wanted
	}
	if plan != nil && plan.MaximumPolling > 0 {
		return plan.MaximumPolling
	}
	if l.Polling > 0 {
		return l.Polling
	}
	return defaultPolling
}

// polled deals with what the broker says of its progress. An answer that is none is no end: it is asked again until
// the time is up (OSB, Polling Last Operation).
func (l *Loop) polled(ctx context.Context, t *task, c Client, last *osb.LastOperation, err error) error {
	if err != nil {
		l.Log.Info("broker does not say how it gets on", "broker", t.broker.Name, "target", t.op.TargetGUID, "error", err)
		last = &osb.LastOperation{State: osb.InProgress, RetryAfter: -1}
	}
	deleting := t.op.Type == store.OperationDelete
	if last.Gone {
		if last.State = osb.Failed; deleting {
			last.State = osb.Succeeded
		} else {
			last.Description = "The service broker says that this does not exist"
		}
	}
	var bound osb.Bound
	var dashboard *string
	if last.State == osb.Succeeded && !t.op.Orphan {
		if bound, dashboard, err = t.fetch(ctx, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return l.settle(t, func(tx *store.Tx) error { return fail(tx, t, err, true) })
		}
	}
	return l.settle(t, func(tx *store.Tx) error {
		switch {
		case last.State == osb.Succeeded:
			return t.succeedSaying(tx, dashboard, bound, last.Description)
		case last.State == osb.Failed && t.op.Orphan:
			return l.tryAgain(tx, t, failedText(last.Description))
		case last.State == osb.Failed:
			return fail(tx, t, failedText(last.Description), true)
		case tx.Now.After(t.op.Deadline) && t.op.Orphan:
			return l.tryAgain(tx, t, errTooLong)
		case tx.Now.After(t.op.Deadline):
			return fail(tx, t, errTooLong, true)
		}
		t.op.Attempts++
		t.op.NotBefore = earlier(tx.Now.Add(l.untilPoll(t, last.RetryAfter)), t.op.Deadline.Add(time.Millisecond))
		note := func(op *store.Operation) {
			if last.Description != "" {
				op.Description = last.Description
			}
		}
		return errors.Join(store.ServiceOperations.Put(tx, t.op), t.note(tx, note))
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

var errTooLong = sentence("The service broker did not end the operation within the time that it has for it")

func failedText(description string) error {
	if description == "" {
		description = "The service broker says that it failed, and not why"
	}
	return sentence(description)
}

// fetch asks for the credentials of a binding that was made asynchronously.
func (t *task) fetch(ctx context.Context, c Client) (osb.Bound, *string, error) {
	if t.op.Type == store.OperationDelete || t.op.On == store.OnInstance {
		return osb.Bound{}, nil, nil
	}
	bound, err := c.FetchBinding(ctx, t.address(), t.osbBinding(), t.who())
	if err != nil {
		return osb.Bound{}, nil, err
	}
	return *bound, nil, nil
}

// versionOf leaves of maintenance_info what requests have: the version alone.
func versionOf(raw []byte) json.RawMessage {
	var info struct {
		Version string `json:"version"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &info) != nil || info.Version == "" {
		return nil
	}
	out, _ := json.Marshal(info)
	return out
}
