package services

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// market is a store with a space, a running loop, and a broker.
type market struct {
	t      testing.TB
	db     *store.DB
	loop   *Loop
	broker *badBroker
	actor  store.Actor

	org, space, app string
	brokerGUID      string
}

func newMarket(t testing.TB, change ...func(*Loop)) *market {
	t.Helper()
	db, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &market{t: t, db: db, broker: newBadBroker(t), actor: store.Actor{GUID: "dev-guid", Type: "user", Name: "dev"}}
	client := &osb.Client{Timeout: 2 * time.Second, Pause: time.Millisecond, HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	m.loop = &Loop{DB: db, For: func(*store.ServiceBroker) Client { return client }, FirstPoll: time.Millisecond, OrphanPause: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range change {
		f(m.loop)
	}
	m.update(func(tx *store.Tx) error {
		org := &store.Org{Name: "org"}
		m.put(store.Orgs.Put(tx, org))
		space := &store.Space{Name: "space", OrgGUID: org.GUID}
		m.put(store.Spaces.Put(tx, space))
		app := &store.App{Name: "app", SpaceGUID: space.GUID}
		m.put(store.Apps.Put(tx, app))
		m.org, m.space, m.app = org.GUID, space.GUID, app.GUID
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Check(); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	return m
}

func (m *market) put(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *market) update(fn func(*store.Tx) error) { m.t.Helper(); m.put(m.db.Update(fn)) }

// await waits until look is content.
func (m *market) await(what string, look func(*store.Tx) bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	changed := m.db.Watch(ctx)
	for {
		ok := false
		m.put(m.db.View(func(tx *store.Tx) error { ok = look(tx); return nil }))
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			m.t.Fatalf("never: %s", what)
		case <-changed:
		}
	}
}

// job waits for the end of a job.
func (m *market) job(guid string) *store.Job {
	m.t.Helper()
	var job *store.Job
	m.await("the end of a job", func(tx *store.Tx) bool {
		var err error
		job, err = store.Jobs.Get(tx, guid)
		m.put(err)
		return job.State == capi.JobComplete || job.State == capi.JobFailed
	})
	return job
}

func (m *market) begin(o *store.ServiceOperation) *store.Job {
	m.t.Helper()
	o.Actor = m.actor
	var job *store.Job
	m.update(func(tx *store.Tx) (err error) { job, err = serviceop.Begin(tx, o, "test"); return err })
	return job
}

// register registers the broker and returns the ended job.
func (m *market) register() *store.Job {
	m.t.Helper()
	b := &store.ServiceBroker{Name: "broker", URL: m.broker.URL, Username: "user", Password: "pass"}
	m.update(func(tx *store.Tx) error { return store.ServiceBrokers.Put(tx, b) })
	m.brokerGUID = b.GUID
	return m.job(m.begin(&store.ServiceOperation{On: store.OnBroker, Type: store.OperationCreate, TargetGUID: b.GUID, BrokerGUID: b.GUID}).GUID)
}

func (m *market) refresh(change store.BrokerChange) *store.Job {
	m.t.Helper()
	return m.job(m.begin(&store.ServiceOperation{On: store.OnBroker, Type: store.OperationUpdate, TargetGUID: m.brokerGUID, BrokerGUID: m.brokerGUID, Broker: change}).GUID)
}

func (m *market) plan(name string) (p *store.ServicePlan) {
	m.t.Helper()
	m.put(m.db.View(func(tx *store.Tx) (err error) { p, err = store.ServicePlans.Find(tx, "name", name); return err }))
	return p
}

func operation(kind string) store.Operation {
	return store.Operation{Type: kind, State: store.OperationInitial}
}

// create has an instance of a plan made and returns its GUID and the job.
func (m *market) create(plan string) (string, *store.Job) {
	m.t.Helper()
	return m.createWith(plan, `{"a":1}`)
}

func (m *market) createWith(plan, parameters string) (string, *store.Job) {
	m.t.Helper()
	p := m.plan(plan)
	i := &store.ServiceInstance{Name: "i" + plan, Type: store.ServiceManaged, SpaceGUID: m.space, PlanGUID: p.GUID, MaintenanceInfo: p.MaintenanceInfo, Unmade: true, LastOperation: operation("create")}
	m.update(func(tx *store.Tx) error { return store.ServiceInstances.Put(tx, i) })
	return i.GUID, m.begin(&store.ServiceOperation{On: store.OnInstance, Type: store.OperationCreate, TargetGUID: i.GUID, InstanceGUID: i.GUID, BrokerGUID: m.brokerGUID, Parameters: []byte(parameters)})
}

func (m *market) bind(instance string) (string, *store.Job) {
	m.t.Helper()
	b := &store.ServiceBinding{Type: store.BindingApp, InstanceGUID: instance, SpaceGUID: m.space, AppGUID: m.app, Unmade: true, LastOperation: operation("create")}
	m.update(func(tx *store.Tx) error { return store.ServiceBindings.Put(tx, b) })
	return b.GUID, m.begin(&store.ServiceOperation{On: store.OnBinding, Type: store.OperationCreate, TargetGUID: b.GUID, InstanceGUID: instance, BrokerGUID: m.brokerGUID})
}

func (m *market) instance(guid string) (i *store.ServiceInstance) {
	m.t.Helper()
	m.put(m.db.View(func(tx *store.Tx) (err error) { i, err = store.ServiceInstances.Get(tx, guid); return err }))
	return i
}

func (m *market) idle() {
	m.t.Helper()
	m.await("no operation left", func(tx *store.Tx) bool {
		n, err := store.ServiceOperations.Count(tx)
		m.put(err)
		return n == 0
	})
}

func wantJob(t testing.TB, j *store.Job, state string, fragments ...string) {
	t.Helper()
	text := fmt.Sprint(j.Errors, j.Warnings)
	if j.State != state {
		t.Fatalf("job %s: %s, want %s", j.State, text, state)
	}
	for _, f := range fragments {
		if !strings.Contains(text, f) {
			t.Errorf("job says %s, want %q", text, f)
		}
	}
}

func TestInstanceAndBinding(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	if i := m.instance(guid); i.Unmade || i.LastOperation.State != store.OperationSucceeded || i.DashboardURL != "https://dash.example.com" {
		t.Errorf("instance %+v", i)
	}
	asked := m.broker.requests("provision")[0]
	who, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(asked.header.Get("X-Broker-Api-Originating-Identity"), "cloudfoundry "))
	about, _ := asked.body["context"].(map[string]any)
	if asked.login != "user:pass" || asked.header.Get("X-Broker-Api-Version") != "2.17" || !strings.Contains(string(who), `"user_id":"dev-guid"`) ||
		about["platform"] != "cloudfoundry" || about["instance_name"] != "ismall" || about["organization_name"] != "org" || asked.body["plan_id"] != "small-id" ||
		fmt.Sprint(asked.body["maintenance_info"]) != "map[version:1.0.0]" || fmt.Sprint(asked.body["parameters"]) != "map[a:1]" || asked.query != "accepts_incomplete=true" {
		t.Errorf("the broker was asked %+v by %s", asked, who)
	}
	binding, job := m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.put(m.db.View(func(tx *store.Tx) error {
		b, err := store.ServiceBindings.Get(tx, binding)
		m.put(err)
		if b.Unmade || string(b.Credentials) != `{"uri":"db://u:hidden@h"}` {
			t.Errorf("binding %+v", b)
		}
		return nil
	}))
	raw, err := m.loop.InstanceParameters(t.Context(), guid, osb.Identity{})
	if err != nil || string(raw) != `{"a":1}` {
		t.Errorf("parameters %s, %v", raw, err)
	}
	if raw, err = m.loop.BindingParameters(t.Context(), guid, binding, osb.Identity{}); err != nil || string(raw) != `{"b":2}` {
		t.Errorf("binding parameters %s, %v", raw, err)
	}
	job = m.delete(guid, binding)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.idle()
	kinds := []string{}
	for _, r := range m.broker.asked {
		kinds = append(kinds, r.kind)
	}
	if at := slices.Index(kinds, "unbind"); at < 0 || at > slices.Index(kinds, "deprovision") {
		t.Errorf("order of requests: %v", kinds)
	}
	m.put(m.db.View(func(tx *store.Tx) error {
		var types []string
		for e := range store.AuditEvents.All(tx) {
			types = append(types, e.Type)
		}
		for _, want := range []string{"audit.service.create", "audit.service_plan.create", "audit.service_instance.create", "audit.service_binding.create", "audit.service_binding.delete", "audit.service_instance.delete"} {
			if !slices.Contains(types, want) {
				t.Errorf("no event %s in %v", want, types)
			}
		}
		var usage []string
		for e := range store.ServiceUsageEvents.All(tx) {
			usage = append(usage, e.State+" "+e.OfferingName+" "+e.PlanName+" "+e.BrokerName)
		}
		if got := strings.Join(usage, ", "); got != "CREATED db small broker, DELETED db small broker" {
			t.Errorf("usage: %s", got)
		}
		return nil
	}))
}

// delete has an instance deleted after its bindings.
func (m *market) delete(guid string, bindings ...string) *store.Job {
	m.t.Helper()
	m.update(func(tx *store.Tx) error {
		for _, b := range bindings {
			m.put(store.ServiceOperations.Put(tx, &store.ServiceOperation{On: store.OnBinding, Type: store.OperationDelete, TargetGUID: b, InstanceGUID: guid, BrokerGUID: m.brokerGUID, Actor: m.actor}))
		}
		return nil
	})
	return m.begin(&store.ServiceOperation{On: store.OnInstance, Type: store.OperationDelete, TargetGUID: guid, InstanceGUID: guid, BrokerGUID: m.brokerGUID})
}

func TestAsynchronous(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	m.broker.answer("provision", answer{status: 202, body: `{"operation":"task-7"}`})
	m.broker.answer("poll", answer{status: 200, body: `{"state":"in progress","description":"half way"}`})
	guid, job := m.create("small")
	m.await("POLLING and half way", func(tx *store.Tx) bool {
		j, err := store.Jobs.Get(tx, job.GUID)
		m.put(err)
		i, err := store.ServiceInstances.Get(tx, guid)
		m.put(err)
		return j.State == capi.JobPolling && i.LastOperation.State == store.OperationInProgress && i.LastOperation.Description == "half way"
	})
	if q := m.broker.requests("poll")[0].query; !strings.Contains(q, "operation=task-7") || !strings.Contains(q, "service_id=db-id") || !strings.Contains(q, "plan_id=small-id") {
		t.Errorf("last_operation was asked with %s", q)
	}
	m.broker.answer("poll", answer{status: 500, body: "busy"}) // no end: asked again
	m.await("asked again", func(*store.Tx) bool { return len(m.broker.requests("poll")) > 3 })
	m.broker.good("poll")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	if i := m.instance(guid); i.LastOperation.Description != "all done" || i.Unmade {
		t.Errorf("instance %+v", i)
	}
	m.broker.answer("bind", answer{status: 202, body: `{}`})
	binding, job := m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.put(m.db.View(func(tx *store.Tx) error {
		b, err := store.ServiceBindings.Get(tx, binding)
		m.put(err)
		if string(b.Credentials) != `{"uri":"db://later"}` {
			t.Errorf("credentials %s", b.Credentials)
		}
		return nil
	}))
	m.broker.answer("unbind", answer{status: 202, body: `{}`})
	m.broker.answer("deprovision", answer{status: 202, body: `{}`})
	m.broker.answer("pollbinding", answer{status: 410, body: `{}`})
	m.broker.answer("poll", answer{status: 410, body: `{}`})
	wantJob(t, m.job(m.delete(guid, binding).GUID), capi.JobComplete)
	m.idle()
}

// TestFailures is a broker that does each bad thing: what the job says, and whether the broker is asked to delete what
// it may have (OSB, Orphan Mitigation).
func TestFailures(t *testing.T) {
	const html = "<!DOCTYPE html><html><body>Sign in</body></html>"
	for _, test := range []struct {
		name   string
		answer answer
		poll   answer
		says   string
		orphan bool
	}{
		{name: "200 malformed", answer: answer{status: 200, body: html}, says: "invalid response (status 200): the answer is not a JSON object but HTML"},
		{name: "201 malformed", answer: answer{status: 201, body: "{"}, says: "not valid JSON", orphan: true},
		{name: "202 malformed", answer: answer{status: 202, body: html}, says: "but HTML", orphan: true},
		{name: "204", answer: answer{status: 204}, says: "invalid response (status 204)", orphan: true},
		{name: "408", answer: answer{status: 408, body: `{}`}, says: "rejected the request (status 408)"},
		{name: "400", answer: answer{status: 400, body: `{"description":"size must be\n even"}`}, says: "size must be even"},
		{name: "401", answer: answer{status: 401}, says: "Authentication with the service broker failed"},
		{name: "409", answer: answer{status: 409, body: `{}`}, says: "exists already"},
		{name: "AsyncRequired", answer: answer{status: 422, body: `{"error":"AsyncRequired","description":"needs async"}`}, says: "CF-AsyncRequired"},
		{name: "ConcurrencyError", answer: answer{status: 422, body: `{"error":"ConcurrencyError","description":"busy"}`}, says: "CF-ConcurrencyError"},
		{name: "MaintenanceInfoConflict", answer: answer{status: 422, body: `{"error":"MaintenanceInfoConflict","description":"old"}`}, says: "CF-MaintenanceInfoConflict"},
		{name: "500", answer: answer{status: 500, body: `{"description":"out of disks"}`}, says: "out of disks", orphan: true},
		{name: "redirect", answer: answer{status: 302, header: http.Header{"Location": {"http://127.0.0.1:1/"}}}, says: "redirects"},
		{name: "hangs", answer: answer{hang: true}, says: "did not answer in time", orphan: true},
		{name: "hangs up", answer: answer{cut: true}, says: "ended the connection", orphan: true},
		{name: "async failed", answer: answer{status: 202, body: `{}`}, poll: answer{status: 200, body: `{"state":"failed","description":"no room"}`}, says: "no room", orphan: true},
		{name: "async gone", answer: answer{status: 202, body: `{}`}, poll: answer{status: 410, body: `{}`}, says: "does not exist", orphan: true},
		{name: "never ends", answer: answer{status: 202, body: `{}`}, poll: answer{status: 200, body: `{"state":"in progress"}`}, says: "within the time", orphan: true},
		{name: "polls badly", answer: answer{status: 202, body: `{}`}, poll: answer{status: 200, body: html}, says: "within the time", orphan: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newMarket(t, func(l *Loop) { l.Polling = 50 * time.Millisecond })
			wantJob(t, m.register(), capi.JobComplete)
			m.broker.answer("provision", test.answer)
			if test.poll.status != 0 {
				m.broker.answer("poll", test.poll)
			}
			guid, job := m.create("small")
			wantJob(t, m.job(job.GUID), capi.JobFailed, "create of service instance ismall could not be completed", test.says)
			if i := m.instance(guid); !i.Unmade || i.LastOperation.State != store.OperationFailed || i.LastOperation.Description == "" {
				t.Errorf("instance %+v", i.LastOperation)
			}
			m.idle()
			if n := len(m.broker.requests("deprovision")); (n > 0) != test.orphan {
				t.Errorf("%d deprovisionings, want some: %t", n, test.orphan)
			}
		})
	}
}

// TestOrphansAreRetried: what the broker fails to delete is tried again, and given up in the end.
func TestOrphansAreRetried(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	m.broker.answer("provision", answer{status: 500, body: `{}`})
	m.broker.answer("deprovision", answer{status: 500, body: `{}`})
	_, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobFailed)
	m.idle()
	if n := len(m.broker.requests("deprovision")); n != orphanTries {
		t.Errorf("%d tries, want %d", n, orphanTries)
	}
}

