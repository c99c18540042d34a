package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const policiesPath = "/networking/v1/external/policies"

// policyBody is a body with one policy.
func policyBody(from, to, proto string, start, end int) string {
	return fmt.Sprintf(`{"policies":[%s]}`, onePolicy(from, to, proto, start, end))
}

func onePolicy(from, to, proto string, start, end int) string {
	return fmt.Sprintf(`{"source":{"id":%q},"destination":{"id":%q,"protocol":%q,"ports":{"start":%d,"end":%d}}}`, from, to, proto, start, end)
}

// appIn makes an app in a space.
func (w *world) appIn(name, space string) string {
	w.t.Helper()
	a := &store.App{Name: name, SpaceGUID: space, State: store.AppStopped}
	w.update(func(tx *store.Tx) error { return store.Apps.Put(tx, a) })
	return a.GUID
}

// policies are what the caller sees, in a line each.
func (w *world) policies(as, query string) []string {
	w.t.Helper()
	r := w.as(as, "GET", policiesPath+query, nil).want(200, `"total_policies":`)
	var out []string
	list, _ := r.body["policies"].([]any)
	for i := range list {
		out = append(out, fmt.Sprintf("%s>%s %s %v-%v", r.str("policies", i, "source", "id"), r.str("policies", i, "destination", "id"),
			r.str("policies", i, "destination", "protocol"), r.at("policies", i, "destination", "ports", "start"), r.at("policies", i, "destination", "ports", "end")))
	}
	return out
}

func TestNetworkPolicies(t *testing.T) {
	w := newWorld(t)
	front, back, far := w.appIn("front", w.space), w.appIn("back", w.space), w.appIn("far", w.otherSpace)
	w.people["operator"] = &auth.Identity{UserGUID: "operator-guid", Username: "operator", Scopes: []string{"network.admin"}}
	if got := w.policies("developer", ""); len(got) != 0 {
		t.Errorf("at first there are %q", got)
	}
	w.as("developer", "POST", policiesPath, policyBody(front, back, "tcp", 8080, 8090)).want(200, "{}")
	w.as("developer", "POST", policiesPath, policyBody(front, back, "tcp", 8080, 8090)).want(200) // again changes nothing
	w.as("operator", "POST", policiesPath, `{"policies":[`+onePolicy(far, back, "udp", 7, 7)+`,`+onePolicy(back, front, "tcp", 1, 1)+`]}`).want(200)
	first, second, third := front+">"+back+" tcp 8080-8090", far+">"+back+" udp 7-7", back+">"+front+" tcp 1-1"
	for _, c := range []struct {
		as, query string
		want      []string
	}{
		{"operator", "", []string{first, second, third}},
		{"admin", "", []string{first, second, third}},
		{"readonly", "", []string{first, second, third}},
		{"developer", "", []string{first, third}},
		{"auditor", "", []string{first, third}},
		{"orgmanager", "", []string{first, third}},
		{"stranger", "", nil},
		{"nobody", "", nil},
		{"admin", "?id=" + far, []string{second}},
		{"admin", "?id=" + far + "," + front, []string{first, second, third}},
		{"admin", "?source_id=" + back, []string{third}},
		{"admin", "?dest_id=" + back, []string{first, second}},
		{"admin", "?dest_id=" + back + "&source_id=" + far, []string{second}},
		{"admin", "?id=unknown", nil},
	} {
		if got := w.policies(c.as, c.query); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s sees with %q: %q, want %q", c.as, c.query, got, c.want)
		}
	}
	w.as("developer", "POST", policiesPath+"/delete", policyBody(front, back, "tcp", 8080, 8091)).want(200) // there is no such one
	w.as("developer", "POST", policiesPath+"/delete", policyBody(front, back, "tcp", 8080, 8090)).want(200)
	if got := w.policies("admin", ""); len(got) != 2 {
		t.Errorf("after one was deleted there are %q", got)
	}
	w.as("admin", "DELETE", "/v3/apps/"+back, nil).want(202)
	if got := w.policies("admin", ""); len(got) != 0 {
		t.Errorf("after the app has gone there are %q", got)
	}
}

// machines are so many.
type machines int

func (n machines) List(context.Context) ([]capi.Node, error)               { return make([]capi.Node, n), nil }
func (n machines) Drain(context.Context, string, bool) error               { return nil }
func (n machines) Label(context.Context, string, map[string]*string) error { return nil }
func (n machines) Remove(context.Context, string) error                    { return nil }

