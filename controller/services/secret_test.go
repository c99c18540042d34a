package services

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

// book is a log that is kept.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.text.String() }

// TestSecretsThatABrokerRepeats: a broker that tells its password, the parameters and the credentials in every failure does
// not bring them into an error, a job, a last operation, an event or the log.
func TestSecretsThatABrokerRepeats(t *testing.T) {
	kept := &book{}
	m := newMarket(t, func(l *Loop) {
		l.Log = slog.New(slog.NewTextHandler(kept, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	m.setPassword("broker-\"secret\"")
	secrets := `broker-\"secret\" dXNlcjpicm9rZXItInNlY3JldCI=` // of a catalog the platform knows nothing else
	const later = ` parameter-secret db://u:credential-secret@h credential-secret`
	echo := func(status int, more string) answer {
		return answer{status: status, body: `{"error":"Oops ` + secrets + `","description":"said ` + secrets + ` and {\"p\":\"broker-\\\"secret\\\"\"}"` + more + `}`}
	}
	seen := func(what string) {
		t.Helper()
		text := kept.String() + m.told()
		if what != "" && !strings.Contains(text, "said") {
			t.Errorf("%s: what the broker said is not told at all: %s", what, text)
		}
		for _, secret := range []string{"broker-", "dXNlcjpi", "parameter-secret", "credential-secret"} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s: %s is told: ...%s...", what, secret, text[max(0, i-200):min(len(text), i+50)])
			}
		}
	}
	fails := func(what string, j *store.Job) { t.Helper(); wantJob(t, m.job(j.GUID), capi.JobFailed); seen(what) }

	for _, a := range []answer{echo(400, ""), echo(500, ""), {status: 500, body: "<html>" + secrets}, {status: 200, body: `["` + secrets + `"]`}} {
		m.broker.answer("catalog", a)
		wantJob(t, m.refresh(store.BrokerChange{}), capi.JobFailed)
		seen("")
	}
	m.broker.good("catalog")
	secrets += later
	m.broker.answer("provision", echo(422, ""))
	_, job := m.createWith("small", `{"login":{"password":"parameter-secret"},"uri":"db://u:credential-secret@h"}`)
	fails("provision", job)
	m.broker.answer("provision", answer{status: 202, body: `{}`})
	m.broker.answer("poll", echo(200, `,"state":"failed"`))
	_, job = m.createWith("large", `{"list":["parameter-secret"],"uri":"db://u:credential-secret@h"}`)
	fails("poll", job)
	m.idle()
	m.broker.good("provision")
	m.broker.good("poll")

	guid, job := m.createWith("only", `{}`)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.broker.answer("bind", answer{status: 201, body: `{"credentials":{"uri":"db://u:credential-secret@h","key":"parameter-secret"}}`})
	binding, job := m.bind(guid)
	wantJob(t, m.job(job.GUID), capi.JobComplete)
	m.broker.answer("fetchbinding", echo(400, ""))
	if _, err := m.loop.BindingParameters(t.Context(), guid, binding, osb.Identity{}); err == nil || strings.Contains(err.Error(), "-secret") || !strings.Contains(err.Error(), "said") {
		t.Errorf("fetching a binding: %v", err)
	}
	m.broker.answer("unbind", echo(500, ""))
	fails("unbind", m.begin(&store.ServiceOperation{On: store.OnBinding, Type: store.OperationDelete, TargetGUID: binding, InstanceGUID: guid, BrokerGUID: m.brokerGUID}))
}

// setPassword registers the broker with a password.
func (m *market) setPassword(password string) {
	m.t.Helper()
	wantJob(m.t, m.register(), capi.JobComplete)
	m.update(func(tx *store.Tx) error {
		b, err := store.ServiceBrokers.Get(tx, m.brokerGUID)
		m.put(err)
		b.Password = password
		return store.ServiceBrokers.Put(tx, b)
	})
}

// told is all that people are told of what went on: jobs, last operations and events.
func (m *market) told() string {
	m.t.Helper()
	var all []any
	m.put(m.db.View(func(tx *store.Tx) error {
		for j := range store.Jobs.All(tx) {
			all = append(all, j)
		}
		for i := range store.ServiceInstances.All(tx) {
			all = append(all, i.LastOperation)
		}
		for b := range store.ServiceBindings.All(tx) {
			all = append(all, b.LastOperation)
		}
		for e := range store.AuditEvents.All(tx) {
			all = append(all, e, string(e.Data))
		}
		return nil
	}))
	raw, err := json.Marshal(all)
	m.put(err)
	return string(raw)
}