func TestUnusableBindings(t *testing.T) {
	for says, body := range map[string]string{
		"volume mounts":    `{"credentials":{},"volume_mounts":[{"driver":"nfs"}]}`,
		"syslog_drain_url": `{"credentials":{},"syslog_drain_url":"syslog://logs.example.com"}`,
		"not a JSON":       `{"credentials":["a"]}`,
	} {
		t.Run(says, func(t *testing.T) {
			m := newMarket(t)
			wantJob(t, m.register(), capi.JobComplete)
			guid, job := m.create("small")
			wantJob(t, m.job(job.GUID), capi.JobComplete)
			m.broker.answer("bind", answer{status: 201, body: body})
			binding, job := m.bind(guid)
			wantJob(t, m.job(job.GUID), capi.JobFailed, says)
			m.idle()
			if n := len(m.broker.requests("unbind")); n != 1 {
				t.Errorf("%d unbindings, want 1", n)
			}
			m.put(m.db.View(func(tx *store.Tx) error {
				b, err := store.ServiceBindings.Get(tx, binding)
				if err != nil || !b.Unmade || len(b.Credentials) > 0 {
					t.Errorf("binding %+v, %v", b, err)
				}
				return nil
			}))
		})
	}
}

func TestCatalogErrorsNameThePlace(t *testing.T) {
	for says, catalog := range map[string]string{
		"services must be an array":                     `{}`,
		"at least one service offering":                 `{"services":[]}`,
		"services[0].id must be a string":               `{"services":[{"name":"a","description":"d","bindable":true,"plans":[{"id":"p","name":"p","description":"d"}]}]}`,
		"services[0].bindable must be a boolean":        `{"services":[{"id":"i","name":"a","description":"d","plans":[{"id":"p","name":"p","description":"d"}]}]}`,
		"services[0].plans must have at least":          `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"plans":[]}]}`,
		"services[0].plans[0].free must be a":           `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"plans":[{"id":"p","name":"p","description":"d","free":"no"}]}]}`,
		"services[0].plans[1].id must be unique":        `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"plans":[{"id":"p","name":"p","description":"d"},{"id":"p","name":"q","description":"d"}]}]}`,
		"services[0].plans[0].maintenance_info.version": `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"plans":[{"id":"p","name":"p","description":"d","maintenance_info":{"version":"one"}}]}]}`,
		"schemas.service_instance.create.parameters is": `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"plans":[{"id":"p","name":"p","description":"d","schemas":{"service_instance":{"create":{"parameters":{"type":"wrong"}}}}}]}]}`,
		"services[0].requires[0] must be one of":        `{"services":[{"id":"i","name":"a","description":"d","bindable":true,"requires":["root"],"plans":[{"id":"p","name":"p","description":"d"}]}]}`,
	} {
		m := newMarket(t)
		m.broker.catalog = catalog
		wantJob(t, m.register(), capi.JobFailed, says, "270012")
		m.put(m.db.View(func(tx *store.Tx) error {
			if n, err := store.ServiceBrokers.Count(tx); err != nil || n != 0 {
				t.Errorf("%s: %d brokers are left, %v", says, n, err)
			}
			return nil
		}))
	}
}

