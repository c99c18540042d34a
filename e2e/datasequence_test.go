package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sequence is a random life of service instances with a canary row in each, beside what should be true of them.
type sequence struct {
	*user
	random    *rand.Rand
	offerings []string           // of which the next one made is the first
	live      map[string]*canary // by name
	gone      []*canary          // deleted, with the data still there
	app       string
	source    string // of the app
	serial    int
	log       []string
}

// canary is a service instance as it should be.
type canary struct {
	name, guid string
	offering   string
	row        string       // what it holds
	key        credentials  // of a service key
	bound      *credentials // of the app's binding; nil: not bound
	revoked    []credentials
	backups    map[string]string // the row in each, by GUID
}

func (c *canary) String() string { return c.name + " (" + c.offering + ")" }

// read asks for the row from outside.
func (c *canary) read(with credentials) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	return rowsOf[c.offering].read(ctx, with)
}

func (c *canary) write(row string) error {
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	return rowsOf[c.offering].write(ctx, c.key, row)
}

// step is something that may happen, when may says so.
type step struct {
	name string
	may  func(*sequence) bool
	do   func(*sequence) string // returns what it was done to
}

const maxLive = 3

// steps are what a space's developers and an operator do, and what happens to them.
var steps = []step{
	{"create", func(s *sequence) bool { return len(s.live) < maxLive }, (*sequence).create},
	{"write", (*sequence).some, (*sequence).write},
	{"bind", func(s *sequence) bool { return s.pick(unbound) != nil }, (*sequence).bind},
	{"unbind", func(s *sequence) bool { return s.pick(isBound) != nil }, (*sequence).unbind},
	{"rotate", func(s *sequence) bool { return s.pick(isBound) != nil }, (*sequence).rotate},
	{"rename", (*sequence).some, (*sequence).rename},
	{"back up", (*sequence).some, (*sequence).backUp},
	{"restore", func(s *sequence) bool { return s.pick(hasBackup) != nil }, (*sequence).restore},
	{"kill", (*sequence).some, (*sequence).killServer},
	{"delete", func(s *sequence) bool { return s.pick(unbound) != nil }, (*sequence).delete},
	{"undelete", func(s *sequence) bool { return len(s.gone) > 0 && len(s.live) < maxLive }, (*sequence).undelete},
	{"push", always, func(s *sequence) string {
		s.must("push", s.app, "-p", s.source, "-f", filepath.Join(s.source, "manifest.yml"))
		return s.app
	}},
	{"restart", always, func(s *sequence) string { s.must("restart", s.app); return s.app }},
	{"clean up", always, (*sequence).cleanUp},
	{"platform", always, func(s *sequence) string { s.kill(); s.boot(s.t); return "killed and started again" }},
}

func always(*sequence) bool        { return true }
func (s *sequence) some() bool     { return len(s.live) > 0 }
func unbound(c *canary) bool       { return c.bound == nil }
func isBound(c *canary) bool       { return c.bound != nil }
func hasBackup(c *canary) bool     { return len(c.backups) > 0 }
func anyCanary(*canary) bool       { return true }
func (s *sequence) fresh() string  { s.serial++; return fmt.Sprintf("name-%d", s.serial) }
func (s *sequence) newRow() string { s.serial++; return fmt.Sprintf("row-%d", s.serial) }

