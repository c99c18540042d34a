package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestAuditOfServices: what is done in the marketplace makes Cloud Foundry's audit and usage events, whether a broker does it
// at once or not.
func TestAuditOfServices(t *testing.T) {
	for name, async := range map[string]bool{"at once": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.set(func() { s.async = async })
			s.update(func(tx *store.Tx) error {
				s.person(tx, "developer", "space_developer", s.otherOrg, s.otherSpace)
				return nil
			})
			s.as("admin", "PATCH", "/v3/feature_flags/service_instance_sharing", `{"enabled":true}`).want(200)
			s.marketplaceIsAudited()
			s.instancesAreAudited(async)
		})
	}
}

// audits does something and compares what it adds to the events: types of audit events without "audit.", then usage.
func (s *shop) audits(what, want string, do func()) {
	s.t.Helper()
	before, usedBefore := s.auditCounts(), s.usage()
	do()
	var got []string
	for kind, n := range s.auditCounts() {
		if n > before[kind] {
			got = append(got, strings.TrimPrefix(kind, "audit."))
		}
	}
	slices.SortFunc(got, func(a, b string) int { return strings.Compare(order(a), order(b)) })
	got = append(got, s.usage()[len(usedBefore):]...)
	if text := strings.Join(got, " "); text != want {
		s.t.Errorf("%s makes the events %q, want %q", what, text, want)
	}
}

// order puts the start of something before its end.
func order(kind string) string { return strings.Replace(kind, ".start_", ". ", 1) }

// usage are the states of all usage events of services, in their order.
func (s *shop) usage() (states []string) {
	s.view(func(tx *store.Tx) error {
		for e := range store.ServiceUsageEvents.All(tx) {
			states = append(states, e.State)
		}
		return nil
	})
	return states
}

// done asks, and waits for the end of the job if there is one.
func (s *shop) done(method, path string, body any) {
	s.t.Helper()
	r := s.as("admin", method, path, body)
	switch {
	case r.status == 202:
		s.job(r, "COMPLETE")
	case r.status >= 300:
		s.t.Fatalf("%s %s: %d: %s", method, path, r.status, r.text)
	}
}

func (s *shop) marketplaceIsAudited() {
	s.t.Helper()
	s.audits("a broker", "service.create service_broker.create service_plan.create", func() { s.done("POST", "/v3/service_brokers", s.brokerBody("acme")) })
	broker := "/v3/service_brokers/" + s.guidOf("/v3/service_brokers")
	s.audits("its labels", "service_broker.update", func() { s.done("PATCH", broker, `{"metadata":{"labels":{"a":"b"}}}`) })
	s.audits("its other address", "service_broker.update", func() { s.done("PATCH", broker, `{"url":"`+s.broker.URL+`/"}`) })
	small := "/v3/service_plans/" + s.plan("small") + "/visibility"
	org := fmt.Sprintf(`{"type":"organization","organizations":[{"guid":%q},{"guid":%q}]}`, s.org, s.otherOrg)
	s.audits("a visibility", "service_plan_visibility.update", func() { s.done("PATCH", small, org) })
	s.audits("a visibility that goes", "service_plan_visibility.delete", func() { s.done("DELETE", small+"/"+s.otherOrg, nil) })
	s.done("PATCH", "/v3/service_plans/"+s.plan("only")+"/visibility", `{"type":"public"}`)
	s.done("PATCH", "/v3/service_plans/"+s.plan("large")+"/visibility", `{"type":"public"}`)
}

func (s *shop) instancesAreAudited(async bool) {
	s.t.Helper()
	// with is what the broker does: begun is told where that is not done at once.
	with := func(noun, verb string) string {
		if async {
			return noun + ".start_" + verb + " " + noun + "." + verb
		}
		return noun + "." + verb
	}
	managed := func(name, plan string) func() {
		return func() {
			s.done("POST", "/v3/service_instances", map[string]any{"type": "managed", "name": name, "relationships": map[string]any{"space": one(s.space), "service_plan": one(s.plan(plan))}})
		}
	}
	s.audits("an instance", with("service_instance", "create")+" CREATED", managed("d", "small"))
	guid := s.guidOf("/v3/service_instances?names=d")
	d := "/v3/service_instances/" + guid
	s.audits("its tags", "service_instance.update", func() { s.done("PATCH", d, `{"tags":["a"]}`) })
	s.audits("its name", "service_instance.update UPDATED", func() { s.done("PATCH", d, `{"name":"e"}`) })
	s.audits("its plan", with("service_instance", "update")+" UPDATED", func() {
		s.done("PATCH", d, map[string]any{"relationships": map[string]any{"service_plan": one(s.plan("large"))}})
	})
	shares := d + "/relationships/shared_spaces"
	s.audits("a share", "service_instance.share", func() { s.done("POST", shares, map[string]any{"data": []any{map[string]any{"guid": s.otherSpace}}}) })
	s.audits("its end", "service_instance.unshare", func() { s.done("DELETE", shares+"/"+s.otherSpace, nil) })

	const bindings = "/v3/service_credential_bindings"
	of := func(kind string, more map[string]any) map[string]any {
		related := map[string]any{"service_instance": one(guid)}
		maps.Copy(related, more)
		return map[string]any{"type": kind, "name": kind, "relationships": related}
	}
	app := s.makeApp("web")
	for noun, body := range map[string]map[string]any{"service_binding": of("app", map[string]any{"app": one(app)}), "service_key": of("key", nil)} {
		s.audits("a "+noun, with(noun, "create"), func() { s.done("POST", bindings, body) })
		b := bindings + "/" + s.guidOf(bindings)
		s.audits("its details", noun+".show", func() { s.done("GET", b+"/details", nil) })
		s.audits("its labels", noun+".update", func() { s.done("PATCH", b, `{"metadata":{"labels":{"a":"b"}}}`) })
		s.audits("its end", with(noun, "delete"), func() { s.done("DELETE", b, nil) })
	}
	s.audits("the instance's end", with("service_instance", "delete")+" DELETED", func() { s.done("DELETE", d, nil) })
	managed("f", "large")()
	s.audits("an instance forgotten", "service_instance.purge DELETED", func() {
		s.done("DELETE", "/v3/service_instances/"+s.guidOf("/v3/service_instances?names=f")+"?purge=true", nil)
	})

	const provided = "user_provided_service_instance."
	s.audits("one of the user's", provided+"create CREATED", func() { s.makeService("own", nil).want(201) })
	guid = s.guidOf("/v3/service_instances?names=own")
	own := "/v3/service_instances/" + guid
	s.audits("its tags", provided+"update", func() { s.done("PATCH", own, `{"tags":["a"]}`) })
	s.audits("its credentials", provided+"show", func() { s.done("GET", own+"/credentials", nil) })
	s.audits("its binding", "service_binding.create", func() { s.done("POST", bindings, of("app", map[string]any{"app": one(app)})) })
	s.audits("its end", "service_binding.delete "+provided+"delete DELETED", func() { s.done("DELETE", own, nil) })
	s.audits("the broker's end", "service.delete service_broker.delete service_plan.delete", func() { s.done("DELETE", "/v3/service_brokers/"+s.guidOf("/v3/service_brokers"), nil) })
}