// TestDatagramsBetweenMachines: a policy that would hold now and then is not made; those of before can be removed.
func TestDatagramsBetweenMachines(t *testing.T) {
	for n, status := range map[machines]int{1: 200, 2: 400} {
		w := newWorld(t, func(o *Options) { o.Nodes = n })
		front, back := w.appIn("front", w.space), w.appIn("back", w.space)
		w.as("developer", "POST", policiesPath, policyBody(front, back, "tcp", 53, 53)).want(200)
		r := w.as("developer", "POST", policiesPath, policyBody(front, back, "udp", 53, 53)).want(status)
		if status == 400 && !strings.Contains(r.text, "policies of UDP hold within one machine") {
			t.Errorf("with %d machines it says %s", n, r.text)
		}
		w.as("stranger", "POST", policiesPath, policyBody(front, back, "udp", 53, 53)).want(403)
		if got := len(w.policies("admin", "")); got != 3-int(n) {
			t.Errorf("with %d machines there are %d policies, want %d", n, got, 3-int(n))
		}
		w.as("developer", "POST", policiesPath+"/delete", policyBody(front, back, "udp", 53, 53)).want(200)
	}
}

func TestNetworkPoliciesRefused(t *testing.T) {
	w := newWorld(t)
	front, back, far := w.appIn("front", w.space), w.appIn("back", w.space), w.appIn("far", w.otherSpace)
	good := policyBody(front, back, "tcp", 80, 80)
	for _, c := range []struct {
		name, as, body string
		status         int
		want           string
	}{
		{"no token", "", good, 401, `{"error":"`},
		{"an auditor", "auditor", good, 403, `{"error":"`},
		{"a supporter", "supporter", good, 403, `{"error":"`},
		{"a manager", "manager", good, 403, `{"error":"`},
		{"an admin who only reads", "readonly", good, 403, `{"error":"`},
		{"a stranger", "stranger", good, 403, "one or more applications cannot be found or accessed"},
		{"an end in another org", "developer", policyBody(front, far, "tcp", 80, 80), 403, "one or more applications cannot be found or accessed"},
		{"an app that is not there", "admin", policyBody(front, "none", "tcp", 80, 80), 403, "one or more applications cannot be found or accessed"},
		{"nothing", "admin", `{}`, 400, "missing policies"},
		{"no JSON", "admin", `{`, 400, `{"error":"`},
		{"a wrong type", "admin", `{"policies":{}}`, 400, "validate policies"},
		{"no source", "admin", policyBody("", back, "tcp", 80, 80), 400, "missing source id"},
		{"no destination", "admin", policyBody(front, "", "tcp", 80, 80), 400, "missing destination id"},
		{"protocol", "admin", policyBody(front, back, "icmp", 80, 80), 400, "specify either udp or tcp"},
		{"port zero", "admin", policyBody(front, back, "tcp", 0, 80), 400, "port range 0-80"},
		{"ports in disorder", "admin", policyBody(front, back, "tcp", 81, 80), 400, "port range 81-80"},
		{"port too high", "admin", policyBody(front, back, "tcp", 1, 65536), 400, "port range 1-65536"},
		{"one of two is wrong", "admin", `{"policies":[` + onePolicy(front, back, "tcp", 80, 80) + `,` + onePolicy(front, "none", "tcp", 80, 80) + `]}`, 403, "applications"},
		{"too many", "admin", `{"policies":[` + strings.Repeat(onePolicy("a", "b", "tcp", 1, 1)+",", policiesBody) + onePolicy("a", "b", "tcp", 1, 1) + `]}`, 400, "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			for _, path := range []string{policiesPath, policiesPath + "/delete"} {
				r := w.as(c.as, "POST", path, c.body).want(c.status, c.want)
				if r.body["errors"] != nil {
					t.Errorf("%s: the error has another API's shape: %s", path, r.text)
				}
			}
		})
	}
	w.t = t
	if got := w.policies("admin", ""); len(got) != 0 {
		t.Errorf("what was refused changed something: %q", got)
	}
	w.update(func(tx *store.Tx) error {
		for port := range policiesMax {
			w.must(store.NetworkPolicies.Put(tx, &store.NetworkPolicy{SourceAppGUID: front, DestinationAppGUID: back, Protocol: "udp", FirstPort: port + 1, LastPort: port + 1}))
		}
		return nil
	})
	w.as("developer", "POST", policiesPath, good).want(400, "policy quota exceeded")
	w.as("admin", "POST", policiesPath, good).want(200)
	w.update(func(tx *store.Tx) error {
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.Suspended = true
		return store.Orgs.Put(tx, org)
	})
	w.as("developer", "POST", policiesPath+"/delete", good).want(403, "suspended")
}