// pick is one of the live instances that match, nil: there is none.
func (s *sequence) pick(match func(*canary) bool) *canary {
	var all []*canary
	for _, name := range slices.Sorted(maps.Keys(s.live)) {
		if match(s.live[name]) {
			all = append(all, s.live[name])
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[s.random.IntN(len(all))]
}

// runSequence does random steps and looks after each of them that no row is lost and no credentials count that should
// not. CUPOLA_SEED repeats a sequence, CUPOLA_STEPS makes it longer.
func runSequence(t *testing.T, u *user) {
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	seed, count := number("CUPOLA_SEED", uint64(time.Now().UnixNano())), number("CUPOLA_STEPS", 24)
	s := &sequence{user: u, random: rand.New(rand.NewPCG(seed, seed)), live: map[string]*canary{}, app: "sequence", source: sample(t, "static")}
	s.offerings = slices.Sorted(maps.Keys(rowsOf))
	if os.Getenv("CUPOLA_ALL_OFFERINGS") == "" {
		s.offerings = []string{"objects", "postgres", "redis"}
	}
	s.random.Shuffle(len(s.offerings), func(i, j int) { s.offerings[i], s.offerings[j] = s.offerings[j], s.offerings[i] })
	t.Logf("the sequence is repeated by CUPOLA_SEED=%d", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("CUPOLA_SEED=%d did:\n%s", seed, strings.Join(s.log, "\n"))
		}
	})
	s.must("push", s.app, "-p", s.source, "-f", filepath.Join(s.source, "manifest.yml"))
	for range maxLive - 1 {
		s.log = append(s.log, "create "+s.create())
	}
	for range count {
		var can []step
		for _, st := range steps {
			if st.may(s) {
				can = append(can, st)
			}
		}
		st := can[s.random.IntN(len(can))]
		began := time.Now()
		s.log = append(s.log, st.name)
		what := st.do(s)
		s.log[len(s.log)-1] = fmt.Sprintf("%s %s (%v)", st.name, what, time.Since(began).Round(time.Millisecond))
		s.check()
	}
	for len(s.gone) > 0 { // what was deleted comes back with its row
		s.log = append(s.log, "undelete "+s.undelete())
		s.check()
	}
	t.Logf("%d steps: %s", count, strings.Join(s.log, ", "))
}

// check compares all that lives with what should be.
func (s *sequence) check() {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.live)) {
		c := s.live[name]
		s.reads(c, c.key, "its key")
		if c.bound != nil {
			s.reads(c, *c.bound, "the app")
		}
		for _, old := range c.revoked {
			if _, err := c.read(old); err == nil {
				s.t.Fatalf("%s (%s): credentials of a deleted binding still count", name, c.offering)
			}
		}
	}
}