func TestBrokersThatCannotBeRegistered(t *testing.T) {
	for says, a := range map[string]answer{
		"Authentication with the service broker failed": {status: 401}, "but HTML": {status: 200, body: "<html><body>hello</body></html>"},
		"did not answer in time": {hang: true}, "failed (status 503)": {status: 503},
	} {
		m := newMarket(t)
		m.broker.answer("catalog", a)
		job := m.register()
		wantJob(t, job, capi.JobFailed, says)
		if text := fmt.Sprint(job.Errors); strings.Contains(text, "pass") && !strings.Contains(text, "password") {
			t.Errorf("the error has the password: %s", text)
		}
	}
	m := newMarket(t)
	m.broker.Close()
	wantJob(t, m.register(), capi.JobFailed, "could not be reached")
}

func TestCatalogChanges(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.broker.catalog = `{"services":[{"id":"db-id","name":"database","description":"renamed","bindable":true,"plans":[{"id":"tiny-id","name":"tiny","description":"t"}]}]}`
	wantJob(t, m.refresh(store.BrokerChange{}), capi.JobComplete, "plans of service offering database are missing", "small")
	m.put(m.db.View(func(tx *store.Tx) error {
		var plans, offerings []string
		for p := range store.ServicePlans.All(tx) {
			plans = append(plans, fmt.Sprint(p.Name, " ", p.Available))
		}
		for o := range store.ServiceOfferings.All(tx) {
			offerings = append(offerings, o.Name)
		}
		if got := strings.Join(plans, ", ") + "; " + strings.Join(offerings, ", "); got != "small false, tiny true; database" {
			t.Errorf("after the change: %s", got)
		}
		return nil
	}))
	m.broker.answer("catalog", answer{status: 500})
	wantJob(t, m.refresh(store.BrokerChange{URL: m.broker.URL + "/other", Username: "new"}), capi.JobFailed)
	m.put(m.db.View(func(tx *store.Tx) error {
		b, err := store.ServiceBrokers.Get(tx, m.brokerGUID)
		if err != nil || b.URL != m.broker.URL || b.Username != "user" {
			t.Errorf("after a failed update: %+v, %v", b, err)
		}
		return nil
	}))
	wantJob(t, m.job(m.delete(guid).GUID), capi.JobComplete) // of a plan that is gone from the catalog
}

