package api

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// TestUnmodifiedCLI lets the real cf administer the platform: login, orgs, spaces, users, roles, quotas, domains and
// what it looks up besides.
func TestUnmodifiedCLI(t *testing.T) {
	cf, err := exec.LookPath("cf")
	if err != nil {
		t.Skip("the cf command line is not on PATH")
	}
	w := newWorld(t)
	url := w.front()
	w.update(func(tx *store.Tx) error {
		q := unlimitedQuota()
		q.Name = "default"
		return firstOf(store.OrgQuotas.Put(tx, q), store.IsolationSegments.Put(tx, &store.IsolationSegment{Name: "shared"}),
			store.Buildpacks.Put(tx, &store.Buildpack{Name: "binary_buildpack", Lifecycle: "buildpack", Position: 1, Enabled: true, State: store.StateReady}))
	})

	home := t.TempDir()
	for _, c := range []struct {
		line string // words, split at blanks
		want string
		fail bool
	}{
		{"api " + url, "3.224.0", false},
		{"auth admin wrong", "Credentials were rejected", true},
		{"auth admin secret", "OK", false},
		{"create-org o", "TIP", false},
		{"create-org o", "already exists", false},
		{"create-space s -o o", "SpaceDeveloper", false},
		{"target -o o -s s", "space:", false},
		{"login -u admin -p secret -o o -s s", "OK", false},
		{"orgs", "\no", false},
		{"org o", "default", false},
		{"spaces", "\ns", false},
		{"space s", "isolation segment", false},
		{"create-user marie pw", "OK", false},
		{"create-user marie pw", "already exists", false},
		{"set-org-role marie o OrgManager", "OK", false},
		{"set-space-role marie o s SpaceDeveloper", "OK", false},
		{"set-space-role marie o s SpaceDeveloper", "already has role", false},
		{"space-users o s", "marie (uaa)", false},
		{"org-users o", "marie (uaa)", false},
		{"unset-space-role marie o s SpaceDeveloper", "OK", false},
		{"create-quota q -m 10G -i -1 -r 1000 -a -1 -s 100 --reserved-route-ports 20 --allow-paid-service-plans", "OK", false},
		{"create-quota q", "already exists", false},
		{"set-quota o q", "OK", false},
		{"org-quotas", "10G", false},
		{"create-space-quota sq -m 1G", "OK", false},
		{"set-space-quota s sq", "OK", false},
		{"space-quota sq", "1G", false},
		{"domains", "example.com", false},
		{"create-private-domain o mine.test", "OK", false},
		{"delete-private-domain mine.test -f", "OK", false},
		{"buildpacks", "binary_buildpack", false},
		{"stacks", "cupola", false},
		{"stack cupola", "cupola", false},
		{"feature-flags", "diego_docker", false},
		{"enable-feature-flag diego_docker", "OK", false},
		{"running-environment-variable-group", "No running environment", false},
		{`set-running-environment-variable-group {"A":"b"}`, "OK", false},
		{"running-environment-variable-group", "A", false},
		{"isolation-segments", "shared", false},
		{"create-isolation-segment seg", "OK", false},
		{"enable-org-isolation o seg", "OK", false},
		{"set-space-isolation-segment s seg", "OK", false},
		{"reset-space-isolation-segment s", "OK", false},
		{"security-groups", "security groups", false},
		{"disallow-space-ssh s", "OK", false},
		{"space-ssh-allowed s", "disabled", false},
		{"set-label space s env=test", "OK", false},
		{"labels space s", "test", false},
		{"rename-space s r", "OK", false},
		{"marketplace", "No service offerings", false},
		{"services", "No service instances", false},
		{"oauth-token", "bearer ", false},
		{"curl /v3/audit_events", "audit.space.create", false},
		{"delete-space r -o o -f", "OK", false},
		{"delete-user marie -f", "OK", false},
		{"delete-org o -f", "OK", false},
		{"delete-org-quota q -f", "OK", false},
		{"logout", "OK", false},
	} {
		cmd := exec.CommandContext(t.Context(), cf, strings.Fields(c.line)...)
		cmd.Env = append(os.Environ(), "CF_HOME="+home, "CF_COLOR=false", "LANG=en_US.UTF-8")
		out, err := cmd.CombinedOutput()
		if (err != nil) != c.fail || !strings.Contains(string(out), c.want) {
			t.Errorf("cf %s: %v, want %q in\n%s", c.line, err, c.want, out)
		}
	}
}
