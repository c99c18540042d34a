package api

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

const matrixFile = "testdata/role_matrix.txt"

const matrixHead = `# What each role may do with each route. TestRoleMatrix compares; go test -run TestRoleMatrix -update writes it.
# The resource that the path or the body names belongs to the first org and, where it has one, to its first space.
#
# ok: done, or refused only for what was asked once the caller was allowed; 401, 403, 404, 422: refused with that status;
# -: an answer in which nothing is seen. In brackets: a body or resource of its own (role_matrix_data_test.go).
#
# anon no token, none no role; usr org user, oau org auditor, bil billing manager, omg org manager, sau space auditor,
# sdv developer, smg manager, ssp supporter; adm admin, ro admin read-only, gau global auditor. "sibling" are roles in
# another space of the org, "elsewhere" those in another org.
`

// matrixRoles are the role types in the order of the columns, with their heads.
var matrixRoles = []struct{ head, role string }{
	{"usr", "organization_user"}, {"oau", "organization_auditor"}, {"bil", "organization_billing_manager"}, {"omg", "organization_manager"},
	{"sau", "space_auditor"}, {"sdv", "space_developer"}, {"smg", "space_manager"}, {"ssp", "space_supporter"},
}

// column is one caller of the matrix; the group is said once above its columns.
type column struct{ group, head, token string }

// matrixPeople makes somebody for every column.
func (w *world) matrixPeople() []column {
	columns := []column{{"", "anon", ""}, {"", "none", "nobody"}}
	sibling := &store.Space{Name: "sibling", OrgGUID: w.org}
	w.update(func(tx *store.Tx) error { return store.Spaces.Put(tx, sibling) })
	for _, at := range []struct{ group, org, space string }{{"here", w.org, w.space}, {"sibling", w.org, sibling.GUID}, {"elsewhere", w.otherOrg, w.otherSpace}} {
		for _, r := range matrixRoles {
			space := at.space
			if strings.HasPrefix(r.role, "organization_") {
				space = ""
			}
			if at.group == "sibling" && space == "" {
				continue
			}
			token := at.group + "-" + r.role
			w.update(func(tx *store.Tx) error { w.person(tx, token, r.role, at.org, space); return nil })
			columns = append(columns, column{at.group, r.head, token})
		}
	}
	w.people["auditor-of-all"] = &auth.Identity{UserGUID: "auditor-of-all-guid", Username: "auditor-of-all", Scopes: []string{"cloud_controller.global_auditor"}}
	return append(columns, column{"platform", "adm", "admin"}, column{"platform", "ro", "readonly"}, column{"platform", "gau", "auditor-of-all"})
}

// TestRoleMatrix tries every route of the table with every role and compares the outcomes with the golden file.
func TestRoleMatrix(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond }) // nothing that is asked for ever comes
	guids := w.matrixFixtures()
	columns := w.matrixPeople()
	keep := w.keepState()
	var out strings.Builder
	out.WriteString(matrixHead)
	out.WriteString(matrixHeads(columns))
	for _, route := range w.s.Routes() {
		for _, v := range variantsOf(route) {
			fmt.Fprintf(&out, "%-96s", strings.TrimSpace(route.String()+" "+v.label))
			for _, col := range columns {
				r := w.as(col.token, route.Method, guids.fill(v.pathOf(route)), guids.fill(v.bodyOf(route)))
				fmt.Fprintf(&out, " %-4s", outcome(route, r, guids[v.shows(route)]))
				if r.status < 400 && route.Method != "GET" {
					keep.restore()
				}
				if r.status >= 500 {
					t.Errorf("%s: %d: %s", r.what, r.status, r.text)
				}
			}
			out.WriteString("\n")
		}
	}
	compareGolden(t, matrixFile, trimLines(out.String()))
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// matrixHeads is the two lines above the columns.
func matrixHeads(columns []column) string {
	groups, heads, last := fmt.Sprintf("%-96s", "#"), fmt.Sprintf("%-96s", "#"), ""
	for _, c := range columns {
		if c.group != last {
			groups, last = fmt.Sprintf("%-*s", len(heads), groups)+" "+c.group, c.group
		}
		heads += fmt.Sprintf(" %-4s", c.head)
	}
	return groups + "\n" + heads + "\n"
}