func TestUpdate(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	update := func() *store.ServiceOperation {
		tags, name := []string{"t"}, "renamed"
		return &store.ServiceOperation{On: store.OnInstance, Type: store.OperationUpdate, TargetGUID: guid, InstanceGUID: guid, BrokerGUID: m.brokerGUID,
			Change: store.ServiceChange{PlanGUID: m.plan("large").GUID, Tags: &tags, Name: &name}}
	}
	m.broker.answer("update", answer{status: 422, body: `{"description":"too much data"}`})
	wantJob(t, m.job(m.begin(update()).GUID), capi.JobFailed, "too much data")
	if i := m.instance(guid); i.PlanGUID != m.plan("small").GUID || i.Name != "ismall" || i.LastOperation.State != store.OperationFailed {
		t.Errorf("after a failed update: %+v", i)
	}
	m.broker.good("update")
	wantJob(t, m.job(m.begin(update()).GUID), capi.JobComplete)
	if i := m.instance(guid); i.PlanGUID != m.plan("large").GUID || i.Name != "renamed" || len(i.Tags) != 1 {
		t.Errorf("after the update: %+v", i)
	}
	asked := m.broker.requests("update")[1]
	if previous, _ := asked.body["previous_values"].(map[string]any); asked.body["plan_id"] != "large-id" || previous["plan_id"] != "small-id" {
		t.Errorf("the broker was asked %v", asked.body)
	}
}

