package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is many pushes that begin in the same moment: nearly all of one org, a few of another.
type crowd struct {
	t         *testing.T
	many, few *user
	source    string
	pushes    []*crowdPush
	withCF    string // path of `cf`; empty: none of the pushes is made with it
	took      time.Duration
}

// crowdPush is one of the pushes.
type crowdPush struct {
	org  *user
	app  string
	isCF bool
	result
	took time.Duration
}

// newCrowd makes two orgs and n pushes, of which every fifth is of the second org.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, source: sample(t, "static")}
	c.many, c.few = newUserOf(t, shared, c.org("many")), newUserOf(t, shared, c.org("few"))
	if path, err := exec.LookPath("cf"); err == nil {
		hostsEntry(t, domain)
		c.withCF = path
	}
	for i := range n {
		p := &crowdPush{org: c.many, app: host(t, fmt.Sprintf("crowd-%d", i)), isCF: c.withCF != "" && i%4 == 3}
		if i%5 == 4 {
			p.org = c.few
		}
		c.pushes = append(c.pushes, p)
	}
	return c
}

func (c *crowd) org(name string) string {
	return name + "-" + strings.ToLower(filepath.Base(c.t.Name()))
}

// run starts all pushes and waits for all of them. Those of one org share a home, as the jobs of one machine do;
// `cf` can't, so each of its pushes has its own.
func (c *crowd) run() {
	c.t.Helper()
	homes := c.cfHomes()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, p := range c.pushes {
		all.Go(func() {
			<-start
			began := time.Now()
			args := []string{"push", p.app, "-p", c.source, "--no-manifest", "-m", "32M", "-k", "64M"}
			if p.isCF {
				p.result = c.runCF(ctx, homes[p.app], args...)
			} else {
				p.result = p.org.runContext(ctx, p.org.home, args...)
			}
			p.took = time.Since(began)
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	c.took = time.Since(began)
}

// cfHomes logs `cf` in for each push of its own.
func (c *crowd) cfHomes() map[string]string {
	c.t.Helper()
	homes := map[string]string{}
	base := map[*user]string{}
	for _, p := range c.pushes {
		if !p.isCF {
			continue
		}
		if base[p.org] == "" {
			home := c.t.TempDir()
			org := c.org("many")
			if p.org == c.few {
				org = c.org("few")
			}
			u := &cf{user: &user{platform: shared, t: c.t, home: home}, binary: c.withCF}
			u.cf("api", shared.url("api", ""), "--skip-ssl-validation")
			u.cf("login", "-u", "admin", "-p", password, "-o", org, "-s", "dev")
			base[p.org] = home
		}
		homes[p.app] = c.t.TempDir()
		if err := os.CopyFS(homes[p.app], os.DirFS(base[p.org])); err != nil {
			c.t.Fatal(err)
		}
	}
	return homes
}

func (c *crowd) runCF(ctx context.Context, home string, args ...string) result {
	cmd := exec.CommandContext(ctx, c.withCF, args...)
	cmd.Env = append(os.Environ(), "CF_HOME="+home, "CF_COLOR=false")
	return finish(cmd)
}

// check asks every app, and reports what a push printed that did not work.
func (c *crowd) check() (waited int) {
	c.t.Helper()
	for _, p := range c.pushes {
		if p.code != 0 {
			c.t.Errorf("the push of %s (with cf: %v) ended with %d after %v:\n%s", p.app, p.isCF, p.code, p.took, p.all())
			continue
		}
		p.org.answers(p.app, "/", 200, "")
		if strings.Contains(p.all(), "Waiting: ") {
			waited++
		}
	}
	if c.t.Failed() {
		c.t.Log(serverLogOnFailure(shared))
	}
	return waited
}

// TestPushesAtOnce has several people push in the same moment: all pushes work, and those that have to wait are told
// for how many.
func TestPushesAtOnce(t *testing.T) {
	c := newCrowd(t, 8)
	c.run()
	if waited := c.check(); waited == 0 && runtime.NumCPU() <= 2 {
		t.Error("no push said that it waits for others")
	}
}

// benchCrowd is fifty pushes at once; the pushes of the small org must not wait for all of the large one.
func benchCrowd(t *testing.T) {
	c := newCrowd(t, 50)
	c.run()
	waited := c.check()
	took := map[*user][]time.Duration{}
	for _, p := range c.pushes {
		took[p.org] = append(took[p.org], p.took)
	}
	fmt.Printf("50 pushes at once (a static app; every fourth with cf: %v): all ended in %.1f s, %d were told their place\n", c.withCF != "", c.took.Seconds(), waited)
	fmt.Printf("   40 of one org: %s\n   10 of another: %s\n", spread(took[c.many]), spread(took[c.few]))
}
