package e2e

import (
	"net"
	"strings"
	"testing"
)

// TestRoutePolicy: an app of one space calls another's route with its instance certificate, by the route's name and with
// the local CA trusted, and gets through only while a policy says so.
func TestRoutePolicy(t *testing.T) {
	t.Parallel()
	u := newUser(t, shared)
	dir := sample(t, "python")
	u.must("push", "policy-back", "-p", dir, "--no-manifest", "-m", "64M")
	u.must("create-space", "callers")
	u.must("target", "-s", "callers")
	u.must("push", "policy-front", "-p", dir, "--no-manifest", "-m", "64M", "--no-route")
	u.must("create-shared-domain", "policies.test", "--enforce-route-policies", "--scope", "org")
	t.Cleanup(func() { u.try("delete-shared-domain", "-f", "policies.test") })
	u.must("target", "-s", "dev")
	u.must("map-route", "policy-back", "policies.test", "--hostname", "back")
	_, port, err := net.SplitHostPort(u.https)
	if err != nil {
		t.Fatal(err)
	}
	inside := func(command string) string {
		u.must("target", "-s", "callers")
		defer u.must("target", "-s", "dev")
		return u.try("ssh", "policy-front", "-c", command).all()
	}
	call := func(flags string) string {
		return inside("curl -sS --max-time 10 -o /dev/null -w '%{http_code}' " + flags + " https://back.policies.test:" + port + "/health")
	}
	const identity = "--cert /etc/cf-instance-credentials/instance.crt --key /etc/cf-instance-credentials/instance.key"
	u.eventually("the route is closed to everybody", func() bool { return strings.Contains(call(identity), "403") })
	u.must("add-route-policy", "policies.test", "-n", "back", "--source-app", "policy-front", "--source-space", "callers")
	u.eventually("a policy opens it to the app", func() bool { return strings.Contains(call(identity), "200") })
	if got := call(""); !strings.Contains(got, "403") {
		t.Errorf("without its certificate the app gets %s", got)
	}
	if out := u.must("route-policies"); !strings.Contains(out, "back.policies.test") || !strings.Contains(out, "policy-front") {
		t.Errorf("route-policies shows %s", out)
	}
	u.must("remove-route-policy", "policies.test", "-n", "back", "--source-app", "policy-front", "--source-space", "callers", "-f")
	u.eventually("without the policy it is closed", func() bool { return strings.Contains(call(identity), "403") })

	for _, address := range []string{u.url("policy-back", "/health"), u.url("api", "/v3/info")} {
		got := inside(`python3 -c "import urllib.request; print(urllib.request.urlopen('` + address + `', timeout=10).status)"`)
		if !strings.Contains(got, "200") {
			t.Errorf("from inside an app %s answers %s", address, got)
		}
	}
}