// TestFailedUnbindingKeepsTheInstance: an instance goes after its bindings, or not at all.
func TestFailedUnbindingKeepsTheInstance(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	binding, job := m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.broker.answer("unbind", answer{status: 500, body: `{"description":"in use"}`})
	wantJob(t, m.job(m.delete(guid, binding).GUID), capi.JobFailed, "binding of the service instance could not be deleted", "in use")
	if n := len(m.broker.requests("deprovision")); n != 0 {
		t.Errorf("%d deprovisionings", n)
	}
	m.broker.answer("unbind", answer{status: 410, body: `{}`}) // it is gone: as good
	wantJob(t, m.job(m.delete(guid, binding).GUID), capi.JobComplete)
}

// TestDeletionDoesNotWaitForOrphans: what a failed binding may have left is cleaned up beside the deletion.
func TestDeletionDoesNotWaitForOrphans(t *testing.T) {
	m := newMarket(t, func(l *Loop) { l.OrphanPause = time.Hour })
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.broker.answer("bind", answer{status: 500, body: `{}`})
	m.broker.answer("unbind", answer{status: 500, body: `{}`})
	binding, job := m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobFailed)
	m.await("the first try to unbind", func(*store.Tx) bool { return len(m.broker.requests("unbind")) == 1 })
	m.update(func(tx *store.Tx) error { return store.ServiceBindings.Delete(tx, binding) })
	wantJob(t, m.job(m.delete(guid).GUID), capi.JobComplete)
}