// compareGolden compares text with a golden file line by line, or writes the file.
func compareGolden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Split(string(raw), "\n"), strings.Split(text, "\n")
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s has, and it is no longer so:\n%s", file, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s lacks:\n%s", file, line)
		}
	}
}

// outcome is the class of an answer; shown is the GUID that a list must have to count as seen.
func outcome(route Route, r *reply, shown string) string {
	switch {
	case r.status == 401, r.status == 403, r.status == 404:
		return fmt.Sprint(r.status)
	case r.status == 422 && route.Access.kind == accessInBody:
		return "422" // who may not see what the body names is told that it is not there
	case r.status >= 400 || route.Method != "GET" || r.body == nil:
		return "ok"
	}
	list, isList := r.body["resources"].([]any)
	if isList && (len(list) == 0 || shown != "" && !strings.Contains(r.text, shown)) {
		return "-"
	}
	for _, key := range []string{"data", "policies"} {
		if list, ok := r.body[key].([]any); ok && !isList && len(list) == 0 {
			return "-"
		}
	}
	return "ok"
}

// TestSuspendedOrgIsReadOnly: what a role may change in its org, it may not while the org is suspended.
func TestSuspendedOrgIsReadOnly(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxHold = time.Millisecond })
	guids := w.matrixFixtures()
	people := slices.DeleteFunc(w.matrixPeople(), func(c column) bool { return c.group != "here" })
	suspend := func(on bool) {
		w.update(func(tx *store.Tx) error {
			org, err := store.Orgs.Get(tx, w.org)
			w.must(err)
			org.Suspended = on
			return store.Orgs.Put(tx, org)
		})
	}
	active := w.keepState()
	tried := 0
	for _, route := range w.s.Routes() {
		if route.Method == "GET" || route.Access.kind != accessAt && route.Access.kind != accessInBody {
			continue
		}
		for _, v := range variantsOf(route) {
			for _, col := range people {
				ask := func() *reply {
					return w.as(col.token, route.Method, guids.fill(v.pathOf(route)), guids.fill(v.bodyOf(route)))
				}
				may := outcome(route, ask(), "") == "ok"
				active.restore()
				if !may {
					continue
				}
				tried++
				suspend(true)
				if r := ask(); r.status != 403 || !strings.Contains(r.text, "The organization is suspended: org") {
					t.Errorf("%s in a suspended org: %d, want 403 as it is suspended: %.200s", r.what, r.status, r.text)
				}
				active.restore()
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d changes were tried", tried)
	}
	suspend(true)
	w.as("developer", "GET", "/v3/apps/"+guids["app"], nil).want(200)
	w.as("admin", "PATCH", "/v3/apps/"+guids["app"], `{"name":"new"}`).want(200)
}

// keptState brings the store back to what it was, after a request that changed it.
type keptState struct {
	w   *world
	raw []byte
}

func (w *world) databaseFile() string { return filepath.Join(w.dir, "cupola.db") }

// keepState remembers what the store has. The store is opened anew.
func (w *world) keepState() *keptState {
	w.t.Helper()
	w.must(w.db.Close())
	raw, err := os.ReadFile(w.databaseFile())
	w.must(err)
	k := &keptState{w: w, raw: raw}
	k.open()
	return k
}

func (k *keptState) restore() {
	k.w.t.Helper()
	k.w.must(k.w.db.Close(), os.WriteFile(k.w.databaseFile(), k.raw, 0o600))
	k.open()
}

func (k *keptState) open() {
	k.w.t.Helper()
	db, err := store.Open(store.Options{Dir: k.w.dir, NoSync: true})
	k.w.must(err)
	k.w.db, k.w.opts.DB = db, db
	k.w.s = New(k.w.opts)
}
