package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// benchSpace lists a space of 500 apps, each with a route, with our client and with `cf`: each time a process of its own
// that speaks TLS with the server.
func benchSpace(t *testing.T) {
	const apps, org = 500, "space-of-500"
	u := newUserOf(t, shared, org)
	space := strings.TrimSpace(u.must("space", "dev", "--guid"))
	for from := 0; from < apps; from += 100 {
		var manifest strings.Builder
		manifest.WriteString("applications:\n")
		for i := from; i < from+100; i++ {
			fmt.Fprintf(&manifest, "- {name: app-%d, default-route: true, memory: 32M}\n", i)
		}
		u.must("curl", "/v3/spaces/"+space+"/actions/apply_manifest", "-X", "POST", "-H", "Content-Type: application/x-yaml", "-d", manifest.String())
	}
	list := func(name string, run func() string) {
		var took []time.Duration
		for range 9 {
			began := time.Now()
			if out := run(); strings.Count(out, "."+domain) != apps {
				t.Fatalf("%s does not show %d apps with their routes:\n%.2000s", name, apps, out)
			}
			took = append(took, time.Since(began))
		}
		fmt.Printf("%s in a space of %d apps with routes: %s\n", name, apps, spread(took))
	}
	list("cupola apps", func() string { return u.must("apps") })
	binary, err := exec.LookPath("cf")
	if err != nil {
		fmt.Println("   no `cf` on PATH to compare with")
		return
	}
	hostsEntry(t, domain)
	c := &cf{user: &user{platform: shared, t: t, home: t.TempDir()}, binary: binary}
	c.cf("api", shared.url("api", ""), "--skip-ssl-validation")
	c.cf("login", "-u", "admin", "-p", password, "-o", org, "-s", "dev")
	list("cf apps", func() string { return c.cf("apps") })
}