// reads waits until the row is read; servers that were killed take a moment.
func (s *sequence) reads(c *canary, with credentials, who string) {
	s.t.Helper()
	var row string
	var err error
	for range 300 {
		if row, err = c.read(with); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || row != c.row {
		s.t.Fatalf("%s of %s reads %q (%v), want %q\n%s", who, c, row, err, c.row, serverLogOnFailure(s.platform))
	}
}

func (s *sequence) create() string {
	c := &canary{name: s.fresh(), offering: s.offerings[0], backups: map[string]string{}}
	s.offerings = append(s.offerings[1:], c.offering)
	s.must("create-service", c.offering, "small", c.name, "--wait")
	c.guid = strings.TrimSpace(s.must("service", c.name, "--guid"))
	s.live[c.name] = c
	s.takeKey(c)
	s.put(c)
	return c.String()
}

func (s *sequence) takeKey(c *canary) {
	s.must("create-service-key", c.name, "look", "--wait")
	c.key = credentials{}
	if err := json.Unmarshal([]byte(s.must("service-key", c.name, "look")), &c.key); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sequence) put(c *canary) {
	c.row = s.newRow()
	var err error
	for range 300 {
		if err = c.write(c.row); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("%s cannot be written to: %v", c, err)
}

func (s *sequence) write() string {
	c := s.pick(anyCanary)
	s.put(c)
	return c.name
}

// credentialsOf are those of the app's binding.
func (s *sequence) credentialsOf(c *canary) *credentials {
	var env struct {
		System struct {
			Services map[string][]struct {
				Name        string
				Credentials credentials
			} `json:"VCAP_SERVICES"`
		} `json:"system_env_json"`
	}
	s.curl("/v3/apps/"+s.guid(s.app)+"/env", &env)
	for _, i := range env.System.Services[c.offering] {
		if i.Name == c.name {
			return &i.Credentials
		}
	}
	s.t.Fatalf("VCAP_SERVICES lacks %s", c.name)
	return nil
}

func (s *sequence) bind() string {
	c := s.pick(unbound)
	s.must("bind-service", s.app, c.name, "--wait")
	c.bound = s.credentialsOf(c)
	return c.name
}

func (s *sequence) unbind() string {
	c := s.pick(isBound)
	s.must("unbind-service", s.app, c.name, "--wait")
	c.revoked, c.bound = append(c.revoked, *c.bound), nil
	return c.name
}

func (s *sequence) rotate() string {
	c := s.pick(isBound)
	s.must("rotate-service-credentials", s.app, c.name)
	c.revoked, c.bound = append(c.revoked, *c.bound), s.credentialsOf(c)
	return c.name
}

func (s *sequence) rename() string {
	c := s.pick(anyCanary)
	delete(s.live, c.name)
	was := c.name
	c.name = s.fresh()
	s.live[c.name] = c
	s.must("rename-service", was, c.name)
	return was + " to " + c.name
}

func (s *sequence) backUp() string {
	c := s.pick(anyCanary)
	s.must("backup-service", c.name)
	var all struct {
		Resources []struct {
			GUID, State string
			CreatedAt   time.Time `json:"created_at"`
		}
	}
	s.curl("/v3/service_instances/"+c.guid+"/backups", &all)
	for _, b := range all.Resources {
		if _, known := c.backups[b.GUID]; !known {
			c.backups[b.GUID] = c.row
		}
	}
	return c.name
}

func (s *sequence) restore() string {
	c := s.pick(hasBackup)
	guids := slices.Sorted(maps.Keys(c.backups))
	guid := guids[s.random.IntN(len(guids))]
	s.must("restore-service", c.name, guid, "-f")
	c.row = c.backups[guid]
	return c.name
}

func (s *sequence) killServer() string {
	c := s.pick(anyCanary)
	dockerDo(s.t, "POST", "/containers/cupola-"+s.installation(s.t)+"-"+c.guid+"/kill")
	return c.name
}

func (s *sequence) delete() string {
	c := s.pick(unbound)
	s.must("delete-service", c.name, "-f", "--wait")
	delete(s.live, c.name)
	s.gone = append(s.gone, c)
	return c.name
}

// undelete brings one back; its bindings and keys are gone for ever.
func (s *sequence) undelete() string {
	n := s.random.IntN(len(s.gone))
	c := s.gone[n]
	s.gone = slices.Delete(s.gone, n, n+1)
	s.eventually("the deleted service instance is listed", func() bool { return strings.Contains(s.must("deleted-services"), c.guid) })
	s.must("restore-deleted-service", c.guid)
	c.revoked = append(c.revoked, c.key)
	s.live[c.name] = c
	s.takeKey(c)
	return c.name
}

// cleanUp makes every file of the platform so old that nothing is spared for its youth, and cleans up. There is something
// to remove: an app that is gone.
func (s *sequence) cleanUp() string {
	source := sample(s.t, "static")
	writeFile(s.t, filepath.Join(source, "index.html"), s.fresh())
	s.must("push", "short-lived", "-p", source, "-f", filepath.Join(source, "manifest.yml"))
	s.must("delete", "short-lived", "-f", "-r")
	old := time.Now().Add(-24 * time.Hour)
	err := filepath.WalkDir(filepath.Join(s.platform.dir, "data"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		if errors.Is(err, fs.ErrNotExist) { // servers make and remove files all the time
			return nil
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var freed struct {
		Bytes int64 `json:"freed_bytes"`
	}
	s.decode(s.must("clean-up", "--json"), &freed)
	if freed.Bytes == 0 {
		s.t.Error("what is left of a deleted app is not cleaned up")
	}
	return fmt.Sprintf("freed %d bytes", freed.Bytes)
}