func TestRouteBinding(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("only")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	route, b := &store.Route{Host: "shop", SpaceGUID: m.space, Path: "/p"}, &store.ServiceRouteBinding{InstanceGUID: guid, SpaceGUID: m.space, Unmade: true, LastOperation: operation("create")}
	m.update(func(tx *store.Tx) error {
		d := &store.Domain{Name: "example.com"}
		m.put(store.Domains.Put(tx, d))
		route.DomainGUID = d.GUID
		m.put(store.Routes.Put(tx, route))
		b.RouteGUID = route.GUID
		return store.ServiceRouteBindings.Put(tx, b)
	})
	o := func(kind string) *store.ServiceOperation {
		return &store.ServiceOperation{On: store.OnRouteBinding, Type: kind, TargetGUID: b.GUID, InstanceGUID: guid, BrokerGUID: m.brokerGUID}
	}
	address := func() (url string) {
		m.put(m.db.View(func(tx *store.Tx) error {
			r, err := store.Routes.Get(tx, route.GUID)
			m.put(err)
			url = r.RouteServiceURL
			return nil
		}))
		return url
	}
	m.broker.answer("bind", answer{status: 201, body: `{"route_service_url":"https://front.example.org/x"}`})
	wantJob(t, m.job(m.begin(o("create")).GUID), capi.JobComplete)
	if got := address(); got != "https://front.example.org/x" {
		t.Errorf("the route's service is at %q", got)
	}
	if resource := fmt.Sprint(m.broker.requests("bind")[0].body["bind_resource"]); resource != "map[route:shop.example.com/p]" {
		t.Errorf("bound %s", resource)
	}
	wantJob(t, m.job(m.begin(o("delete")).GUID), capi.JobComplete)
	if got := address(); got != "" {
		t.Errorf("after unbinding the route's service is at %q", got)
	}
}

// TestForgetting: records go at once, and the broker is told.
func TestForgetting(t *testing.T) {
	m := newMarket(t)
	wantJob(t, m.register(), capi.JobComplete)
	guid, job := m.create("small")
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	_, job = m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.update(func(tx *store.Tx) error { return serviceop.ForgetInstance(tx, m.instanceIn(tx, guid), m.actor) })
	m.idle()
	if a, b := len(m.broker.requests("unbind")), len(m.broker.requests("deprovision")); a != 1 || b != 1 {
		t.Errorf("%d unbindings, %d deprovisionings", a, b)
	}
}

func (m *market) instanceIn(tx *store.Tx, guid string) *store.ServiceInstance {
	m.t.Helper()
	i, err := store.ServiceInstances.Get(tx, guid)
	m.put(err)
	return i
}

func TestBuiltIn(t *testing.T) {
	b := newBadBroker(t)
	b.answer("catalog", answer{status: 503}) // it starts with us
	m := newMarket(t, func(l *Loop) { l.BuiltIn = []BuiltIn{{Name: "ours", URL: b.URL, Username: "u", Password: "p"}} })
	m.await("the broker's record", func(tx *store.Tx) bool {
		rec, err := store.ServiceBrokers.Find(tx, "name", "ours")
		return err == nil && rec.BuiltIn && len(b.requests("catalog")) > 0
	})
	b.good("catalog")
	m.await("its plans, for everybody", func(tx *store.Tx) bool {
		p, err := store.ServicePlans.Find(tx, "name", "small")
		return err == nil && p.Public
	})
	m.idle()
	b.mu.Lock()
	b.catalog = strings.Replace(simpleCatalog, `"name":"small"`, `"name":"little"`, 1)
	b.mu.Unlock()
	m.put(m.loop.Refresh("ours"))
	m.await("the changed catalog", func(tx *store.Tx) bool { _, err := store.ServicePlans.Find(tx, "name", "little"); return err == nil })
}

// dashboards is a Dashboards without hashing.
type dashboards struct{}

func (dashboards) DashboardHash(_ context.Context, _, secret string) (string, error) {
	return "hash of " + secret, nil
}

func (dashboards) PutDashboard(tx *store.Tx, id, name, hash, redirect string) error {
	return store.Clients.Put(tx, &store.Client{Meta: store.Meta{GUID: id}, Name: name, SecretHash: hash, RedirectURIs: []string{redirect}})
}

func (dashboards) DeleteDashboard(tx *store.Tx, id string) error { return store.Clients.Delete(tx, id) }

func TestDashboardClients(t *testing.T) {
	m := newMarket(t, func(l *Loop) { l.Dashboards = dashboards{} })
	m.update(func(tx *store.Tx) error { return store.Clients.Put(tx, &store.Client{Meta: store.Meta{GUID: "taken"}}) })
	catalog := func(client string) string {
		return `{"services":[{"id":"i","name":"a","description":"d","bindable":true,` + client + `"plans":[{"id":"p","name":"p","description":"d"}]}]}`
	}
	m.broker.catalog = catalog(`"dashboard_client":{"id":"taken","secret":"s","redirect_uri":"https://d.example.com"},`)
	wantJob(t, m.register(), capi.JobFailed, "there is a client with the id taken already")
	m.broker.catalog = catalog(`"dashboard_client":{"id":"mine","secret":"s","redirect_uri":"https://d.example.com"},`)
	wantJob(t, m.register(), capi.JobComplete)
	client := func() (c *store.Client) {
		m.put(m.db.View(func(tx *store.Tx) error { c, _ = store.Clients.Get(tx, "mine"); return nil }))
		return c
	}
	if c := client(); c == nil || c.SecretHash != "hash of s" || c.RedirectURIs[0] != "https://d.example.com" {
		t.Errorf("client %+v", c)
	}
	wantJob(t, m.refresh(store.BrokerChange{}), capi.JobComplete)
	m.broker.catalog = catalog("")
	wantJob(t, m.refresh(store.BrokerChange{}), capi.JobComplete)
	if c := client(); c != nil {
		t.Errorf("client %+v is left", c)
	}
}
